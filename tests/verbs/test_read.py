"""Reading makes a dataset of whatever it is given, or says in one sentence why not."""

import logging

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk


@pytest.fixture
def h5ad(small_counts, tmp_path):
    path = tmp_path / "counts.h5ad"
    small_counts.write_h5ad(path)
    return path


def assert_same(ds, dense):
    X = ds.to_anndata().X
    assert np.array_equal(X.toarray() if sparse.issparse(X) else X, dense)


def test_a_file_and_the_object_in_memory_give_the_same(h5ad, small_counts, tmp_path):
    one, two = kk.read(h5ad, to=tmp_path / "a.zarr"), kk.read(small_counts, to=tmp_path / "b.zarr")
    assert_same(one, small_counts.X.toarray())
    assert_same(two, small_counts.X.toarray())
    pd.testing.assert_frame_equal(one.obs, two.obs)
    pd.testing.assert_frame_equal(one.var, two.var)


@pytest.mark.parametrize(
    "wrap", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array, pd.DataFrame], ids=lambda w: w.__name__
)
def test_objects_in_memory(wrap, tmp_path):
    dense = np.random.default_rng(0).poisson(0.8, (30, 12))
    assert_same(kk.read(wrap(dense), to=tmp_path / "a.zarr"), dense)


def test_a_dataset_is_read_like_its_path(dataset, small_counts, tmp_path):
    for number, source in enumerate((dataset, dataset.path, str(dataset.path))):
        assert_same(kk.read(source, to=tmp_path / f"{number}.zarr"), small_counts.X.toarray())


def test_the_budget_and_threads_are_those_of_the_dataset(tmp_path):
    ds = kk.read(np.eye(4), to=tmp_path / "a.zarr", memory="321MB", threads=1, progress=False)
    assert (ds.execution.memory, ds.execution.threads, ds.execution.progress) == (321 * 10**6, 1, False)


def test_an_existing_target_is_kept_unless_told(tmp_path):
    kk.read(np.eye(4), to=tmp_path / "a.zarr")
    with pytest.raises(kk.KithkinError, match=r"a\.zarr exists already\. Choose another name, or say overwrite=True"):
        kk.read(np.eye(5), to=tmp_path / "a.zarr")
    assert kk.open(tmp_path / "a.zarr").shape == (4, 4)
    assert kk.read(np.eye(5), to=tmp_path / "a.zarr", overwrite=True).shape == (5, 5)
    with pytest.raises(kk.KithkinError):
        kk.read(np.array([[np.nan, 1.0]]), to=tmp_path / "a.zarr", overwrite=True)
    assert kk.open(tmp_path / "a.zarr").shape == (5, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("setting", "name"),
    [({"layer": "spliced"}, "layer"), ({"raw": True}, "raw"), ({"genome": "hg19"}, "genome")],
)
def test_a_setting_without_effect_is_refused(tmp_path, setting, name):
    np.savez(tmp_path / "a.npz", X=np.eye(3))
    for source in (np.eye(3), tmp_path / "a.npz"):
        with pytest.raises(kk.ParameterError, match=name):
            kk.read(source, to=tmp_path / "a.zarr", **setting)
    assert not (tmp_path / "a.zarr").exists()


def test_transpose_of_counts_of_cells_is_refused(h5ad, tmp_path):
    with pytest.raises(kk.ParameterError, match="transpose"):
        kk.read(h5ad, to=tmp_path / "a.zarr", transpose=True)


def test_names_are_made_unique_and_said_so(small_counts, tmp_path, caplog):
    small_counts.var_names = [f"g{i // 2}" for i in range(500)]
    small_counts.obs_names = ["same"] * 600
    with caplog.at_level(logging.WARNING, "kithkin"):
        ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    assert ds.var_names.is_unique
    assert ds.obs_names.is_unique
    assert set(ds.var_names[::2]) == {f"g{i}" for i in range(250)}
    said = [record.getMessage() for record in caplog.records]
    assert any("250" in text and "unique" in text for text in said), said
    assert any("599" in text and "unique" in text for text in said), said


def test_values_that_are_no_counts_are_said_to_be_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "kithkin"):
        kk.read(np.eye(3) * 0.5, to=tmp_path / "a.zarr")
    assert "not integers" in caplog.text


@pytest.mark.parametrize("source", [[1, 2], {"a": 1}, 7, None])
def test_other_objects_are_refused(source, tmp_path):
    with pytest.raises(kk.FormatError, match=r"cannot be read\. Readable are"):
        kk.read(source, to=tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(kk.KithkinError, match="nowhere does not exist"):
        kk.read(np.eye(3), to=tmp_path / "nowhere" / "a.zarr")
    with pytest.raises(kk.FormatError, match=r"nothing\.h5 does not exist"):
        kk.read(tmp_path / "nothing.h5", to=tmp_path / "a.zarr")


def test_columns_of_the_source_that_quality_writes_too_are_kept_under_another_name(tmp_path, caplog):
    X = sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 3.0]]))
    obs = pd.DataFrame({"n_counts": [100.0, 200.0], "n_genes": [2, 1], "pct_mito": ["a", "b"]}, index=["a", "b"])
    var = pd.DataFrame({"n_cells": [7, 8]}, index=["x", "y"])
    ds = kk.read(anndata.AnnData(X, obs, var), to=tmp_path / "a.zarr", progress=False)
    assert ds.obs["n_counts"].tolist() == [3, 3]
    assert ds.obs["source_n_counts"].tolist() == [100, 200]
    assert ds.obs["source_pct_mito"].tolist() == ["a", "b"]
    assert ds.var["source_n_cells"].tolist() == [7, 8]
    assert "source_n_genes" not in ds.obs  # the same numbers
    assert (
        "obs/n_counts of the AnnData object is kept as obs/source_n_counts, for quality writes its own" in caplog.text
    )
    again = kk.read(ds, to=tmp_path / "b.zarr", progress=False)
    assert list(again.obs.columns) == list(ds.obs.columns)
