"""Quality, variable genes and PCA streamed from disk: CPU seconds and peak memory, beside scanpy in memory.

Usage: python benchmarks/reduce.py sim100k.h5ad [--threads 2] [--memory 256MB] [--rows 2000] [--peer PYTHON]

The counts of the h5ad file are first written as three flat files (uint16 counts, uint16 columns, int64 row starts), so
that what is timed is the models and a plain read. Compilation is kept apart by a run on the first rows. `--peer` names
an interpreter that has scanpy.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kithkin.core.blocks import SparseRows, even_ranges
from kithkin.core.execute import Execution
from kithkin.models.pca.pca import PCA
from kithkin.models.quality import Quality
from kithkin.models.variable_genes import VariableGenes

PEER = """
import json, resource, sys, time
import anndata as ad, scanpy as sc
from scipy.sparse import csr_matrix
a = ad.read_h5ad(sys.argv[1])
# indices and indptr of one type, which scanpy's quality step needs
a.X = csr_matrix((a.X.data, a.X.indices, a.X.indptr), shape=a.shape)
seconds = {}
def step(name, function):
    start = time.process_time()
    function()
    seconds[name] = time.process_time() - start
def genes():
    sc.pp.normalize_total(a, target_sum=1e4)
    sc.pp.log1p(a)
    sc.pp.highly_variable_genes(a, n_top_genes=3000)
step("quality", lambda: sc.pp.calculate_qc_metrics(a, inplace=True, percent_top=None))
step("variable genes", genes)
step("pca", lambda: sc.pp.pca(a, n_comps=50, mask_var="highly_variable"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(json.dumps({"cpu_s": seconds, "peak_rss_mb": peak}))
"""


class Flat:
    """Rows in three flat files, read block by block."""

    is_sparse = True
    dtype = np.dtype(np.uint16)

    def __init__(self, folder: Path, n_columns: int, rows: int) -> None:
        self.folder = folder
        self.indptr = np.fromfile(folder / "indptr", np.int64)
        self.shape = (len(self.indptr) - 1, n_columns)
        self.ranges = even_ranges(self.shape[0], rows)

    def read(self, start: int, stop: int) -> SparseRows:
        """Rows start to stop."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        data, indices = (
            np.fromfile(self.folder / name, np.uint16, last - first, offset=2 * first) for name in ("data", "indices")
        )
        return SparseRows(data, indices, self.indptr[start : stop + 1] - first, self.shape[1])


def write_flat(source: Path, folder: Path) -> int:
    """Copy the counts of an h5ad file to flat files; the number of genes."""
    with h5py.File(source) as file:
        X = file["X"]
        X["indptr"][:].astype(np.int64).tofile(folder / "indptr")
        for name in ("data", "indices"):
            with (folder / name).open("wb") as out:
                for start in range(0, len(X[name]), 2**22):
                    out.write(X[name][start : start + 2**22].astype(np.uint16).tobytes())
        return int(X.attrs["shape"][1])


def steps(blocks: Any, execution: Execution, n_genes: int) -> dict[str, float]:
    """CPU seconds of each step."""
    seconds = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = function()
        seconds[name] = time.process_time() - start
        return result

    sets = {"mito": np.arange(blocks.shape[1]) < 13, "ribo": np.arange(blocks.shape[1]) > blocks.shape[1] - 80}
    quality = timed("quality", lambda: Quality(sets).fit(blocks, execution))
    totals = quality.n_counts_
    genes = timed("variable genes", lambda: VariableGenes(n_genes).fit(blocks, totals, execution))
    model = PCA(50)
    timed("pca fit", lambda: model.fit(blocks, genes.mask_, totals, execution))
    timed("pca scores", lambda: model.transform(blocks, totals, execution))
    return seconds


def main() -> None:
    """Print one JSON line for kithkin, and one for the peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--peer")
    given = parser.parse_args()
    execution = Execution.of(given.memory, given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        blocks = Flat(folder, write_flat(given.source, folder), given.rows)
        whole = blocks.ranges
        start = time.process_time()
        blocks.ranges, n_rows = whole[:1], blocks.shape[0]
        blocks.shape = (whole[0][1], blocks.shape[1])
        steps(blocks, execution, 200)
        warm_up = time.process_time() - start
        blocks.ranges, blocks.shape = whole, (n_rows, blocks.shape[1])
        wall = time.perf_counter()
        seconds = steps(blocks, execution, 3000)
        wall = time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    result = {"cpu_s": seconds, "total_cpu_s": sum(seconds.values()), "wall_s": wall, "warm_up_cpu_s": warm_up}
    print(json.dumps({"kithkin": {**result, "peak_rss_mb": peak, "threads": given.threads}}))
    if given.peer:
        run = subprocess.run([given.peer, "-c", PEER, str(given.source)], stdout=subprocess.PIPE, text=True, check=True)
        print(json.dumps({"scanpy": json.loads(run.stdout.splitlines()[-1])}))


if __name__ == "__main__":
    sys.exit(main())
