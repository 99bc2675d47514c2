"""Layout of arrays on disk: types, chunks, shards and codecs. The choices come from benchmarks/layout.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import VLenUTF8  # type: ignore[import-untyped]
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from kithkin.core.arrays import read_header, use_pipeline
from kithkin.core.blocks import Array
from kithkin.core.chunks import CHECKSUM
from kithkin.core.encoding import CODEC, write_rows
from kithkin.core.errors import KithkinError
from kithkin.core.nodes import array_at, create_header, put

CHUNK = 1 << 16  # stored values in one chunk: the unit of random access
SHARD = 1 << 22  # stored values in one file
DENSE_CHUNK_BYTES = 1 << 18
DENSE_SHARD_BYTES = 1 << 25
COLUMN_CHUNK = 1 << 17  # texts, or codes of categories, in one file of a column
ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}  # in AnnData's format


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
    if values.dtype.itemsize == 8 and values.dtype.kind in "iu" and dtype.kind in "if" and values.size:
        check_exact(max(int(values.max()), -int(values.min())), dtype)
    return out


def check_exact(largest: int, dtype: np.dtype[Any]) -> None:
    """Raise KithkinError if a type rounds integers of 64 bits whose largest absolute value this is."""
    if largest > (2**53 if dtype.kind == "f" else 2**63 - 1):
        raise KithkinError(f"no type holds both {largest} and the other values of the table exactly")


def index_dtype(n_columns: int) -> np.dtype[Any]:
    """Return the type of column indices: one with which SciPy computes, as it takes that of indptr to be the same."""
    return np.dtype(np.int32 if n_columns < 2**31 else np.int64)


def dense_chunks(n_rows: int, row_bytes: int) -> tuple[int, int]:
    """Choose the rows of a chunk and of a shard of a dense table."""
    chunk = max(1, min(max(n_rows, 1), DENSE_CHUNK_BYTES // max(row_bytes, 1)))
    most = max(1, -(-n_rows // chunk))  # a shard holds no chunk without rows
    return chunk, chunk * min(most, max(1, DENSE_SHARD_BYTES // max(chunk * row_bytes, 1)))


@lru_cache(maxsize=64)
def header_like(dtype: np.dtype[Any] | str, n_dimensions: int, *, sharded: bool = False) -> dict[str, Any]:
    """Return the header that Zarr gives to an array of a type, a number or "string", with one value."""
    one = (1,) * n_dimensions
    array = zarr.create_group({}, zarr_format=3).create_array(
        "x",
        shape=one,
        dtype=dtype,
        chunks=one,
        shards=one if sharded else None,
        compressors=compressors(),
        fill_value=None if dtype == "string" else 0,
    )
    header: dict[str, Any] = json.loads(json.dumps(array.metadata.to_dict()))
    return header


def write_array(
    group: zarr.Group, name: str, values: Array, n_rows: int, attributes: Mapping[str, Any] | None = None
) -> None:
    """Write an array whole, with its attributes: each header and each chunk is one file, written once.

    Parameters
    ----------
    group, name
        Group that receives it, and its name.
    values
        Numbers in the byte order of the machine, or an object array of str.
    n_rows
        Rows in a chunk.
    attributes
        Its attributes.

    Examples
    --------
    >>> group = zarr.group({})
    >>> write_array(group, "x", np.array(["CD3E", "MS4A1", "ä"], object), 2, {"encoding-type": "string-array"})
    >>> group["x"][...].tolist(), group["x"].chunks, dict(group["x"].attrs)
    (['CD3E', 'MS4A1', 'ä'], (2,), {'encoding-type': 'string-array'})
    """
    texts = values.dtype == object
    chunks = () if values.ndim == 0 else (n_rows, *(max(1, size) for size in values.shape[1:]))
    like = header_like("string" if texts else values.dtype, values.ndim)
    create_header(group, name, like, values.shape, chunks, attributes or {})
    rows = values.reshape(1) if values.ndim == 0 else values
    ends = "/".join(["", *("0" for _ in values.shape[1:])])
    for number, start in enumerate(range(0, len(rows) if values.size else 0, n_rows)):
        part = rows[start : start + n_rows]
        if len(part) < n_rows:
            part = np.concatenate(
                [part, np.full((n_rows - len(part), *part.shape[1:]), "" if texts else 0, part.dtype)]
            )
        raw = VLenUTF8().encode(part.reshape(-1)) if texts else np.ascontiguousarray(part)
        stored = CODEC.encode(raw)
        key = f"c/{number}{ends}" if values.ndim else "c"
        put(group.store_path / name / key, stored + google_crc32c.value(stored).to_bytes(CHECKSUM, "little"))


def create_vector(
    group: zarr.Group, name: str, dtype: Any, length: int | None = None, attributes: Mapping[str, Any] | None = None
) -> zarr.Array[Any]:
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
    attributes
        Its attributes.
    """
    small = length is not None and length <= CHUNK
    shard = SHARD if length is None else min(SHARD, -(-length // CHUNK) * CHUNK)
    header = create_header(
        group,
        name,
        header_like(np.dtype(dtype), 1, sharded=not small),
        (length or 0,),
        (max(1, length) if length is not None and small else CHUNK,),
        attributes or {},
        None if small else (shard,),
    )
    return use_pipeline(array_at(group.store_path / name, header))


def write_vector(group: zarr.Group, name: str, values: Array, attributes: Mapping[str, Any] | None = None) -> None:
    """Write a one-dimensional array of numbers in shards of small chunks, or whole where it is one chunk."""
    if len(values) <= CHUNK and values.dtype.isnative:
        write_array(group, name, values, max(1, len(values)), attributes)
    else:
        write_rows(create_vector(group, name, values.dtype, len(values), attributes), 0, values)


def create_table(group: zarr.Group, name: str, dtype: Any, shape: tuple[int, ...], n_rows: int) -> zarr.Array[Any]:
    """Create a dense array chunked by rows; n_rows is how many it will have at the end."""
    width = tuple(max(1, size) for size in shape[1:])
    row_bytes = int(np.prod(width)) * np.dtype(dtype).itemsize
    chunk, shard = dense_chunks(n_rows, row_bytes)
    sharded = shard > chunk
    header = create_header(
        group,
        name,
        header_like(np.dtype(dtype), len(shape), sharded=sharded),
        shape,
        (chunk, *width),
        ARRAY,
        (shard, *width) if sharded else None,
    )
    return use_pipeline(array_at(group.store_path / name, header))


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
    place = group.store_path / name
    if isinstance(place.store, LocalStore):
        return use_pipeline(array_at(place, read_header(place.store.root, place.path)))
    array: Any = group[name]
    return use_pipeline(array_at(place, array.metadata.to_dict()))
