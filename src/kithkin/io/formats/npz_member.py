"""Arrays of .npz archives as streams of their rows."""

from __future__ import annotations

import shutil
import zipfile
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.sequential import format_errors

ENDING = ".npy"
COPY = 1 << 22


class Member:
    """Array in a .npz archive that is decompressed as its rows are asked for, from the first to the last.

    `shape` and `dtype` are as stored. Raises FormatError if the array is of Python objects, or its head is damaged.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key, self._next = path, key, 0
        self._archive: Any = None
        self._file: Any = None
        self._table: Array | None = None
        self._open()
        self.close()
        if self.dtype.hasobject:
            raise FormatError(f"{path.name}: {key} holds Python objects, which are not read from files")

    def _open(self) -> None:
        self._next = 0
        where = f"{self._key} cannot be read"
        try:
            with format_errors(self._path.name, where):
                self._archive = zipfile.ZipFile(self._path)
                self._file = self._archive.open(self._key + ENDING)
                version = np.lib.format.read_magic(self._file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                self.shape, self._by_columns, self.dtype = read(self._file)
                size = self._archive.getinfo(self._key + ENDING).file_size - self._file.tell()
                if not self.dtype.hasobject and (
                    min(self.shape, default=0) < 0 or prod(self.shape) * self.dtype.itemsize != size
                ):
                    shape = " x ".join(map(str, self.shape))
                    raise ValueError(f"{size} bytes are not an array of {shape} {self.dtype}")
        except BaseException:
            self.close()
            raise
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> Array:
        start, stop, _ = rows.indices(self.shape[0])
        if self._by_columns and len(self.shape) > 1:
            if self._table is None:  # stored by columns: put on disk as it is, where rows can be picked from it
                self._open()
                try:
                    with TemporaryFile() as file:
                        shutil.copyfileobj(self._file, file, COPY)
                        file.flush()
                        self._table = np.memmap(file, self.dtype, "r", shape=self.shape, order="F")
                finally:
                    self.close()
            return np.ascontiguousarray(self._table[start:stop])
        if self._archive is None or start < self._next:
            self.close()
            self._open()
        try:
            self._take((start - self._next) * self._row_bytes)
            data = self._take((stop - start) * self._row_bytes, keep=True)
            self._next = stop
            if stop == self.shape[0]:
                self._file.read(1)  # the checksum is compared at the very end
                self.close()
        except BaseException:
            self.close()
            raise
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])

    def _take(self, size: int, keep: bool = False) -> bytearray:
        out = bytearray(size if keep else 0)
        done = 0
        while done < size:
            piece = self._file.read(min(COPY, size - done))
            if not piece:
                raise EOFError("the array ends early")
            if keep:
                out[done : done + len(piece)] = piece
            done += len(piece)
        return out

    def close(self) -> None:
        """Close the archive; the next slice opens it again."""
        for file in (self._file, self._archive):
            if file is not None:
                file.close()
        self._file = self._archive = None


class Flat:
    """View of images, or of other rows of several dimensions, as rows of numbers.

    The array is anything with shape and dtype whose rows can be sliced.
    """

    def __init__(self, array: Any) -> None:
        self._array, self.dtype = array, array.dtype
        self.shape = (int(array.shape[0]), int(np.prod(array.shape[1:], dtype=np.int64)))

    def __getitem__(self, rows: Any) -> Array:
        part = np.asarray(self._array[rows])
        return part.reshape(len(part), self.shape[1])
