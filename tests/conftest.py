"""Fixtures for every test: small simulated counts, a dataset made of them, and real data where it is present."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

import kithkin as kk

collect_ignore = ["faults.py", "injected.py"]  # programs that tests start
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared/data with real data is not here")
    return SHARED


@pytest.fixture(scope="session")
def _pbmc(shared_data):
    path = shared_data / "pbmc_facs.h5ad"
    if not path.is_file():
        pytest.skip("pbmc_facs.h5ad is not in ../shared/data")
    anndata = pytest.importorskip("anndata")
    return anndata.read_h5ad(path)


@pytest.fixture
def pbmc(_pbmc):
    """3,774 blood cells with counts and obs["celltype"], a copy for each test."""
    return _pbmc.copy()


@pytest.fixture(scope="session")
def _small_counts():
    return kk.datasets.simulate_counts(n_cells=600, n_genes=500, n_groups=4, seed=0)


@pytest.fixture
def small_counts(_small_counts):
    """600 cells x 500 genes in 4 known groups (obs["group"]), a copy for each test."""
    return _small_counts.copy()


@pytest.fixture(scope="session")
def _dataset_path(_small_counts, tmp_path_factory):
    path = tmp_path_factory.mktemp("dataset") / "cells.zarr"
    kk.read(_small_counts.copy(), to=path)
    return path


@pytest.fixture(scope="session")
def fuzzy_union():
    """Weights of a graph of neighbours by the definition of McInnes et al., as umap-learn and scanpy have them."""

    def union(indices, distances):
        n, k = indices.shape
        weights = np.zeros((n, n))
        for row, (near, reach) in enumerate(zip(indices, np.asarray(distances, float), strict=True)):
            beyond = reach - reach.min()
            # each row of exp(-(d - rho) / sigma) sums to log2 of its size
            sigma = brentq(lambda s, b=beyond: np.exp(-b / s).sum() - np.log2(k + 1), 1e-6, 1e6, xtol=1e-12)
            weights[row, near] = np.exp(-beyond / sigma)
        return weights + weights.T - weights * weights.T

    return union


@pytest.fixture
def copy_of(tmp_path):
    """Copy a dataset into the folder of the test, under its own name, and open the copy."""

    def copied(path, **settings):
        shutil.copytree(path, tmp_path / path.name)
        return kk.open(tmp_path / path.name, **settings)

    return copied


@pytest.fixture
def dataset(_dataset_path, copy_of):
    """The small counts as a dataset of its own for each test, at tmp_path / "cells.zarr"."""
    return copy_of(_dataset_path)
