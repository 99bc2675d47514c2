"""Several samples as one dataset: one joined import beside an import of each, and beside anndata.concat in memory.

Usage: python benchmarks/samples.py counts.h5ad [--samples 20] [--memory 256MB] [--threads 2]

The same file stands for every sample. Each way runs in a process of its own, which first imports a part of the file,
so that compilation is not counted. The tables are compared: rows, columns, and the sums of both.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from timing import Steps, markdown, run_apart, write_sample

WAYS = ("each by itself", "joined", "anndata.concat")


def import_samples(source: Path, folder: Path, way: str, options: argparse.Namespace) -> tuple[Any, ...]:
    """Import the samples in one of the ways; return shape and sums of the last table."""
    names = [f"s{k}" for k in range(options.samples)]
    if way == "anndata.concat":
        import anndata as ad

        table = ad.concat({name: ad.read_h5ad(source) for name in names}, label="sample", index_unique="-").X
        return table.shape, float(table.sum(dtype=np.float64))
    import kithkin as kk

    how = {"memory": options.memory, "threads": options.threads, "progress": False}
    if way == "joined":
        ds = kk.read(dict.fromkeys(names, source), to=folder / "joined.zarr", **how)
    else:
        for name in names:
            ds = kk.read(source, to=folder / f"{name}.zarr", **how)
    return ds.shape, float(ds.read("obs/n_counts").sum())


def child(options: argparse.Namespace) -> None:
    """Import a part of the file, then the samples, and print what it took."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, few = Path(name), argparse.Namespace(**{**vars(options), "samples": 2})
        (folder / "warm").mkdir()
        write_sample(str(options.source), folder / "part.h5ad")
        import_samples(folder / "part.h5ad", folder / "warm", options.child, few)
        steps = Steps(loud=False)
        shape, total = steps("import", lambda: import_samples(options.source, folder, options.child, options))
        print(json.dumps({**steps.rows["import"], "rows": shape[0], "columns": shape[1], "total": total}))


def main() -> None:
    """Run every way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="folder for the datasets")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    given = [str(options.source), "--samples", str(options.samples), "--memory", options.memory]
    given += ["--folder", options.folder] if options.folder else []
    found = {way: run_apart(sys.executable, __file__, way, given, options.threads) for way in options.ways}
    rows = [[way, *(f"{value:,.6g}" for value in row.values())] for way, row in found.items()]
    print(markdown(["way", *next(iter(found.values()))], rows))


if __name__ == "__main__":
    main()
