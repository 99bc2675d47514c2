"""Layout of arrays on disk: types, chunks, shards and codecs. The choices come from benchmarks/layout.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from kithkin.core.arrays import use_pipeline
from kithkin.core.blocks import Array
from kithkin.core.errors import KithkinError

CHUNK = 1 << 16  # stored values in one chunk: the unit of random access
SHARD = 1 << 22  # stored values in one file
DENSE_CHUNK_BYTES = 1 << 18
DENSE_SHARD_BYTES = 1 << 25
COLUMN_CHUNK = 1 << 17  # texts, or codes of categories, in one file of a column

WRITTEN = {"write_empty_chunks": True}  # so that a file that is not there is one that was lost


def compressors() -> list[Any]:
    """Return the codecs behind every array: bit-shuffled lz4, and a checksum over what it wrote.

    Examples
    --------
    >>> [type(codec).__name__ for codec in compressors()]
    ['BloscCodec', 'Crc32cCodec']
    """
    return [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()]


def smallest_integer(low: int, high: int) -> np.dtype[Any]:
    """Choose the smallest integer type that holds low and high."""
    names = ("uint8", "uint16", "uint32", "uint64") if low >= 0 else ("int8", "int16", "int32", "int64")
    for name in names:
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return np.dtype(name)
    raise KithkinError(f"no integer type holds values from {low} to {high}")


def stored_dtype(values: Array) -> np.dtype[Any]:
    """Choose the smallest type that holds the values exactly: integers where all are, else their own float type."""
    own: np.dtype[Any] = values.dtype
    if own.kind == "b" or not values.size:
        return np.dtype(np.uint8)
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu":
        return smallest_integer(int(low), int(high))
    if not (np.isfinite(low) and np.isfinite(high)) or abs(low) >= 2**53 or abs(high) >= 2**53:
        return own
    if np.array_equal(values, np.trunc(values)) and not np.signbit(values[values == 0]).any():
        return smallest_integer(int(low), int(high))
    return own


def joint_dtype(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Choose the smallest type that holds the values of both types; `exactly` refuses the few that it does not."""
    if "f" in (a.kind, b.kind) and a.kind != b.kind:
        floating, integer = (a, b) if a.kind == "f" else (b, a)
        return np.promote_types(floating, np.float64 if integer.itemsize > 2 else floating)
    if {a.kind, b.kind} == {"i", "u"} and 8 in (a.itemsize, b.itemsize):
        return np.dtype(np.int64)  # where NumPy would take float64, which rounds
    return np.promote_types(a, b)


def exactly(values: Array, dtype: np.dtype[Any]) -> Array:
    """Convert values to a joint type, which holds all but the largest integers.

    Raises
    ------
    KithkinError
        If a value would change.
    """
    if values.dtype == dtype:
        return values
    out = values.astype(dtype)
    if values.dtype.itemsize == 8 and values.dtype.kind in "iu" and dtype.kind in "if":
        limit = 2**53 if dtype.kind == "f" else 2**63 - 1
        worst = max(int(values.max()), -int(values.min())) if values.size else 0
        if worst > limit:
            raise KithkinError(f"no type holds both {worst} and the other values of the table exactly")
    return out


def index_dtype(n_columns: int) -> np.dtype[Any]:
    """Return the type of column indices: one with which SciPy computes, as it takes that of indptr to be the same."""
    return np.dtype(np.int32 if n_columns < 2**31 else np.int64)


def dense_chunks(n_rows: int, row_bytes: int) -> tuple[int, int]:
    """Choose the rows of a chunk and of a shard of a dense table."""
    chunk = max(1, min(max(n_rows, 1), DENSE_CHUNK_BYTES // max(row_bytes, 1)))
    most = max(1, -(-n_rows // chunk))  # a shard holds no chunk without rows
    return chunk, chunk * min(most, max(1, DENSE_SHARD_BYTES // max(chunk * row_bytes, 1)))


def create_vector(group: zarr.Group, name: str, dtype: Any, length: int | None = None) -> zarr.Array[Any]:
    """Create a one-dimensional array in shards of small chunks.

    Parameters
    ----------
    group
        Group that receives it.
    name
        Its name.
    dtype
        Type of the values.
    length
        Number of values; None: it grows, from none.
    """
    small = length is not None and length <= CHUNK
    shard = SHARD if length is None else min(SHARD, -(-length // CHUNK) * CHUNK)
    array = group.create_array(
        name,
        shape=(length or 0,),
        dtype=dtype,
        chunks=(max(1, length) if length is not None and small else CHUNK,),
        shards=None if small else (shard,),
        compressors=compressors(),
        fill_value=0,
        config=WRITTEN,  # type: ignore[arg-type]
    )
    return use_pipeline(array)


def create_table(group: zarr.Group, name: str, dtype: Any, shape: tuple[int, ...], n_rows: int) -> zarr.Array[Any]:
    """Create a dense array chunked by rows; n_rows is how many it will have at the end."""
    width = tuple(max(1, size) for size in shape[1:])
    row_bytes = int(np.prod(width)) * np.dtype(dtype).itemsize
    chunk, shard = dense_chunks(n_rows, row_bytes)
    array = group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(chunk, *width),
        shards=(shard, *width) if shard > chunk else None,
        compressors=compressors(),
        fill_value=0,
        config=WRITTEN,  # type: ignore[arg-type]
    )
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return use_pipeline(array)


def file_rows(array: zarr.Array[Any]) -> int:
    """Return how many rows, or values of a vector, one file holds.

    Examples
    --------
    >>> file_rows(create_vector(zarr.group({}), "x", "u1", 10)), file_rows(create_vector(zarr.group({}), "x", "u1"))
    (10, 4194304)
    """
    return int(array.shards[0] if array.shards else array.chunks[0])


def rows_in_full_files(array: zarr.Array[Any]) -> int:
    """Return how many rows are in files that stay as they are when rows are added: none where there is one file.

    Examples
    --------
    >>> array = create_vector(zarr.group({}), "x", "u1")
    >>> [(array.resize((length,)), rows_in_full_files(array))[1] for length in (10, 4194304, 4194314)]
    [0, 0, 4194304]
    """
    length, rows = int(array.shape[0]), file_rows(array)
    return length // rows * rows if length > rows else 0


def written_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Open an array of a group to write into it, with all that `create_vector` and `create_table` set."""
    array: Any = group[name]
    again: Any = zarr.AsyncArray(array.metadata, array.store_path, config=WRITTEN)  # type: ignore[call-overload]
    return use_pipeline(zarr.Array(again))
