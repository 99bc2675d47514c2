"""Arrays that the tasks of one pass leave on disk, and those of the next read in another order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import google_crc32c
import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.chunks import CHECKSUM, RESIDUE, DamageError
from kithkin.core.encoding import CODEC, checked, write_whole
from kithkin.core.transaction import is_full_disk, remove_folder

FIELDS = 4  # of each array in the index of a file: part, first byte, bytes, and type


class NoRoomError(Exception):
    """The disk became full."""


class Spill:
    """Folder of files, one for each task that writes, with parts that later tasks read one by one.

    It pickles, and is the same for all processes that find the folder. Who makes it removes it.

    Parameters
    ----------
    folder
        Path that may be made.

    Examples
    --------
    >>> import tempfile
    >>> spill = Spill(Path(tempfile.mkdtemp()) / "spill")
    >>> spill.prepare(1000)
    True
    >>> for block in range(2):
    ...     spill.write(block, [[np.array([block, 1])], [np.array([0.5]), np.arange(3)]])
    >>> [[array.tolist() for array in spill.read(block, 1)] for block in range(2)]
    [[[0.5], [0, 1, 2]], [[0.5], [0, 1, 2]]]
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, n_bytes: int, executor: Executor | None = None) -> bool:
        """Make the folder; False if the disk has no room for so many bytes, or the workers do not find it."""
        if shutil.disk_usage(self._folder.parent).free < n_bytes:
            return False
        self._folder.mkdir(exist_ok=True)
        return executor is None or executor.submit(os.path.isdir, self._folder).result()

    def write(self, number: int, parts: Sequence[Sequence[Array]]) -> None:
        """Write the file of a number: parts of one-dimensional arrays. A second time it is written again.

        Raises
        ------
        NoRoomError
            If the disk becomes full.
        """
        index, blobs, position = [], [], 0
        for part, arrays in enumerate(parts):
            for array in arrays:
                blob = checked(CODEC.encode(np.ascontiguousarray(array))) if len(array) else b""
                index.append((part, position, len(blob), ord(array.dtype.char)))
                blobs.append(blob)
                position += len(blob)
        table = np.array(index, np.int64).reshape(-1, FIELDS)
        head = np.array([len(index)], np.int64).tobytes() + checked(table.tobytes())
        try:
            write_whole(self._folder / str(number), [head, *blobs])
        except OSError as error:
            if is_full_disk(error):
                raise NoRoomError(str(error)) from error
            raise

    def clear(self) -> None:
        """Remove all files."""
        remove_folder(self._folder)

    def read(self, number: int, part: int) -> list[Array]:
        """Read a part of a file.

        Raises
        ------
        DamageError
            If it is not what was written.
        """
        path = self._folder / str(number)
        with open(path, "rb") as file:
            count = int(np.frombuffer(file.read(8), np.int64)[0])
            table = np.frombuffer(_verified(file.read(8 * FIELDS * count + CHECKSUM), path), np.int64)
            begin, found = file.tell(), []
            for _, first, size, kind in table.reshape(-1, FIELDS)[table[::FIELDS] == part].tolist():
                file.seek(begin + first)
                content = CODEC.decode(_verified(file.read(size), path)) if size else b""
                found.append(np.frombuffer(content, np.dtype(chr(kind))))
        return found


def _verified(content: bytes, path: Path) -> bytes:
    """Return bytes without the checksum behind them."""
    if google_crc32c.value(content) != RESIDUE:
        raise DamageError(f"{path} is damaged on disk")
    return content[:-CHECKSUM]
