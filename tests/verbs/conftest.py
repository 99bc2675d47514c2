"""Finished datasets for the verbs: simulated counts, and blood cells where they are present."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import kithkin as kk


def _finish(ds):
    kk.variable_genes(ds, 200)
    kk.pca(ds, 10)
    kk.neighbors(ds)
    kk.leiden(ds, 0.5)
    kk.markers(ds, "leiden")


@pytest.fixture(scope="session")
def _finished_path(_dataset_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "cells.zarr"
    shutil.copytree(_dataset_path, path)
    _finish(kk.open(path))
    return path


@pytest.fixture
def finished(_finished_path, copy_of):
    """The small counts with all up to markers, clusters at resolution 0.5, for each test anew."""
    return copy_of(_finished_path)


@pytest.fixture(scope="session")
def blood(_pbmc, tmp_path_factory):
    """3,774 blood cells as a dataset, with components; the tests add results under names of their own."""
    ds = kk.read(_pbmc.copy(), to=tmp_path_factory.mktemp("blood") / "pbmc.zarr")
    kk.variable_genes(ds, 2000)
    kk.pca(ds, 30)
    return ds


@pytest.fixture
def normalised(_pbmc):
    """The blood cells as scanpy prepares them: log1p of counts per 10,000, in float32."""
    scanpy = pytest.importorskip("scanpy")
    adata = _pbmc.copy()
    scanpy.pp.normalize_total(adata, target_sum=1e4)
    scanpy.pp.log1p(adata)
    return adata


@pytest.fixture
def listing():
    """Every file of a dataset with the time of its last change."""
    return lambda ds: {path: path.stat().st_mtime_ns for path in sorted(ds.path.rglob("*"))}


@pytest.fixture
def states():
    """State of the last record of each step."""
    return lambda ds: ds.history().set_index("step")["state"].to_dict()


@pytest.fixture
def assert_named_by_size():
    """Check that clusters are numbered by descending size, without gaps."""

    def check(labels, ds):
        assert labels.index.equals(ds.obs_names)
        sizes = labels.value_counts(sort=False)
        assert list(sizes.index) == [str(i) for i in range(len(sizes))]
        assert np.all(np.diff(sizes) <= 0)
        assert sizes.min() > 0

    return check


@pytest.fixture
def curve(tmp_path):
    """300 cells whose counts change along a curve, with obs["t"]."""
    t = np.sort(np.random.default_rng(0).uniform(0, 1, 300))
    peaks = np.linspace(-0.2, 1.2, 150)
    means = 1 + 20 * np.exp(-(((t[:, None] - peaks) / 0.3) ** 2))
    ds = kk.read(np.random.default_rng(1).poisson(means), to=tmp_path / "curve.zarr")
    ds.write({"obs/t": t})
    kk.pca(ds, 5)
    kk.neighbors(ds)
    return ds


@pytest.fixture
def made(tmp_path):
    """A dataset of so many rows, with columns of labels."""

    def make(**columns):
        ds = kk.read(np.ones((len(next(iter(columns.values()))), 2)), to=tmp_path / "made.zarr")
        for name, values in columns.items():
            kk.annotate(ds, name, values)
        return ds

    return make


@pytest.fixture
def placed(dataset):
    """The small counts with places in the tissue, a corner for each group."""
    rng = np.random.default_rng(0)
    groups = dataset.read("obs/group").astype("category").cat.codes.to_numpy()
    corners = np.array([[0, 0], [0, 50], [50, 0], [50, 50]])
    dataset.write({"obsm/spatial": corners[groups] + rng.uniform(0, 50, (600, 2))})
    return dataset
