"""Reading: import from h5ad and Matrix Market, one streamed pass over X, one gene of all cells, scattered cells.

    python benchmarks/reading.py counts.h5ad [--peer OTHER/bin/python] [--memory 256MB] [--threads 2] [--mtx FOLDER]

OTHER is an environment with scanpy. The Matrix Market folder is gzipped as 10x writes it; where FOLDER has none, it is
made from the h5ad file, in a temporary folder if none is given. Every import runs in a process of its own, after the
same import of the first 9,000 cells, which compiles what it needs. "Peak" is the largest resident memory of that
process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from timing import Steps, markdown, run_apart, write_sample

ROUNDS = 3
TIMES = ("cpu_s", "wall_s", "first_s")


def write_mtx(source: str, folder: Path) -> None:
    """Write an h5ad file as 10x writes it: cell by cell, numbered from 1, gzipped."""
    import anndata as ad
    import h5py
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(source) as file:
        obs, var = (ad.io.read_elem(file[name]) for name in ("obs", "var"))
        symbols = var.get("symbol", var.index)
        genes = "".join(f"{i}\t{s}\tGene Expression\n" for i, s in zip(var.index, symbols, strict=True))
        for name, text in (("barcodes", "".join(f"{i}\n" for i in obs.index)), ("features", genes)):
            with gzip.open(folder / f"{name}.tsv.gz", "wt") as out:
                out.write(text)
        X, indptr = file["X"], file["X/indptr"][:].astype(np.int64)
        with gzip.open(folder / "matrix.mtx.gz", "wb", compresslevel=6) as out:
            out.write(
                f"%%MatrixMarket matrix coordinate integer general\n{len(var)} {len(obs)} {indptr[-1]}\n".encode()
            )
            for first in range(0, len(obs), 1000):
                ends = indptr[first : first + 1001]
                cells = np.repeat(np.arange(first, first + len(ends) - 1), np.diff(ends)) + 1
                part = slice(int(ends[0]), int(ends[-1]))
                out.write(as_lines(X["indices"][part].astype(np.int64) + 1, cells, X["data"][part].astype(np.int64)))


def as_lines(*columns: Any) -> bytes:
    """Lay positive numbers out as lines of text: all digits at once, without those in front."""
    import numpy as np

    parts, keep = [], []
    for place, numbers in enumerate(columns):
        for power in 10 ** np.arange(len(str(numbers.max())) - 1, -1, -1):
            parts.append((numbers // power % 10 + ord("0")).astype(np.uint8))
            keep.append(numbers >= power)
        end = "\n" if place == len(columns) - 1 else " "
        parts.append(np.full(len(numbers), ord(end), np.uint8))
        keep.append(np.ones(len(numbers), bool))
    return np.stack(parts, 1)[np.stack(keep, 1)].tobytes()


def import_once(options: argparse.Namespace) -> dict[str, Any]:
    """Import the sample, then the source, and time the second."""
    import kithkin as kk

    how = {"memory": options.memory, "threads": options.threads}
    with tempfile.TemporaryDirectory() as name:
        kk.read(options.sample, to=Path(name) / "sample.zarr", **how)
        step = Steps(loud=False)
        ds = step("import", lambda: kk.read(options.source, to=Path(name) / "all.zarr", **how))
        stored = sum(f.stat().st_size for f in (ds.path / "X").rglob("*") if f.is_file())
        files = sum(f.is_file() for f in ds.path.rglob("*"))
        values = ds.blocks().n_stored
    return {**step.rows["import"], "values": values, "bytes_per_value": stored / values, "files": files}


def peer_once(options: argparse.Namespace) -> dict[str, Any]:
    """Read the sample, then the source, with the peer."""
    import anndata as ad
    import scanpy as sc

    step = Steps(loud=False)
    if Path(options.source).is_dir():
        sc.read_10x_mtx(options.sample)
        data = step("import", lambda: sc.read_10x_mtx(options.source))
    else:
        ad.read_h5ad(options.sample)
        data = step("import", lambda: ad.read_h5ad(options.source))
    return {**step.rows["import"], "values": int(data.X.nnz)}


def n_stored(block: Any, start: int) -> int:  # noqa: ARG001  (what map_blocks calls)
    """Count what a block holds, so that nothing is timed but the way to it."""
    return int(block.data.shape[0])


def access(options: argparse.Namespace) -> dict[str, Any]:
    """Stream X of a dataset, take its quality, one gene, and few or many scattered cells; the best of three rounds."""
    import numpy as np

    import kithkin as kk
    from kithkin.core.execute import map_blocks

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "all.zarr"
        kk.read(options.source, to=path, memory=options.memory, threads=options.threads)
        ds = kk.open(path, memory=options.memory, threads=options.threads)
        gene, cells = ds.var_names[ds.n_vars // 2], np.random.default_rng(0).permutation(ds.n_obs)
        tasks = {
            "one gene of all cells": lambda: ds.genes([gene]),
            "100 scattered cells": lambda: ds.rows(cells[:100]),
            "6,000 scattered cells": lambda: ds.rows(cells[:6000]),
            "one pass over X": lambda: sum(map_blocks(n_stored, ds.blocks(), ds.execution)),
            "quality, one pass": lambda: kk.quality(ds, key=None),
        }
        best = {}
        for title, do in tasks.items():
            rounds = []
            for _ in range(ROUNDS + 1):  # the first finds the files and compiles
                step = Steps(loud=False)
                step("once", do)
                rounds.append(step.rows["once"])
            best[title] = {**min(rounds[1:], key=lambda row: row["cpu_s"]), "first_s": rounds[0]["wall_s"]}
        return {"values": ds.blocks().n_stored, "tasks": best}


def imports(options: argparse.Namespace, folder: Path) -> list[list[str]]:
    """Import both formats, with kithkin and the peer."""
    sample = folder / "sample.h5ad"
    write_sample(options.source, sample)
    inputs = [("h5ad", options.source, sample)]
    if "mtx" in options.formats:
        mtx = Path(options.mtx) if options.mtx else folder / "mtx"
        if not (mtx / "matrix.mtx.gz").exists():
            began = time.perf_counter()
            write_mtx(options.source, mtx)
            print(f"wrote the Matrix Market folder in {time.perf_counter() - began:.0f} s", flush=True)
        write_mtx(str(sample), folder / "small")
        inputs.append(("Matrix Market, gzipped", str(mtx), folder / "small"))
    lines = []
    for title, source, small in inputs:
        for program, python in (("kithkin", sys.executable), ("scanpy", options.peer)):
            if python is None:
                continue
            arguments = [source, "--sample", str(small), "--memory", options.memory]
            row = run_apart(python, __file__, program, arguments, options.threads)
            print(f"{title}, {program}: {json.dumps(row)}", flush=True)
            seconds = [f"{row['cpu_s']:.2f}", f"{row['wall_s']:.2f}", f"{row['peak_MB']:.0f}"]
            size = f"{row['bytes_per_value']:.2f}" if "bytes_per_value" in row else ""
            lines.append(
                [f"import from {title}: {program}", *seconds, f"{row['values'] / 1e6 / row['cpu_s']:.0f}", size]
            )
    return lines


def main() -> None:
    """Time everything and print two tables."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("source", help="counts as h5ad with CSR rows")
    made.add_argument("--peer", help="a Python interpreter with scanpy")
    made.add_argument("--memory", default="256MB")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--formats", default="h5ad,mtx")
    made.add_argument("--mtx", help="folder of the same counts as Matrix Market")
    made.add_argument("--child", help=argparse.SUPPRESS)
    made.add_argument("--sample", help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.child:
        print(json.dumps({"kithkin": import_once, "scanpy": peer_once, "access": access}[options.child](options)))
        return
    with tempfile.TemporaryDirectory() as name:
        lines = imports(options, Path(name))
    print("\n" + markdown(["work", "CPU s", "s", "peak MB", "million values per CPU s", "bytes per value"], lines))
    found = run_apart(sys.executable, __file__, "access", [options.source, "--memory", options.memory], options.threads)
    millions = found["values"] / 1e6
    lines = [
        [title, *(f"{row[k]:.3f}" for k in TIMES), *(f"{millions / row[k]:.0f}" for k in TIMES[:2])]
        for title, row in found["tasks"].items()
    ]
    lines = [line if "pass" in line[0] else [*line[:-2], "", ""] for line in lines]
    head = ["work", "CPU s", "s", "s, first time", "million values per CPU s", "million values a second"]
    print("\n" + markdown(head, lines))


if __name__ == "__main__":
    main()
