"""What is encoded here is what Zarr itself reads, and the same file every time."""

import shutil
import threading

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from kithkin.core import layout
from kithkin.core.arrays import open_array, open_group
from kithkin.core.chunks import ABSENT, ChunkFiles
from kithkin.core.encoding import encode, encodes, write_rows

TYPES = ["uint8", "int16", "uint32", "int64", "float32", "float64", "bool"]


def tables(data):
    """Rows of any type and number of dimensions."""
    dtype = np.dtype(data.draw(st.sampled_from(TYPES)))
    shape = data.draw(st.sampled_from([(), (3,), (2, 2)]))
    n = data.draw(st.integers(1, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    return (rng.normal(0, 20, (n, *shape))).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_zarrs_own_codecs_read_what_is_encoded(tmp_path_factory, data):
    values, folder = tables(data), tmp_path_factory.mktemp("e")
    group = open_group(folder, "w")
    chunk, per_file = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    array = group.create_array(
        "x",
        shape=values.shape,
        dtype=values.dtype,
        chunks=(chunk, *values.shape[1:]),
        shards=(chunk * per_file, *values.shape[1:]) if per_file > 1 else None,
        compressors=layout.compressors(),
        fill_value=0,
    )
    assert encodes(ChunkFiles.of(array.metadata.to_dict()), values)
    write_rows(array, 0, values)
    assert np.array_equal(zarr.open_array(folder / "x")[...], values)  # without what this package adds to Zarr
    assert np.array_equal(open_array(folder, "x")[...], values)
    assert not list((folder / "x/c").rglob(".*"))


def test_chunks_are_those_of_the_compiled_codecs_in_the_order_of_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 1 << 10)
    monkeypatch.setattr("kithkin.core.layout.SHARD", 1 << 14)
    values, group = np.random.default_rng(0).poisson(1, 9000).astype(np.uint8), open_group(tmp_path, "w")
    found, indices = [], []
    for name in ("ours", "theirs"):
        array = layout.create_vector(group, name, values.dtype)
        array.resize(values.shape)
        if name == "ours":
            write_rows(array, 0, values)
        else:
            array[...] = values
        files = ChunkFiles.of(array.metadata.to_dict())
        raw = (tmp_path / name / "c/0").read_bytes()
        index = np.frombuffer(raw[-4 - 16 * 16 : -4], "<u8").reshape(-1, 2)
        found.append([raw[a : a + n] for a, n in index.tolist() if a != ABSENT])
        indices.append(index)
    assert found[0] == found[1]
    assert len(found[0]) == -(-9000 // 1024)
    assert indices[0][0, 0] == 0
    assert (np.diff(indices[0][:9, 0].astype(int)) == indices[0][:8, 1].astype(int)).all()
    again = []
    thread = threading.Thread(target=lambda: again.append(b"".join(encode(files, values))))
    thread.start()
    thread.join()
    assert again == [(tmp_path / "ours/c/0").read_bytes()]  # whichever thread does it


def test_rows_that_begin_within_a_file_are_written_by_zarr(tmp_path):
    group = open_group(tmp_path, "w")
    array = layout.create_table(group, "x", np.dtype("u1"), (10, 3), 10)
    values = np.arange(30, dtype=np.uint8).reshape(10, 3)
    write_rows(array, 0, values[:4])
    write_rows(array, 4, values[4:])
    assert np.array_equal(open_array(tmp_path, "x")[...], values)


def test_a_file_for_which_there_is_no_array_any_more_is_not_written(tmp_path):
    array = layout.create_vector(open_group(tmp_path, "w"), "x", np.dtype("u1"), 4)
    shutil.rmtree(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        write_rows(array, 0, np.zeros(4, np.uint8))
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_written_whole_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    array = layout.create_vector(open_group(tmp_path, "w"), "x", np.dtype("u1"), 4)
    write_rows(array, 0, np.ones(4, np.uint8))

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kithkin.core.encoding.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_rows(array, 0, np.zeros(4, np.uint8))
    assert open_array(tmp_path, "x")[...].tolist() == [1, 1, 1, 1]
    assert [path.name for path in (tmp_path / "x/c").iterdir()] == ["0"]
