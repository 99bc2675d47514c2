"""Log of the measurements of an image: a kill leaves it, and the next run reads it again."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kithkin.core.blocks import Array

NUMBER = 8  # bytes of a length, and of a checksum


class Notebook:
    """A file of entries, each some arrays. An entry torn by a kill, and what is behind it, is dropped.

    The file is made when the first entry is written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes"
    >>> Notebook(path).write([np.arange(3), np.zeros((2, 0))])
    >>> [[array.shape for array in entry] for entry in Notebook(path).read()]
    [[(3,), (2, 0)]]
    """

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, -1

    def read(self) -> Iterator[list[Array]]:
        """Yield all whole entries, in their order."""
        if not self._path.exists():
            return
        end, size = 0, os.path.getsize(self._path)
        with self._path.open("rb") as file:
            while True:
                length, seal = (int.from_bytes(file.read(NUMBER), "little") for _ in range(2))
                data = file.read(length) if length <= size else b""
                if not data or len(data) < length or zlib.crc32(data) != seal:
                    break
                end = file.tell()
                stream = io.BytesIO(data)
                yield [np.load(stream, allow_pickle=False) for _ in range(int(np.load(stream)))]
        os.truncate(self._path, end)

    def write(self, arrays: Sequence[Array]) -> None:
        """Add an entry; not from two threads at a time."""
        stream = io.BytesIO()
        for array in (np.array(len(arrays)), *arrays):
            np.save(stream, array, allow_pickle=False)
        data = stream.getvalue()
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        view = memoryview(np.array([len(data), zlib.crc32(data)], "<u8").tobytes() + data)
        while view:
            view = view[os.write(self._handle, view) :]

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
