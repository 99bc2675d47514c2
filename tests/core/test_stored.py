"""Row blocks on disk are the table, from any thread or process and in any cut."""

import pickle

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

from kithkin.core.arrays import open_array
from kithkin.core.blocks import Blocks, SparseRows
from kithkin.core.chunks import ChunkFiles
from kithkin.core.errors import KithkinError, ParameterError
from kithkin.core.layout import compressors
from kithkin.core.stored import StoredDense, StoredRows, pick_columns
from kithkin.core.writer import DatasetWriter

DENSE = np.random.default_rng(0).poisson(0.6, (53, 11)).astype(np.uint16) * 3
DENSE[17:21] = 0


@pytest.fixture(params=[True, False], ids=["sparse", "dense"])
def stored(request, tmp_path):
    """A function that opens the table with some number of rows to a block."""
    path = tmp_path / "a.zarr"
    matrix = sparse.csr_matrix(DENSE)
    rows = SparseRows(matrix.data, matrix.indices, matrix.indptr.astype(np.int64), 11)
    with DatasetWriter(path, 11) as writer:
        writer.append(rows if request.param else DENSE)
        writer.finish(pd.DataFrame(index=range(53)), pd.DataFrame(index=range(11)))
    kind = StoredRows if request.param else StoredDense
    return lambda rows=None, **how: kind(path, "X", rows=rows, **how)


def dense(block):
    return block.to_dense() if isinstance(block, SparseRows) else block


@pytest.mark.parametrize("rows", [1, 10, 53, 1000, None])
def test_blocks_cover_every_row_once(stored, rows):
    blocks = stored(rows)
    assert isinstance(blocks, Blocks)
    assert blocks.shape == (53, 11)
    assert np.array_equal(np.concatenate([dense(blocks.read(*r)) for r in blocks.ranges]), DENSE)
    assert [r[0] for r in blocks.ranges] == [0, *(r[1] for r in blocks.ranges[:-1])]
    assert blocks.ranges[-1][1] == 53


def test_any_run_of_rows_also_empty_ones(stored):
    blocks = stored()
    for start, stop in ((0, 0), (53, 53), (17, 21), (20, 22), (52, 53), (0, 53)):
        assert np.array_equal(dense(blocks.read(start, stop)), DENSE[start:stop])


def test_a_block_reads_the_starts_of_its_own_rows_only(stored, monkeypatch):
    blocks, read = stored(5), []
    if not blocks.is_sparse:
        pytest.skip("dense rows have no starts")
    slices = StoredRows._slice
    monkeypatch.setattr(StoredRows, "_slice", lambda self, *part: read.append(part) or slices(self, *part))
    assert np.array_equal(blocks.read(20, 25).to_dense(), DENSE[20:25])
    assert [part for part in read if part[0] == "X/indptr"] == [("X/indptr", 20, 26)]


@pytest.mark.parametrize("rows", [[], [5], [5, 6, 7, 30], [52, 0, 0, 18], list(range(52, -1, -1))])
def test_scattered_rows_come_in_the_order_given(stored, rows):
    found = dense(stored().take(np.array(rows, int)))
    assert np.array_equal(found, DENSE[np.array(rows, int)])


def test_they_pickle_small_and_read_the_same_again(stored):
    blocks = stored(10)
    blocks.read(0, 53)
    raw = pickle.dumps(blocks)
    assert len(raw) < 2000, "open files and row pointers stay behind"
    assert np.array_equal(dense(pickle.loads(raw).read(3, 40)), DENSE[3:40])


def test_the_budget_decides_the_rows(stored):
    small, large = stored(memory=10**3, threads=1), stored(memory=10**9, threads=1)
    assert len(small.ranges) >= len(large.ranges) == 1


def test_damage_names_the_element(stored):
    blocks = stored()
    folder = blocks._path / ("X/data" if blocks.is_sparse else "X")
    for chunk in (folder / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(KithkinError, match=r"a\.zarr: X.* is damaged on disk between"):
        stored().read(0, 53)


@pytest.mark.parametrize("columns", [[4], [10, 0, 5], list(range(11))])
@pytest.mark.parametrize("as_sparse", [True, False])
def test_columns_are_picked_into_their_places(columns, as_sparse):
    position = np.full(11, -1)
    position[columns] = np.arange(len(columns))
    matrix = sparse.csr_matrix(DENSE)
    block = SparseRows(matrix.data, matrix.indices.astype(np.uint16), matrix.indptr.astype(np.int64), 11)
    found = pick_columns(block if as_sparse else DENSE, position, len(columns))
    assert np.array_equal(found, DENSE[:, columns])
    assert found.dtype == DENSE.dtype


def test_a_vector_is_no_table(dataset):
    dataset.write({"uns/vector": np.arange(5)})
    with pytest.raises(ParameterError, match="must have two dimensions, got 1"):
        dataset.blocks("uns/vector")
    with pytest.raises(ParameterError, match="cannot be read in blocks of rows"):
        dataset.blocks("obs/group")


SELECTIONS = [slice(None), slice(3, 27), slice(10, 20), slice(12, 13), slice(5, 5), slice(0, 43, 7), 17, [5, 21, 42]]


@pytest.mark.parametrize("shards", [None, 20], ids=["chunks", "shards"])
@pytest.mark.parametrize("width", [(), (3,), (3, 2)])
@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_rows_are_those_that_zarr_decodes(tmp_path, monkeypatch, selection, width, shards):
    values = np.random.default_rng(0).integers(0, 500, (43, *width)).astype(np.uint16)
    values[10:20] = 0  # a chunk that is not stored
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    sizes = {"chunks": (10, *width), "shards": shards and (shards, *width)}
    array = group.create_array("a", shape=values.shape, dtype="u2", compressors=compressors(), **sizes)
    array[...] = values
    decoded, decode = [], ChunkFiles.decode
    monkeypatch.setattr(ChunkFiles, "decode", lambda *how: (decoded.append(how), decode(*how)))
    for compiled in (True, False):
        opened = open_array(tmp_path, "a", compiled=compiled)
        found = opened.oindex[selection] if isinstance(selection, list) else opened[selection]
        assert np.array_equal(found, values[selection])
        assert found.dtype == np.uint16
    one_run = isinstance(selection, slice) and selection.step is None and selection != slice(5, 5)
    assert bool(decoded) == one_run
