"""Rows below each element of a dataset: as pandas and NumPy stack them, with full files left alone."""

import os

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.arrays import open_group
from kithkin.core.elements import create_dict, read_element, write_element
from kithkin.core.errors import KithkinError
from kithkin.core.extension import add_missing_rows, add_rows, extend_element, extend_frame, link_tree

SHORT, LONG = 7, 300
MISSING = {
    "numbers": pd.Series([np.nan, 1.5] * 4),
    "whole": pd.Series(np.arange(8)),
    "small": pd.Series(np.arange(8), dtype=np.uint8),
    "yes": pd.Series([True, False] * 4),
    "texts": pd.Series(list("abcdefgh"), dtype=object),
    "kinds": pd.Categorical(list("abcabcab")),
    "numbered": pd.Categorical([3, 1, 2, 3, 3, 1, 2, 2]),
    "ordered": pd.Categorical(list("abcabcab"), categories=list("cba"), ordered=True),
    "nullable": pd.array([1, None] * 4, dtype="Int64"),
    "maybe": pd.array([True, None] * 4, dtype="boolean"),
    "gaps": pd.Categorical(["x", None] * 4),
}


@pytest.fixture
def group(tmp_path, monkeypatch):
    """An empty group, whose arrays lie in files of few values."""
    monkeypatch.setattr("kithkin.core.layout.SHARD", 128)
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 32)
    monkeypatch.setattr("kithkin.core.elements.COLUMN_CHUNK", 64)
    return open_group(tmp_path / "a.zarr", "w")


