"""Tables of one shape that are made one after the other, and kept in memory or on disk."""

from __future__ import annotations

import tempfile
from typing import IO

import numpy as np

from kithkin.core.blocks import Array


class Frames:
    """Tables of one shape, one after the other: in memory up to a limit in bytes, in a temporary file above it.

    Examples
    --------
    >>> frames = Frames(10)
    >>> for number in range(3):
    ...     frames.add(np.full((2, 1), number))
    >>> frames.array()[:, 0, 0].tolist()
    [0.0, 1.0, 2.0]
    """

    def __init__(self, limit: int, blank: list[Array] | None = None) -> None:
        self._limit, self._blank = limit, blank or []
        self._shape: tuple[int, ...] = ()
        self._held: list[Array] = []
        self._file: IO[bytes] | None = None
        self._count = 0

    def add(self, table: Array) -> None:
        """Keep a copy of one more table, in single precision, with the rows that have no value as NaN."""
        frame = np.array(table, np.float32, order="C")
        blank(frame, self._blank)
        self._shape, self._count = frame.shape, self._count + 1
        if self._file is None and self._count * frame.nbytes > self._limit:
            self._file = tempfile.TemporaryFile(prefix="kithkin")  # noqa: SIM115  (closed by `array`)
            for held in self._held:
                self._file.write(held.data)
            self._held = []
        if self._file is None:
            self._held.append(frame)
        else:
            self._file.write(frame.data)

    def array(self) -> Array:
        """All tables as one array; a memory map where they are on disk."""
        if self._file is None:
            return np.stack(self._held)
        with self._file as file:  # the map lasts beyond the closing of the file, and nothing beyond the map
            file.flush()
            return np.memmap(file, np.float32, "r", shape=(self._count, *self._shape))


def blank(table: Array, rows: list[Array]) -> None:
    """Put NaN into some rows of each column.

    Examples
    --------
    >>> table = np.zeros((2, 2))
    >>> blank(table, [np.array([1]), np.array([], int)])
    >>> table.tolist()
    [[0.0, 0.0], [nan, 0.0]]
    """
    for column, own in enumerate(rows):
        table[own, column] = np.nan
