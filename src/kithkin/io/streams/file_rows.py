"""Rows of tables in HDF5 files and Zarr folders, which any process reads by their range."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from zarr.storage import LocalStore

from kithkin.core.arrays import open_group
from kithkin.core.blocks import Array, Block
from kithkin.core.errors import FormatError, KithkinError
from kithkin.core.layout import SHARD
from kithkin.core.own_rows import RowValues, with_ranges
from kithkin.io.streams.checks import Place, tidy_dense, tidy_rows
from kithkin.io.streams.hdf5 import open_hdf5
from kithkin.io.streams.sequential import SequentialReader, format_errors, read_slice

LARGEST = SHARD // 4  # values of a chunk, which is decoded again by each task that reads a part of it


@dataclass(frozen=True)
class StoredAt:
    """Arrays of one file or folder, by which another process opens them."""

    path: Path
    names: tuple[str, ...]  # of the arrays in it
    is_hdf5: bool

    def open(self) -> list[Any]:
        """Open the arrays; the file is closed with the last of them."""
        if not self.path.exists():
            raise KithkinError(
                f"{self.path} is not there on {platform.node()}: workers read the rows of a source themselves, so "
                "choose a place for it that all of them have under the same name"
            )
        root: Any = open_hdf5(self.path) if self.is_hdf5 else open_group(self.path)
        return [root[name] for name in self.names]


def stored_at(arrays: Sequence[Any]) -> StoredAt | None:
    """Find where opened arrays lie; None if other processes cannot open them, or share no task without much waste.

    Examples
    --------
    >>> stored_at([np.zeros(3)]) is None
    True
    """
    places: list[tuple[str, str, bool]] = []
    for array in arrays:
        if math.prod(getattr(array, "chunks", None) or ()) > LARGEST:
            return None
        if isinstance(array, h5py.Dataset) and array.name:
            places.append((array.file.filename, array.name, True))
        elif isinstance(array, zarr.Array) and isinstance(array.store, LocalStore):
            places.append((str(array.store.root), array.path, False))
        else:
            return None
    path, _, is_hdf5 = places[0]
    if any(place[0] != path for place in places) or not Path(path).exists():
        return None
    return StoredAt(Path(path).absolute(), tuple(name for _, name, _ in places), is_hdf5)


class FileRows:
    """Row blocks of a table in a file, checked as its stream is: CSR, or dense.

    Consecutive reads keep the file open, and decode each chunk once.

    Parameters
    ----------
    stored
        The array of a dense table; values and columns of a sparse one.
    place
        File and table, for messages.
    shape
        Rows and columns.
    ranges
        The rows that the stream hands on together, which decide the type of each block.
    starts
        First position of each row of a sparse table, and the end of the last.
    """

    def __init__(
        self,
        stored: StoredAt,
        place: Place,
        shape: tuple[int, int],
        ranges: list[tuple[int, int]],
        starts: Array | None = None,
    ) -> None:
        self.stored, self.shape, self.ranges = stored, shape, ranges
        self.dtype: np.dtype[Any] = np.dtype(np.float64)  # each block has its own
        self.is_sparse = starts is not None
        self._place, self._starts = place, None if starts is None else RowValues(starts)
        self._opened: list[Any] | None = None
        self._next = -1  # position of the readers

    def only(self, start: int, stop: int) -> FileRows:
        """Return the same for rows start to stop alone."""
        other = with_ranges(self, start, stop)
        other._opened, other._next = None, -1
        if self._starts is not None:
            other._starts = self._starts.only(start, stop + 1)
        return other

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop.

        Raises
        ------
        KithkinError
            If the file is not there.
        FormatError
            If it is damaged, was changed, or holds what is not allowed.
        """
        with format_errors(self._place.name, f"{self._place.key} cannot be read"):
            if self._starts is not None:
                return self.consecutive(self._starts, start, stop)
            self._opened = self.stored.open() if self._opened is None else self._opened
            block = read_slice(self._opened[0], slice(start, stop), self._place.name, self._place.key)
            return tidy_dense(block, self._place.moved(start))

    def consecutive(self, rows: RowValues, start: int, stop: int) -> Block:
        """Read sparse rows, going on where the last ones ended, with the starts of rows."""
        starts = rows[start : stop + 1]
        first, length = int(starts[0]), int(starts[-1] - starts[0])
        if self._opened is None or first != self._next:
            name, key = self._place.name, self._place.key
            self._opened = [
                SequentialReader(array, name, f"{key}/{part}", first)
                for array, part in zip(self.stored.open(), ("data", "indices"), strict=True)
            ]
        data, indices = (reader.read(length) for reader in self._opened)
        self._next = first + length
        if len(data) != length or len(indices) != length:
            raise FormatError(f"{self._place.name} was changed while it was read")
        return tidy_rows(data, indices, starts - first, self.shape[1], self._place.moved(start))