def files(folder):
    found = [path for path in folder.rglob("c/*") if path.is_file()]
    return {path.relative_to(folder): (os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in found}


@pytest.mark.parametrize("n", [SHORT, 64, 128, LONG])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64", "bool", "object"])
def test_an_array_grows_in_its_last_file(group, tmp_path, n, dtype):
    values = np.array([f"cell{k}" for k in range(n + 40)], object) if dtype == "object" else np.arange(n + 40) % 2 == 0
    values = values.astype(dtype)
    write_element(group, "x", values[:n])
    before = files(tmp_path / "a.zarr/x")
    add_rows(group, "x", values[n : n + 3])
    add_rows(group, "x", values[n + 3 :])
    assert read_element(group, "x").tolist() == values.tolist()
    after = files(tmp_path / "a.zarr/x")
    size = 64 if dtype == "object" else 128
    full = n // size if n > size else 0  # a single file gets the layout of more values
    assert sum(after.get(name) == file for name, file in before.items()) == full
    assert dict(group["x"].attrs)["encoding-type"] in ("array", "string-array")


def test_rows_of_a_table_grow(group):
    table = np.random.default_rng(0).normal(size=(LONG, 4))
    write_element(group, "x", table[:250])
    add_rows(group, "x", table[250:])
    assert np.array_equal(read_element(group, "x"), table)


@pytest.mark.parametrize("first", MISSING)
@pytest.mark.parametrize("second", MISSING)
def test_columns_are_stacked_as_pandas_does(group, first, second):
    """Whatever types meet, no value changes, and what is missing stays so."""
    names = [f"c{k}" for k in range(16)]
    before = pd.DataFrame({"x": MISSING[first], "only": MISSING[first]}).set_axis(names[:8])
    after = pd.DataFrame({"x": MISSING[second], "new": MISSING[second]}).set_axis(names[8:])
    write_element(group, "obs", before)
    extend_frame(group, "obs", after)
    got = read_element(group, "obs")
    assert got.index.tolist() == names
    assert got.columns.tolist() == ["x", "only", "new"]
    both = pd.concat([before["x"], after["x"]])
    want = {"x": both, "only": [*before["only"], *[None] * 8], "new": [*[None] * 8, *after["new"]]}
    mixed = both.dtype == object and pd.api.types.infer_dtype(both.dropna()) not in ("string", "boolean")
    for column, values in want.items():
        as_text = mixed and column == "x"
        for a, b in zip(got[column], values, strict=True):
            assert (pd.isna(a) and pd.isna(b)) or a == (str(b) if as_text else b), (column, a, b)
    if first == second == "kinds":
        assert got["x"].dtype == "category"
    assert got["only"].dtype.name == before["only"].dtype.name or first in ("whole", "small", "yes", "texts")


def test_more_categories_than_the_codes_hold(group):
    few, many = [f"k{i}" for i in range(100)], [f"k{i}" for i in range(50, 250)]
    write_element(group, "obs", pd.DataFrame({"x": pd.Categorical(few)}, index=few))
    extend_frame(group, "obs", pd.DataFrame({"x": pd.Categorical(many)}, index=[f"n{i}" for i in range(200)]))
    assert read_element(group, "obs")["x"].tolist() == few + many


def test_matrices_grow(group):
    graph = sparse.random(LONG, LONG, 0.05, format="csr", random_state=0)
    create_dict(group, "obsp")
    for form in ("csr", "csc"):
        write_element(group["obsp"], form, graph.asformat(form))
        add_missing_rows(group["obsp"], form, 5, 5)
        got = read_element(group["obsp"], form)
        assert got.shape == (LONG + 5, LONG + 5)
        assert (got[:LONG, :LONG] != graph).nnz == 0
        assert got.nnz == graph.nnz
    write_element(group, "dense", graph.toarray())
    add_missing_rows(group, "dense", 2, 2)
    assert np.isnan(read_element(group, "dense")[LONG:]).all()
    write_element(group, "codes", np.arange(6).reshape(3, 2))
    add_missing_rows(group, "codes", 1)
    assert np.array_equal(read_element(group, "codes"), [[0, 1], [2, 3], [4, 5], [np.nan] * 2], equal_nan=True)
    extend_element(group, "codes", np.ones((1, 2), int), 1)
    assert read_element(group, "codes")[-1].tolist() == [1, 1]
    extend_element(group["obsp"], "csr", sparse.csr_matrix(np.ones((1, LONG + 5))), 1)
    assert read_element(group["obsp"], "csr")[-1].sum() == LONG + 5


def test_what_cannot_miss_is_refused(group):
    write_element(group, "pictures", np.zeros((3, 2, 2), np.uint8))
    with pytest.raises(KithkinError, match="pictures is stored as array of uint8, which cannot have missing rows: del"):
        add_missing_rows(group, "pictures", 1)


def test_a_linked_folder_shares_no_file_that_is_written_to(tmp_path):
    obs = pd.DataFrame({"k": pd.Categorical(list("aab"))}, list("xyz"))
    kk.read(anndata.AnnData(np.ones((3, 2), np.float32), obs=obs), to=tmp_path / "a.zarr")
    link_tree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    files = [path for path in (tmp_path / "b.zarr").rglob("*") if path.is_file()]
    assert {path.name == "zarr.json" for path in files if os.stat(path).st_nlink == 1} == {True}
    assert {path.name == "zarr.json" for path in files if os.stat(path).st_nlink == 2} == {False}
    (tmp_path / "a.zarr/note").symlink_to(tmp_path)
    with pytest.raises(KithkinError, match="note is a link: nothing is written there"):
        link_tree(tmp_path / "a.zarr", tmp_path / "c.zarr")
    assert anndata.read_zarr(tmp_path / "b.zarr").obs["k"].tolist() == list("aab")


def test_files_are_copied_where_they_cannot_be_linked(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    kk.read({"a": np.eye(4)}, to=tmp_path / "a.zarr")
    before = {path: path.read_bytes() for path in (tmp_path / "a.zarr").rglob("*") if path.is_file()}
    link_tree(tmp_path / "a.zarr", tmp_path / "linked.zarr")
    monkeypatch.setattr("kithkin.core.extension.os.link", refuse)
    kk.append(tmp_path / "linked.zarr", {"b": np.eye(4)})
    assert kk.open(tmp_path / "linked.zarr").to_anndata().X.sum(axis=0).tolist() == [2, 2, 2, 2]
    assert {path: path.read_bytes() for path in before} == before
