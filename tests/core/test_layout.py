"""The smallest types that hold the values exactly."""

import subprocess
import sys

import numpy as np
import pytest

from kithkin.core.arrays import cast_header, stored_header
from kithkin.core.checksums import Checksum, checksum_of, update
from kithkin.core.layout import dense_chunks, index_dtype, joint_dtype, smallest_integer, stored_dtype

TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "int64", "float32", "float64")


@pytest.mark.parametrize("dtype", TYPES)
def test_stored_type_holds_the_values_exactly(dtype):
    tables = [[0, 1], [0, 255], [0, 256], [70000, 1], [-1, 5], [-300, 5], [0.5, 2], []]
    held = [given for given in map(np.array, tables) if np.array_equal(given, given.astype(dtype))]
    assert len(held) >= 3
    for values in held:
        given = values.astype(dtype)
        stored = stored_dtype(given)
        assert np.array_equal(given.astype(stored).astype(dtype), given)
        assert stored.itemsize <= given.dtype.itemsize


@pytest.mark.parametrize(
    ("low", "high", "name"), [(0, 255, "uint8"), (0, 256, "uint16"), (-1, 127, "int8"), (-1, 128, "int16")]
)
def test_smallest_integer_at_its_bounds(low, high, name):
    assert smallest_integer(low, high) == np.dtype(name)


@pytest.mark.parametrize("a", TYPES)
def test_joint_type_holds_the_extremes_of_both(a):
    for b in ("uint8", "int8", "uint16", "uint32", "float32"):
        joint = joint_dtype(np.dtype(a), np.dtype(b))
        for name in (a, b):
            if np.dtype(name).kind in "iu":
                for value in (np.iinfo(name).min, np.iinfo(name).max):
                    if not (joint.kind == "f" and abs(value) > 2**53):
                        assert int(np.array(value).astype(joint)) == value


def test_negative_zero_and_huge_floats_stay_floats():
    assert stored_dtype(np.array([-0.0, 1.0])).kind == "f"
    assert stored_dtype(np.array([1e300])).kind == "f"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cast_is_taken_off_a_header_as_it_was_put_there(dtype):
    header = {"data_type": "uint8", "fill_value": 0, "codecs": [{"name": "bytes"}]}
    cast = cast_header(header, np.dtype(dtype))
    assert (cast["data_type"], len(cast["codecs"])) == (dtype, 2)
    assert stored_header(cast) == header == stored_header(header)


def test_checksums_of_headers_and_of_a_change():
    assert checksum_of({"a": 1, "b": 2}) == checksum_of({"b": 2, "a": 1, "consolidated_metadata": {}})
    one, two = Checksum(1, 0, 0), Checksum(2, 3, 9)
    assert Checksum.parse(str(two)) == two
    changed = update({"X": one, "uns/a": one, "uns/a/b": one}, {"uns": two, "uns/a": two}, ["uns/a"], {})
    assert changed == {"X": one, "uns/a": two}


def test_index_type_reaches_the_last_column():
    for n in (1, 2**15, 2**15 + 1, 2**31 - 1, 2**31 + 1):
        assert np.iinfo(index_dtype(n)).max >= n - 1
        assert index_dtype(n).kind == "i"


def test_dense_shards_are_whole_chunks():
    for n, width in ((10, 8), (10**6, 784), (5, 10**7)):
        chunk, shard = dense_chunks(n, width)
        assert chunk >= 1
        assert shard % chunk == 0


INTERRUPTED = """
import asyncio, os, signal, threading
import kithkin.core.arrays, zarr, zarr.core.sync

def stop(*_):
    raise KeyboardInterrupt

async def slow():
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(2)
    os.write(1, b"finished")

signal.signal(signal.SIGUSR1, stop)
kithkin.core.arrays.use_pipeline(zarr.create_array({}, shape=(5,), dtype="i4"))
try:
    zarr.core.sync.sync(slow())
except KeyboardInterrupt:
    os.write(1, b"interrupted ")
"""


def test_what_was_under_way_at_an_interrupt_ends_before_the_process_and_without_a_word():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("interrupted finished", "")
