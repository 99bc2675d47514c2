"""Scattered ranges: the values that a slice gives, for every layout, each chunk decoded once, and damage named."""

import time

import anndata as ad
import numpy as np
import pytest
import zarr
from scipy import sparse

import kithkin as kk
from kithkin.core import chunks
from kithkin.core.arrays import open_array
from kithkin.core.chunks import ABSENT, ChunkFiles
from kithkin.core.errors import KithkinError
from kithkin.core.layout import compressors
from kithkin.core.scattered import Ranges, read_ranges
from kithkin.core.stored import StoredRows

N = 1000


@pytest.fixture
def chunked(tmp_path, monkeypatch):
    """A dataset of 1,000 rows of counts in chunks of 256 values, also of indptr, and its matrix."""
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 256)
    monkeypatch.setattr("kithkin.core.layout.SHARD", 2048)
    matrix = sparse.random(N, 60, 0.1, format="csr", random_state=0, data_rvs=lambda n: np.arange(n) % 90 + 1.0)
    return kk.read(matrix, to=tmp_path / "a.zarr", progress=False), matrix


@pytest.fixture
def decoded(monkeypatch):
    """Files and offsets of the chunks that are read, in order."""
    seen, read = [], chunks._read_chunk
    monkeypatch.setattr(chunks, "_read_chunk", lambda file, *place: (seen.append(place), read(file, *place))[1])
    return seen


@pytest.mark.parametrize("compressor", ["own", "zstd"])
@pytest.mark.parametrize("shards", [None, 20], ids=["chunks", "shards"])
@pytest.mark.parametrize("width", [(), (3,), (3, 2)])
def test_ranges_are_those_of_the_array(tmp_path, width, shards, compressor):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 500, (97, *width)).astype(np.uint16)
    values[10:20], values[40:60] = 0, 0  # a chunk, and a file, that are not stored
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    how = {"compressors": compressors()} if compressor == "own" else {}
    sizes = {"chunks": (10, *width), "shards": shards and (shards, *width)}
    group.create_array("a", shape=values.shape, dtype="u2", **sizes, **how)[...] = values
    for n in (1, 5, 200):
        starts = rng.integers(0, 97, n)
        stops = np.minimum(starts + rng.integers(1, 30, n), 97)
        ends = np.r_[0, np.cumsum(stops - starts)]
        out = np.full((ends[-1], *width), 7, np.uint16)
        read_ranges(open_array(tmp_path, "a"), Ranges(starts, stops, ends[:-1]), out)
        assert np.array_equal(out, np.concatenate([values[a:b] for a, b in zip(starts, stops, strict=True)]))


@pytest.mark.parametrize("how", ["any order", "twice", "one run", "backwards", "none"])
def test_rows_come_in_the_order_of_the_caller(chunked, how):
    ds, matrix = chunked
    rng = np.random.default_rng(0)
    rows = {
        "any order": rng.permutation(N)[:300],
        "twice": rng.integers(0, 50, 300),
        "one run": np.arange(17, 700),
        "backwards": np.arange(N)[::-1],
        "none": np.empty(0, int),
    }[how]
    found = ds.rows(rows)
    assert np.array_equal(found.to_dense(), matrix[rows].toarray())
    assert found.data.dtype == found.indptr.dtype == np.int64


def test_each_chunk_is_decoded_once_and_no_other(chunked, decoded):
    ds, matrix = chunked
    rows = np.random.default_rng(0).permutation(N)[:200]
    blocks = ds.blocks()
    decoded.clear()
    blocks.take(np.r_[rows, rows])
    starts = matrix.indptr.astype(np.int64)
    values = np.unique(np.concatenate([np.arange(starts[r], starts[r + 1]) for r in rows]) // 256)
    pointers = np.unique(np.r_[rows, rows + 1] // 256)
    assert len(decoded) == 2 * len(values) + len(pointers)
    decoded.clear()
    blocks.take(np.array([0, 3]))
    assert len(decoded) == 3, "of indptr, too, only what the rows need"


def test_a_block_in_memory_and_a_worker_take_the_same_rows(chunked):
    ds, _ = chunked
    blocks = ds.blocks()
    before = blocks.take(np.array([5, 900]))
    blocks.read(0, 10)  # reads indptr whole
    after = blocks.take(np.array([5, 900]))
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(before, part), getattr(after, part))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_tables_of_other_programs_and_frames_are_read_alike(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (500, 40)).astype(np.float32)
    adata = ad.AnnData(sparse.csr_matrix(X), obsm={"X_pca": rng.normal(size=(500, 7))})
    with ad.settings.override(zarr_write_format=3):
        adata.write_zarr(tmp_path / "b.zarr")
    ds, rows = kk.open(tmp_path / "b.zarr"), rng.integers(0, 500, 200)
    assert np.array_equal(ds.rows(rows).to_dense(), X[rows])
    assert np.array_equal(ds.rows(rows, "obsm/X_pca"), adata.obsm["X_pca"][rows])


def test_damage_is_named_and_a_missing_file_is_no_zero(chunked):
    ds, _ = chunked
    file = next(one for one in (ds.path / "X/data/c").rglob("*") if one.is_file())
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(KithkinError, match=r"X/data is damaged on disk between .*does not match its checksum"):
        ds.blocks().take(np.arange(0, N, 2))
    blocks = ds.blocks()
    file.unlink()
    with pytest.raises(KithkinError, match=r"X/data is damaged on disk between .*its file \d is missing"):
        blocks.take(np.arange(0, N, 2))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_row_pointers_that_go_beyond_the_table_are_damage(tmp_path):
    adata = ad.AnnData(sparse.csr_matrix(np.eye(6, dtype=np.float32)))
    with ad.settings.override(zarr_write_format=3):
        adata.write_zarr(tmp_path / "b.zarr")
    zarr.open_group(tmp_path / "b.zarr")["X/indptr"][3] = 40
    with pytest.raises(KithkinError, match="its rows do not cover the 6 stored values"):
        StoredRows(tmp_path / "b.zarr", "X").take(np.array([2]))


def test_thousands_of_scattered_rows_cost_little_more_than_the_table(tmp_path):
    X = np.random.default_rng(0).integers(0, 200, (20000, 200)).astype(np.uint8)
    ds = kk.read(X, to=tmp_path / "a.zarr", progress=False)
    rows = np.random.default_rng(1).permutation(20000)[:6000]
    blocks, seconds = ds.blocks(), []
    for work in (lambda: [blocks.read(*r) for r in blocks.ranges], lambda: blocks.take(rows)):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    assert seconds[1] < 5 * seconds[0] + 0.3  # one read a row took 4 s


def test_an_absent_chunk_of_a_shard_is_zero(tmp_path):
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    array = group.create_array("a", shape=(40,), dtype="u2", chunks=(10,), shards=(40,), compressors=compressors())
    array[:10], array[30:] = 3, 4
    with chunks.opened(str(tmp_path / "a/c/0")) as file:
        layout = ChunkFiles.of(array.metadata.to_dict())
        assert (layout.read_index(file)[1:3, 0] == ABSENT).all()
    out = np.ones(4, np.uint16)
    read_ranges(open_array(tmp_path, "a"), Ranges.of_rows(np.array([39, 11, 2, 25])), out)
    assert out.tolist() == [4, 0, 3, 0]
