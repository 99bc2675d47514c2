"""Further cells below many: what it takes to append a file to a large dataset, beside reading the file by itself.

Usage: python benchmarks/append.py counts.h5ad [--times 50] [--memory 1GB] [--threads 2] [--folder SCRATCH]

The large dataset is the file `--times` times over: 50 times 20,000 cells are a million, for which SCRATCH needs 2 GB.
Both ways run in a process of their own, which first appends a part of the file to a small dataset, so that compilation
is not counted. The dataset afterwards is compared with the file, and `check` reads all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from timing import Steps, markdown, run_apart, write_sample

WAYS = ("read by itself", "appended")


def use(ds: Any) -> int:
    """Count the bytes of a dataset in files that no other dataset shares."""
    files = [path.stat() for path in ds.path.rglob("*") if path.is_file()]
    return sum(file.st_size for file in files if file.st_nlink == 1)


def child(options: argparse.Namespace) -> None:
    """Warm up, append or read the file, and print what it took."""
    import kithkin as kk

    how = {"memory": options.memory, "threads": options.threads, "progress": False}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_sample(str(options.source), folder / "part.h5ad", 2000)
        warm = kk.read({"a": folder / "part.h5ad"}, to=folder / "warm.zarr", **how)
        kk.append(warm, {"b": folder / "part.h5ad"})
        steps = Steps(loud=False)
        if options.child == "read by itself":
            ds = steps("cells", lambda: kk.read(options.source, to=folder / "alone.zarr", **how))
            before = 0
        else:
            for file in options.large.rglob("*"):  # by links, which append must not write through
                copy = folder / "large.zarr" / file.relative_to(options.large)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if file.is_file():
                    os.link(file, copy)
            ds = kk.open(folder / "large.zarr", **how)
            before = ds.n_obs
            ds = steps("cells", lambda: kk.append(ds, {"new": options.source}))
        new = ds.rows(np.arange(before, ds.n_obs))
        row = steps.rows["cells"] | {"rows": ds.n_obs, "sum of the new": int(new.data.sum())}
        print(json.dumps({**row, "damaged": len(kk.check(ds)), "own_MB": use(ds) / 1e6}))


def main() -> None:
    """Make the large dataset, run both ways, and print a table."""
    import kithkin as kk

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="folder for the datasets")
    parser.add_argument("--large", type=Path, help="the large dataset, where it was made before")
    parser.add_argument("--child")
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        large = options.large or Path(name) / "large.zarr"
        given = [str(options.source), "--memory", options.memory, "--large", str(large)]
        given += ["--folder", options.folder] if options.folder else []
        samples = {f"s{k}": options.source for k in range(options.times)}
        kk.read(samples, to=large, memory=options.memory, threads=options.threads)
        found = {way: run_apart(sys.executable, __file__, way, given, options.threads) for way in WAYS}
    rows = [[way, *(f"{value:,.6g}" for value in row.values())] for way, row in found.items()]
    print(markdown(["way", *next(iter(found.values()))], rows))


if __name__ == "__main__":
    main()
