"""Groups and arrays have the headers that Zarr writes, and each is written once."""

import os

import numpy as np
import pytest
import zarr
from zarr.errors import ContainsArrayError, ContainsGroupError

from kithkin.core.arrays import open_group
from kithkin.core.layout import compressors, header_like
from kithkin.core.nodes import array_at, create_group, create_header, exists, remove, write_file

ABOUT = {"encoding-type": "array", "ä": [1, None, {"nan": float("nan")}]}


@pytest.fixture
def group(tmp_path):
    return open_group(tmp_path / "a.zarr", "w")


def header_of(group, name):
    return (group.store_path.store.root / group.path / name / "zarr.json").read_bytes()


def test_a_group_has_zarrs_header(group):
    inner = create_group(create_group(group, "a", {}), "b", ABOUT)
    group.create_group("c", attributes=ABOUT)
    assert header_of(inner, "") == header_of(group, "c")
    assert inner.path == "a/b"
    assert sorted(group.group_keys()) == ["a", "c"]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "string"])
@pytest.mark.parametrize(
    ("shape", "chunks", "shards"),
    [((), (), None), ((0,), (1,), None), ((7, 3), (2, 3), None), ((70,), (5,), (20,)), ((9, 2), (2, 2), (4, 2))],
)
def test_an_array_has_zarrs_header(group, dtype, shape, chunks, shards):
    dtype = dtype if dtype == "string" else np.dtype(dtype)
    like = header_like(dtype, len(shape), sharded=shards is not None)
    header = create_header(group, "a", like, shape, chunks, ABOUT, shards)
    group.create_array(
        "b", shape=shape, dtype=dtype, chunks=chunks, shards=shards, compressors=compressors(), attributes=ABOUT
    )
    assert header_of(group, "a") == header_of(group, "b")
    array = array_at(group.store_path / "a", header)
    assert (array.shape, array.chunks, array.shards, array.dtype) == (shape, chunks, shards, group["b"].dtype)


@pytest.mark.parametrize("store", ["folder", "memory"])
def test_what_is_there_is_refused_until_it_is_removed(group, store):
    group = group if store == "folder" else zarr.create_group({}, zarr_format=3)
    create_group(group, "a", {})
    with pytest.raises(ContainsGroupError, match="a exists already"):
        create_group(group, "a", {})
    with pytest.raises(ContainsArrayError, match="a exists already"):
        create_header(group, "a", header_like(np.dtype("u1"), 1), (1,), (1,), {})
    assert exists(group, "a")
    remove(group, "a")
    remove(group, "a")
    assert not exists(group, "a")


def test_another_link_to_a_file_keeps_what_it_held(tmp_path):
    write_file(tmp_path / "a/b", b"old")
    os.link(tmp_path / "a/b", tmp_path / "c")
    write_file(tmp_path / "a/b", b"new")
    assert ((tmp_path / "a/b").read_bytes(), (tmp_path / "c").read_bytes()) == (b"new", b"old")
    assert sorted(os.listdir(tmp_path / "a")) == ["b"]


def test_a_group_that_is_opened_is_what_zarr_opens(tmp_path, group):
    group.attrs.update(ABOUT)
    for mode in ("r", "r+", "a"):
        ours, zarrs = open_group(tmp_path / "a.zarr", mode), zarr.open_group(tmp_path / "a.zarr", mode=mode)
        assert str(dict(ours.attrs)) == str(dict(zarrs.attrs))
        assert ours.read_only == zarrs.read_only == (mode == "r")
    (tmp_path / "a.zarr/x").mkdir()
    open_group(tmp_path / "a.zarr", "w")
    assert os.listdir(tmp_path / "a.zarr") == ["zarr.json"]
