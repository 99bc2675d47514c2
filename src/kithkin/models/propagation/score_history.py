"""Sequence of score tables of one shape, in memory or in a temporary file."""

from __future__ import annotations

import tempfile
from typing import IO

import numpy as np

from kithkin.core.blocks import Array


class ScoreHistory:
    """Sequence of score tables: in memory up to a limit in bytes, in a temporary file above it."""

    def __init__(self, limit: int, blank_rows: list[Array] | None = None) -> None:
        self._limit, self._blank_rows = limit, blank_rows or []
        self._shape: tuple[int, ...] = ()
        self._held: list[Array] = []
        self._file: IO[bytes] | None = None
        self._count = 0

    def add(self, table: Array) -> None:
        """Append a copy of a table in single precision, with NaN in the blank rows."""
        frame = np.array(table, np.float32, order="C")
        blank(frame, self._blank_rows)
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
        """Return all tables as one array; a memory map where they are on disk."""
        if self._file is None:
            return np.stack(self._held)
        with self._file as file:  # the map lasts beyond the closing of the file, and nothing beyond the map
            file.flush()
            return np.memmap(file, np.float32, "r", shape=(self._count, *self._shape))


def blank(table: Array, rows: list[Array]) -> None:
    """Set some rows of each column to NaN, in place."""
    for column, own in enumerate(rows):
        table[own, column] = np.nan
