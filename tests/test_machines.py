"""Clusters and maps are the same bits with the instructions of other processors, and for all threads and executors.

`python benchmarks/machines.py` runs whole jobs on more.
"""

import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import kithkin as kk
from kithkin import kernels

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "machines.py"
POOLS = ["processes", *(["dask"] if find_spec("distributed") else [])]


def table_of(sources, *grid):
    command = [sys.executable, "-W", "ignore", str(PROGRAM), *sources, "--short", *grid]
    run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return run.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Counts, and values of which many distances tie."""
    folder = tmp_path_factory.mktemp("sources")
    kk.datasets.simulate_counts(n_cells=500, n_genes=400, n_groups=5, seed=1).write_h5ad(folder / "counts.h5ad")
    rng = np.random.default_rng(0)
    table = rng.normal(size=(700, 12)) + 3 * rng.normal(size=(6, 12))[rng.integers(0, 6, 700)]
    table[:300] = table[:300].round(1)
    np.savez(folder / "table.npz", X=table)
    return [str(folder / name) for name in ("counts.h5ad", "table.npz")]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what is left out are instructions of x86-64")
def test_answers_are_the_same_bits_on_every_processor(sources):
    # compiling takes most of the time: what is kept beside the code for this processor is there for the next run
    kept = str(Path(kernels.__file__).parent / "__pycache__")
    grid = "--threads", "1", "8", "--memory", "200MB", "--executors", "threads", "--cache", kept
    assert table_of(sources, *grid).count("| generic | 2 of 2 | none |") == 2


def test_answers_are_the_same_bits_for_every_executor_and_budget(sources):
    grid = "--machines", "native", "--threads", "2", "--memory", "200MB", "2GB", "--executors", "threads", *POOLS
    assert table_of(sources, *grid).count("| native | ") == 2
