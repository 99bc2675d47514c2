"""Chunk files as they are written: chunks are encoded here in their order, so that equal values make equal files.

Compiled codecs put the chunks of a shard in the order in which their threads happen to end. Files are written beside
their name and moved there, into the folder of an array that is there: a task that outlives its dataset leaves nothing.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import blosc  # type: ignore[import-untyped]
from zarr.storage import LocalStore

from kithkin.core.blocks import Array
from kithkin.core.chunks import ABSENT, CHECKSUM, ChunkFiles

CODEC = blosc.Blosc("lz4", 5, blosc.BITSHUFFLE)  # as `layout.compressors`; what it wrote says how it is decoded


def encode(files: ChunkFiles, values: Array) -> Iterator[bytes]:
    """Yield the bytes of one chunk file: its chunks, and the index behind them where there is one.

    Parameters
    ----------
    files
        Layout of an array that `encodes`.
    values
        Rows of the file, or as many of the first ones as there are.

    Examples
    --------
    >>> files = ChunkFiles((5,), (4,), (2,), True, np.dtype("u1"))
    >>> parts = [len(part) for part in encode(files, np.array([1, 2, 3], "u1"))]
    >>> len(parts), parts[-1]
    (3, 36)
    """
    rows, index = (files.inner or files.outer)[0], list[int]()
    n_chunks, position = files.outer[0] // rows, 0
    for start in range(0, len(values), rows):
        chunk = values[start : start + rows]
        if len(chunk) < rows:
            chunk = np.concatenate([chunk, np.zeros((rows - len(chunk), *chunk.shape[1:]), chunk.dtype)])
        packed = checked(CODEC.encode(np.ascontiguousarray(chunk)))
        index += [position, len(packed)]
        position += len(packed)
        yield packed
    if files.inner is not None:
        index += [ABSENT] * (2 * n_chunks - len(index))
        yield checked(np.array(index, "<u8").tobytes())


def checked(content: bytes) -> bytes:
    """Put the checksum of bytes behind them.

    Examples
    --------
    >>> len(checked(b"abc"))
    7
    """
    return content + int(google_crc32c.value(content)).to_bytes(CHECKSUM, "little")


def encodes(files: ChunkFiles, values: Array) -> bool:
    """Tell whether `encode` writes the files of an array as its header says, from rows like these."""
    inner = files.inner or files.outer
    whole = inner[1:] == files.outer[1:] == files.shape[1:] == values.shape[1:]
    return whole and files.checked and files.values is not None and files.values == values.dtype


def write_rows(array: zarr.Array[Any], start: int, values: Array, *, flush: bool = False) -> None:
    """Write rows behind those that are there: whole files are encoded here, anything else by Zarr.

    Parameters
    ----------
    array
        The array, long enough.
    start
        The first of them; files are whole where it begins one.
    values
        The rows, of the type of the array.
    flush
        Flush the files to the disk.
    """
    files = ChunkFiles.of(array.metadata.to_dict())
    rows, store = files.outer[0], array.store
    if start % rows or not encodes(files, values) or not isinstance(store, LocalStore):
        array[start : start + len(values)] = values
        return
    for first in range(0, len(values), rows):
        place = ("c", str((start + first) // rows), *["0"] * (values.ndim - 1))
        _write(store.root / array.path, place, encode(files, values[first : first + rows]), flush)


def _write(folder: Path, place: tuple[str, ...], parts: Iterator[bytes], flush: bool) -> None:
    """Write a file whole, in place of one that is there."""
    for depth in range(1, len(place)):
        folder.joinpath(*place[:depth]).mkdir(exist_ok=True)
    write_whole(folder.joinpath(*place), parts, flush)


def write_whole(path: Path, parts: Iterable[bytes], flush: bool = False) -> None:
    """Write a file so that another process finds all of it or what was there before; its folder must be there."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "xb") as file:
            file.writelines(parts)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
