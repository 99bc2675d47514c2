"""Finished datasets for the verbs: simulated counts, and blood cells where they are present."""

from __future__ import annotations

import shutil

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
def finished(_finished_path, tmp_path):
    """The small counts with all up to markers, clusters at resolution 0.5, for each test anew."""
    path = tmp_path / "cells.zarr"
    shutil.copytree(_finished_path, path)
    return kk.open(path)


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
