"""Chunks written in any order, in both formats; and what a writer that was killed leaves."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from kithkin.core.arrays import use_pipeline
from kithkin.io.thumbnails.shards import RECORD, ChunkWriter, Grid, create_array

VALUES = np.random.default_rng(0).integers(0, 500, (2, 23, 6, 6)).astype(np.uint16)


def grid_of(zarr_format, chunk=3):
    shard = chunk if zarr_format == 2 else 3 * chunk
    return Grid(VALUES.shape, 1, VALUES.dtype, chunk, shard, zarr_format)


def start(folder, grid):
    if not folder.exists():
        create_array(folder, grid, ["channel", "cell", "y", "x"], {"said": 1})
    return ChunkWriter(folder, grid, folder.with_suffix(".log"))


def packed(writer, grid, chunks):
    return [(k, writer.pack(VALUES[:, k * grid.chunk : (k + 1) * grid.chunk])) for k in chunks]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_in_any_order(tmp_path, zarr_format, compiled):
    grid = grid_of(zarr_format)
    writer = start(tmp_path / "a", grid)
    order = np.random.default_rng(1).permutation(grid.n_chunks).tolist()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda k: writer.write(packed(writer, grid, [k])), order))
    assert writer.written.all()
    writer.close()
    array = use_pipeline(zarr.open_array(tmp_path / "a", mode="r"), compiled=compiled)
    assert np.array_equal(array[:], VALUES)
    assert np.array_equal(array[:, 5:17], VALUES[:, 5:17])
    assert array.attrs["said"] == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_writer_goes_on_where_another_was_killed(tmp_path, zarr_format):
    grid = grid_of(zarr_format)
    writer = start(tmp_path / "a", grid)
    writer.write(packed(writer, grid, [5, 0, 3]))
    writer.abandon()
    again = start(tmp_path / "a", grid)
    assert np.flatnonzero(again.written).tolist() == [0, 3, 5]
    again.write(packed(again, grid, [k for k in range(grid.n_chunks) if k not in (0, 3, 5)]))
    again.close()
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], VALUES)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_not_whole_on_disk_does_not_count(tmp_path, zarr_format):
    grid = grid_of(zarr_format)
    writer = start(tmp_path / "a", grid)
    writer.write(packed(writer, grid, [0, 1, 4]))
    writer.abandon()
    path = tmp_path / "a" / grid.file_of(4 // grid.per_shard)
    os.truncate(path, path.stat().st_size - 3)  # the last bytes did not reach the disk
    with (tmp_path / "a.log").open("ab") as log:
        log.write(b"\x07" * (RECORD.itemsize + 5))  # a record torn by the kill
    again = start(tmp_path / "a", grid)
    assert np.flatnonzero(again.written).tolist() == [0, 1]
    again.write(packed(again, grid, range(2, grid.n_chunks)))
    again.abandon()
    third = start(tmp_path / "a", grid)
    assert third.written.all()
    third.close()
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], VALUES)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_may_be_written_again(tmp_path, zarr_format):
    grid = grid_of(zarr_format)
    writer = start(tmp_path / "a", grid)
    writer.write([(2, writer.pack(np.random.default_rng(3).integers(0, 9999, (2, 3, 6, 6)).astype(np.uint16)))])
    writer.write(packed(writer, grid, range(grid.n_chunks)))
    writer.close()
    again = start(tmp_path / "a", grid)
    assert again.written.all()
    again.close()
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], VALUES)


def test_the_index_of_a_finished_writer_is_no_hindrance(tmp_path):
    grid = grid_of(3)
    writer = start(tmp_path / "a", grid)
    writer.write(packed(writer, grid, range(grid.n_chunks)))
    writer.close()
    again = start(tmp_path / "a", grid)
    assert again.written.all()
    again.close()
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], VALUES)
