"""Chunk files: the layout of the chunks in them, checks of their stored bytes, and decoding of what was just checked.

Every chunk that kithkin writes ends in the CRC-32C of its bytes, and a shard also holds that of its index. Compiled
codecs pass over the checksum of a chunk in a shard of which they decode a part, so that it is compared here. Rows in
kithkin's own codecs are decoded here too, from the bytes that were read for the comparison.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc  # type: ignore[import-untyped]

from kithkin.core.archive import ArchiveFile
from kithkin.core.blocks import Array
from kithkin.core.errors import KithkinError
from kithkin.core.fetched import RemoteFile
from kithkin.core.remote import find, is_remote

NUMBERS = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), "float32", "float64"}
CHECKSUM = 4  # bytes of a CRC-32C
RESIDUE = 0x48674BC7  # CRC-32C of any bytes that end in their own CRC-32C
BLOSC = 16  # bytes of the header of a Blosc buffer, of which bytes 4 to 8 give the length of what is in it
MOST_FILES = 10**7  # of an array on a server, which are not listed but named by its header
ABSENT = 2**64 - 1  # offset, in the index of a shard, of a chunk that holds the fill value only


class DamageError(KithkinError):
    """Stored bytes that are not what was written."""


class LocalFile:
    """Chunk file on disk, open for reading.

    Parameters
    ----------
    handle
        Its descriptor.
    """

    __slots__ = ("_handle", "size")

    def __init__(self, handle: int) -> None:
        self._handle, self.size = handle, os.fstat(handle).st_size

    def read(self, length: int, offset: int) -> bytes:
        """Read bytes: less than asked for at the end of the file."""
        return os.pread(self._handle, length, offset)

    def tail(self, length: int) -> tuple[bytes, int]:
        """Read the last bytes of the file, and tell where they begin."""
        start = max(0, self.size - length)
        return self.read(length, start), start

    def fetch(self, extents: Iterable[tuple[int, int]]) -> None:
        """Do nothing: all of the file is here."""


ChunkFile = LocalFile | RemoteFile | ArchiveFile


@contextmanager
def opened(file: str) -> Iterator[ChunkFile]:
    """Open a chunk file on disk, or that on a server which is read in its place.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        remote = find(file)
        if remote is None:
            raise
        yield remote
        return
    try:
        yield LocalFile(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class ChunkFiles:
    """Layout of the files of an array, read from its header.

    Attributes
    ----------
    shape
        Shape of the array.
    outer
        Shape of the part of the array that one file holds.
    inner
        Shape of a chunk within a shard; None where a file is one chunk.
    checked
        Whether each stored chunk ends in its CRC-32C.
    values
        Type of the values where a chunk is nothing but these in Blosc, its checksum behind it, and what is left out
        is zero; None where the codecs are others.
    """

    shape: tuple[int, ...]
    outer: tuple[int, ...]
    inner: tuple[int, ...] | None
    checked: bool
    values: np.dtype[Any] | None = None

    @staticmethod
    def of(header: Mapping[str, Any]) -> ChunkFiles:
        """Read the layout from a header.

        Raises
        ------
        DamageError
            If the header describes no array.
        """
        try:
            shape = tuple(int(size) for size in header["shape"])
            outer = tuple(int(size) for size in header["chunk_grid"]["configuration"]["chunk_shape"])
            codecs: list[Any] = [dict(codec) for codec in header["codecs"]]
            inner = None
            if codecs[0]["name"] == "sharding_indexed":
                sharding = codecs[0]["configuration"]
                inner = tuple(int(size) for size in sharding["chunk_shape"])
                index = [dict(codec)["name"] for codec in sharding["index_codecs"]]
                codecs = [dict(codec) for codec in sharding["codecs"]]
                known = index == ["bytes", "crc32c"] and sharding.get("index_location", "end") == "end"
                inner = inner if known else None
            checked = codecs[-1]["name"] == "crc32c"
            plain = (
                str(header.get("data_type")) in NUMBERS and header.get("fill_value") == 0 and sys.byteorder == "little"
            )
            plain &= [codec["name"] for codec in codecs] == ["bytes", "blosc", "crc32c"]
            plain &= codecs[0].get("configuration", {}).get("endian", "little") == "little"
            values = np.dtype(header["data_type"]) if plain else None
            if len(shape) != len(outer) or min((*outer, *(inner or ()), 1)) < 1 or min((*shape, 0)) < 0:
                raise ValueError("shape and chunks do not go together")
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DamageError(f"its header describes no array ({type(error).__name__}: {error})") from error
        return ChunkFiles(shape, outer, inner, checked, values)

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of files along each axis."""
        return tuple(-(-size // part) for size, part in zip(self.shape, self.outer, strict=True))

    @property
    def n_files(self) -> int:
        """Number of files of an array of which no part is left out."""
        return prod(self.grid)

    def names(self) -> list[str]:
        """List the files of an array of which no part is left out, as Zarr names them by default, in order of text."""
        if self.n_files > MOST_FILES:
            raise DamageError(f"its header asks for {self.n_files:,} files")
        return sorted("/".join(("c", *map(str, place))) for place in product(*map(range, self.grid)))

    def read_index(self, file: ChunkFile) -> Array:
        """Read offset and size of each chunk of a shard, and verify them.

        Raises
        ------
        DamageError
            If the index is not what was written.
        """
        inner = self.inner or self.outer
        counts = [size // part for size, part in zip(self.outer, inner, strict=True)]
        length = 16 * prod(counts) + CHECKSUM
        raw, _ = file.tail(length)
        if len(raw) != length or google_crc32c.value(raw) != RESIDUE:
            raise DamageError("the index of a shard does not match its checksum")
        return np.frombuffer(raw, "<u8", 2 * prod(counts)).reshape(*counts, 2)

    def verify(self, file: str, selection: Sequence[Any] | None = None) -> None:
        """Compare the stored chunks of a file with their checksums.

        Parameters
        ----------
        file
            Path of a chunk file.
        selection
            Part of the file that will be decoded, as slices, numbers or arrays of numbers; None: all.

        Raises
        ------
        DamageError
            If a chunk is not what was written.
        FileNotFoundError
            If there is no such file.
        """
        with opened(file) as stored:
            if not self.checked:
                return
            located = self._locate(stored, selection)
            stored.fetch(one for one in located if one[0] != ABSENT)
            for offset, size in located:
                if offset != ABSENT:
                    _read_chunk(stored, offset, size)

    def decode(self, file: str, rows: slice, out: Array) -> None:
        """Decode rows of a file, each chunk from the bytes that were compared with its checksum.

        Parameters
        ----------
        file
            Path of a chunk file of an array that `decodes`.
        rows
            Rows within the file.
        out
            Array that receives them: C-contiguous, in the stored type.

        Raises
        ------
        DamageError
            If a chunk is not what was written.
        FileNotFoundError
            If there is no such file.
        """
        inner = self.inner or self.outer
        n, nbytes = inner[0], prod(inner) * out.itemsize
        with opened(file) as handle:
            first = rows.start // n * n
            located = self._locate(handle, [rows])
            handle.fetch(one for one in located if one[0] != ABSENT)
            for begin, (offset, size) in enumerate(located):
                low = first + begin * n
                start, stop = max(low, rows.start), min(low + n, rows.stop)
                target = out[start - rows.start : stop - rows.start]
                if offset == ABSENT:
                    target[...] = 0
                elif stop - start == n:
                    _decode_chunk(handle, offset, size, target, nbytes)
                else:
                    whole = np.empty(inner, out.dtype)
                    _decode_chunk(handle, offset, size, whole, nbytes)
                    target[...] = whole[start - low : stop - low]

    def decode_chunks(
        self, file: str, numbers: Array, dtype: np.dtype[Any], targets: Sequence[Array | None]
    ) -> Iterator[Array]:
        """Decode chunks of a file one after the other, each from the bytes that were compared with its checksum.

        Parameters
        ----------
        file
            Path of a chunk file of an array that `decodes`.
        numbers
            Numbers of the chunks within the file, ascending.
        dtype
            The stored type.
        targets
            For each chunk the array that receives it, C-contiguous and of its shape, or None.

        Yields
        ------
        ndarray
            Values of a chunk; an array that was not given is used again for the next one.

        Raises
        ------
        DamageError
            If a chunk is not what was written.
        FileNotFoundError
            If there is no such file.
        """
        own = np.empty(self.inner or self.outer, dtype)
        with opened(file) as handle:
            index = self._locate(handle, None)
            located = [index[number] for number in numbers.tolist()]
            handle.fetch(one for one in located if one[0] != ABSENT)
            for (offset, size), target in zip(located, targets, strict=True):
                values = own if target is None else target
                if offset == ABSENT:
                    values[...] = 0
                else:
                    _decode_chunk(handle, offset, size, values, values.nbytes)
                yield values

    def decodes(self, out: Array) -> bool:
        """Tell whether `decode` can read rows into an array."""
        inner = self.inner or self.outer
        whole = inner[1:] == self.outer[1:] == self.shape[1:] == out.shape[1:]
        known = self.values is not None and self.values == out.dtype  # None would equal float64
        return known and 0 < len(inner) == out.ndim and whole and out.flags.c_contiguous

    def _locate(self, file: ChunkFile, selection: Sequence[Any] | None) -> list[tuple[int, int]]:
        """List offset and size of the stored chunks of an open file of which a selection needs a part."""
        if self.inner is None:
            return [(0, file.size)]
        index = self.read_index(file)
        touched = []
        for part, chunk in zip(selection or (), self.inner, strict=False):
            if isinstance(part, slice):
                touched.append(slice((part.start or 0) // chunk, None if part.stop is None else -(-part.stop // chunk)))
            else:
                numbers = np.asarray(part)
                first, last = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, -1)
                touched.append(slice(first // chunk, last // chunk + 1))
        index = index[tuple(touched)]
        located: list[tuple[int, int]] = [(offset, size) for offset, size in index.reshape(-1, 2).tolist()]
        return located

    def content(self, file: str) -> int:
        """Compute a checksum of a chunk file from its length and the stored checksums; of all bytes if it has none."""
        with opened(file) as stored:
            size = stored.size if not self.checked or self.inner is None else 0
            if self.checked and self.inner is None:
                return zlib.crc32(stored.read(CHECKSUM, max(0, size - CHECKSUM)), size & 0xFFFFFFFF)
            if not self.checked:
                value = 0
                for offset in range(0, size, 2**22):
                    value = zlib.crc32(stored.read(2**22, offset), value)
                return value
            index = self.read_index(stored).reshape(-1, 2)
            value = zlib.crc32(index.tobytes())
            for offset, length in index[index[:, 0] != ABSENT].tolist():
                value = zlib.crc32(stored.read(CHECKSUM, offset + length - CHECKSUM), value)
            return value


def list_files(folder: str | Path) -> dict[str, tuple[int, int, int]]:
    """Map the names of the chunk files of an array to their inode, size and time.

    Of an array on a server they are those that its header promises, as nothing there is listed.
    """
    if is_remote(folder):
        with open(f"{folder}/zarr.json", "rb") as header:
            return dict.fromkeys(ChunkFiles.of(json.load(header)).names(), (0, 0, 0))
    found: dict[str, tuple[int, int, int]] = {}
    waiting = [""]
    while waiting:
        above = waiting.pop()
        try:
            with os.scandir(f"{folder}/{above}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{above}{entry.name}/")
                    elif entry.name != "zarr.json" and not entry.name.startswith("."):
                        status = entry.stat()
                        found[above + entry.name] = status.st_ino, status.st_size, status.st_mtime_ns
        except FileNotFoundError:
            continue
    return dict(sorted(found.items()))


def read_chunk(file: str) -> bytes:
    """Read a file that is one chunk in Blosc with its checksum behind it: the bytes that are in it.

    Raises
    ------
    DamageError
        If the chunk is not what was written.
    FileNotFoundError
        If there is no such file.
    """
    with opened(file) as stored:
        content: bytes = blosc.decompress(memoryview(_read_chunk(stored, 0, stored.size))[:-CHECKSUM])
    return content


def _decode_chunk(file: ChunkFile, offset: int, size: int, out: Array, nbytes: int) -> None:
    """Read and verify a stored chunk of nbytes in Blosc, and decode it into an array of as many."""
    stored = _read_chunk(file, offset, size)
    if int.from_bytes(stored[4:8], "little") != nbytes or len(stored) < BLOSC + CHECKSUM:
        raise DamageError(f"a chunk does not hold {nbytes} bytes")
    blosc.decompress(stored, out)


def _read_chunk(file: ChunkFile, offset: int, size: int) -> bytes:
    """Read a stored chunk, its checksum included, and verify it."""
    stored = file.read(size, offset) if size > CHECKSUM else b""
    if len(stored) != size or google_crc32c.value(stored) != RESIDUE:
        raise DamageError("a chunk does not match its checksum")
    return stored
