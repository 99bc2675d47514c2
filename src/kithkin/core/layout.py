"""How arrays lie on disk: types, chunks, shards and codecs. The choices come from benchmarks/layout.py."""

from __future__ import annotations

import asyncio
import atexit
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.core.sync
from zarr.codecs import BloscCodec, Crc32cCodec

from kithkin.core.blocks import Array
from kithkin.core.errors import KithkinError

CHUNK = 1 << 16  # stored values in one chunk: the unit of random access
SHARD = 1 << 22  # stored values in one file
DENSE_CHUNK_BYTES = 1 << 18
DENSE_SHARD_BYTES = 1 << 25
COLUMN_CHUNK = 1 << 20  # rows of a column of obs in one file

SETTLE = 10.0  # seconds that an interrupted process waits at its end for a read or write under way

_SETTINGS = threading.RLock()  # zarr's configuration is one for all threads


def compressors() -> list[Any]:
    """The codecs behind every array: bit-shuffled lz4, and a checksum over what it wrote.

    Examples
    --------
    >>> [type(codec).__name__ for codec in compressors()]
    ['BloscCodec', 'Crc32cCodec']
    """
    return [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()]


@contextmanager
def pipeline(compiled: bool = True) -> Iterator[None]:
    """Open and create arrays with the compiled codec pipeline where it is installed, or with zarr's own.

    The compiled one is several times faster, and passes over the checksum of a chunk of which it needs a part;
    zarr's own holds every chunk of a file that it reads whole against its checksum.

    Examples
    --------
    >>> with pipeline():
    ...     pass
    """
    found = compiled and find_spec("zarrs") is not None
    name = "zarrs.ZarrsCodecPipeline" if found else "zarr.core.codec_pipeline.BatchedCodecPipeline"
    with _SETTINGS, zarr.config.set({"codec_pipeline.path": name}), warnings.catch_warnings():
        if found:
            import zarrs  # noqa: F401  (registers its pipeline)
        # texts and structured arrays fall back to zarr's own codecs, which is as it should be
        warnings.filterwarnings("ignore", message="Array is unsupported by ZarrsCodecPipeline")
        yield


def settle() -> None:
    """Wait until what Zarr's own thread is reading or writing has come to an end.

    An interrupt takes the caller away and leaves the thread at work; Python would say so, at length, when it ends.
    It is called at the end of the process, before Zarr stops the thread.

    Examples
    --------
    >>> settle()
    """

    async def others() -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        if under_way:
            await asyncio.wait(under_way, timeout=SETTLE)

    if zarr.core.sync.loop[0] is not None:
        zarr.core.sync.sync(others())


atexit.register(settle)  # the last registered is the first called: zarr, imported above, has registered its own


def open_group(path: str | Path, mode: str = "r") -> zarr.Group:
    """The Zarr group at a path, without consolidated metadata: what is on disk at this moment.

    Raises
    ------
    KithkinError
        If there is no Zarr group.
    """
    try:
        with pipeline():
            return zarr.open_group(str(path), mode=mode, use_consolidated=False)  # type: ignore[arg-type]
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise KithkinError(f"{path} is not a Zarr dataset: {error}") from error


def open_array(path: str | Path, key: str, *, compiled: bool = True) -> zarr.Array[Any]:
    """The array at a key of the dataset at a path, read by the compiled pipeline or by zarr's own."""
    group = open_group(path)
    with pipeline(compiled):
        return group[key]  # type: ignore[return-value]


def smallest_integer(low: int, high: int) -> np.dtype[Any]:
    """The smallest integer type that holds low and high.

    Examples
    --------
    >>> smallest_integer(0, 300), smallest_integer(-1, 3)
    (dtype('uint16'), dtype('int8'))
    """
    names = ("uint8", "uint16", "uint32", "uint64") if low >= 0 else ("int8", "int16", "int32", "int64")
    for name in names:
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return np.dtype(name)
    raise KithkinError(f"no integer type holds values from {low} to {high}")


def stored_dtype(values: Array) -> np.dtype[Any]:
    """The smallest type that holds the values exactly: integers where they all are, else their own float type.

    Examples
    --------
    >>> stored_dtype(np.array([1.0, 300.0])), stored_dtype(np.array([0.5], np.float32))
    (dtype('uint16'), dtype('float32'))
    """
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
    """The smallest type that holds the values of both types; `exactly` refuses the few that it does not.

    Examples
    --------
    >>> joint_dtype(np.dtype("uint8"), np.dtype("int8"))
    dtype('int16')
    """
    if "f" in (a.kind, b.kind) and a.kind != b.kind:
        floating, integer = (a, b) if a.kind == "f" else (b, a)
        return np.promote_types(floating, np.float64 if integer.itemsize > 2 else floating)
    if {a.kind, b.kind} == {"i", "u"} and 8 in (a.itemsize, b.itemsize):
        return np.dtype(np.int64)  # where NumPy would take float64, which rounds
    return np.promote_types(a, b)


def exactly(values: Array, dtype: np.dtype[Any]) -> Array:
    """The values in a joint type, which holds all but the largest integers.

    Raises
    ------
    KithkinError
        If a value would change.

    Examples
    --------
    >>> exactly(np.array([2**53 + 1]), np.dtype("float64"))
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: no type holds both 9007199254740993 and the other values of the table exactly
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
    """The type of stored column indices: signed, since SciPy warns of any other in the arithmetic of its matrices.

    Examples
    --------
    >>> index_dtype(20_000), index_dtype(33_538)
    (dtype('int16'), dtype('int32'))
    """
    return np.dtype(np.int16 if n_columns <= 2**15 else np.int32 if n_columns < 2**31 else np.int64)


def dense_chunks(n_rows: int, row_bytes: int) -> tuple[int, int]:
    """Rows in a chunk and in a shard of a dense table.

    Examples
    --------
    >>> dense_chunks(100_000, 784)
    (334, 42752)
    """
    chunk = max(1, min(max(n_rows, 1), DENSE_CHUNK_BYTES // max(row_bytes, 1)))
    return chunk, chunk * max(1, DENSE_SHARD_BYTES // max(chunk * row_bytes, 1))


def create_vector(group: zarr.Group, name: str, dtype: Any, length: int = 0) -> zarr.Array[Any]:
    """A one-dimensional array in shards of small chunks.

    Examples
    --------
    >>> group = zarr.create_group({}, zarr_format=3)
    >>> create_vector(group, "data", "uint8", 10).shape
    (10,)
    """
    with pipeline():
        return group.create_array(
            name,
            shape=(length,),
            dtype=dtype,
            chunks=(CHUNK,),
            shards=(SHARD,),
            compressors=compressors(),
            fill_value=0,
        )


def create_table(group: zarr.Group, name: str, dtype: Any, shape: tuple[int, ...], n_rows: int) -> zarr.Array[Any]:
    """A dense array chunked by rows; n_rows is how many it will have at the end.

    Examples
    --------
    >>> group = zarr.create_group({}, zarr_format=3)
    >>> create_table(group, "X", "uint8", (0, 784), 1000).chunks
    (334, 784)
    """
    width = tuple(max(1, size) for size in shape[1:])
    row_bytes = int(np.prod(width)) * np.dtype(dtype).itemsize
    chunk, shard = dense_chunks(n_rows, row_bytes)
    with pipeline():
        array = group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(chunk, *width),
            shards=(shard, *width),
            compressors=compressors(),
            fill_value=0,
        )
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return array
