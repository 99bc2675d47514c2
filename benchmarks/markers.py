"""Exact tie-corrected Wilcoxon of all genes and all groups: CPU seconds and peak memory, beside scanpy.

Usage: python benchmarks/markers.py sim100k.h5ad [--by subtype] [--method t-test] [--memory 256MB] [--peer PYTHON]

The counts of the h5ad file are first written as flat files (uint16 counts and columns), which are then read block by
block, so that what is timed is the model and a plain read. Compilation is kept apart by a run on the first rows.
`--peer` names an interpreter that has scanpy; the largest difference of its scores from ours is printed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np

from kithkin.core.blocks import SparseRows, even_ranges
from kithkin.core.execute import Execution
from kithkin.models.markers.markers import Markers

PEER = """
import resource, sys, time, warnings
import anndata as ad, numpy as np, scanpy as sc
warnings.simplefilter("ignore")
data = ad.read_h5ad(sys.argv[1])
data.X.indptr = data.X.indptr.astype(data.X.indices.dtype)  # scanpy wants one type for both
data.obs["by"] = np.load(sys.argv[3]).astype(str)
data.obs["by"] = data.obs["by"].astype("category")
sc.pp.normalize_total(data, target_sum=1e4)
sc.pp.log1p(data)
tests = {"wilcoxon": {"tie_correct": True}} if sys.argv[4] == "wilcoxon" else {"t-test": {}}
for method, options in tests.items():
    start = time.process_time()
    sc.tl.rank_genes_groups(data, "by", method=method, pts=True, **options)
    seconds = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
groups = data.uns["rank_genes_groups"]["names"].dtype.names
frames = [sc.get.rank_genes_groups_df(data, group).set_index("names").loc[data.var_names] for group in groups]
np.savez(sys.argv[2], groups=groups, scores=[frame["scores"] for frame in frames])
print(f"scanpy {method}: {seconds:.2f} CPU s, peak {peak:.0f} MB", flush=True)
"""


class Flat:
    """Rows in flat files, read block by block."""

    is_sparse = True
    dtype = np.dtype(np.uint16)

    def __init__(self, folder: Path, indptr: Any, n_columns: int, rows: int) -> None:
        self.folder, self.indptr = folder, indptr
        self.shape = (len(indptr) - 1, n_columns)
        self.ranges = even_ranges(self.shape[0], rows)

    def read(self, start: int, stop: int) -> SparseRows:
        """Rows start to stop."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        parts = (
            np.fromfile(self.folder / name, np.uint16, last - first, offset=2 * first) for name in ("data", "indices")
        )
        return SparseRows(*parts, self.indptr[start : stop + 1] - first, self.shape[1])


def flatten(source: str, folder: Path, rows: int) -> Flat:
    """Write the counts of an h5ad file as flat files."""
    with h5py.File(source) as file:
        for name in ("data", "indices"):
            stored = file[f"X/{name}"]
            with (folder / name).open("wb") as out:
                for start in range(0, len(stored), 10**7):
                    stored[start : start + 10**7].astype(np.uint16).tofile(out)
        return Flat(folder, file["X/indptr"][:].astype(np.int64), int(file["X"].attrs["shape"][1]), rows)


def sums(blocks: Flat) -> tuple[Any, Any]:
    """Counts of each cell, cells of each gene: what the quality step leaves behind."""
    totals, n_cells = [], np.zeros(blocks.shape[1], np.int64)
    for start, stop in blocks.ranges:
        block = blocks.read(start, stop)
        totals.append(np.add.reduceat(block.data, block.indptr[:-1], dtype=np.int64))
        n_cells += np.bincount(block.indices, minlength=blocks.shape[1])
    return np.concatenate(totals), n_cells


def main() -> None:
    """Time kithkin, then the peer, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts")
    parser.add_argument("--by", default="subtype")
    parser.add_argument("--method", default="wilcoxon")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--peer")
    options = parser.parse_args()
    with h5py.File(options.counts) as file:
        labels = ad.io.read_elem(file["obs"])[options.by].to_numpy(str)
    execution = Execution.of(options.memory, options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blocks = flatten(options.counts, folder, options.rows)
        totals, n_cells = sums(blocks)
        first = Flat(folder, blocks.indptr[:2001], blocks.shape[1], 500)
        start = time.process_time()
        Markers(options.method).fit(first, labels[:2000], execution=execution)
        print(f"compilation and 2000 cells: {time.process_time() - start:.2f} CPU s")
        start, wall = time.process_time(), time.perf_counter()
        model = Markers(options.method).fit(blocks, labels, totals=totals, n_cells=n_cells, execution=execution)
        seconds, wall = time.process_time() - start, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"kithkin {options.method}: {seconds:.2f} CPU s, {wall:.2f} s, peak {peak:.0f} MB", flush=True)
        if options.peer:
            np.save(folder / "labels.npy", labels)
            arguments = [options.counts, str(folder / "peer.npz"), str(folder / "labels.npy"), options.method]
            subprocess.run([options.peer, "-c", PEER, *arguments], check=True)
            peer = np.load(folder / "peer.npz")
            order = np.searchsorted(model.groups_, peer["groups"])
            print(f"largest difference of scores: {np.abs(model.scores_[order] - peer['scores']).max():.2g}")


if __name__ == "__main__":
    main()
