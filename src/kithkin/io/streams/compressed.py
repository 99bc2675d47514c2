"""Compressed sparse tables in files (data, indices, indptr), streamed by their compressed axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.budget import rows_per_block
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.streams.checks import Place, check_pointers, tidy_rows
from kithkin.io.streams.file_rows import FileRows, stored_at
from kithkin.io.streams.sequential import SequentialReader, Unreadable, read_slice

VALUE_BYTES = 12.0  # a value and its column as stored, and once more as handed on in narrow types


@dataclass
class Compressed:
    """Stored sparse table whose lines (rows of CSR, columns of CSC) are checked as they are read.

    Examples
    --------
    >>> table = Compressed(np.array([3.0, 4.0]), np.array([1, 0]), np.array([0, 1, 2]), 2, Place("a.h5", "X"))
    >>> [block.to_dense().tolist() for block in table.lines(10)]
    [[[0, 3], [4, 0]]]
    """

    data: Any
    indices: Any
    indptr: Array  # int64, first position of each line
    width: int  # length of a line
    place: Place  # file and table, and the word for a line

    @property
    def stored(self) -> int:
        """Number of stored values."""
        return int(self.indptr[-1])

    def ranges(self, values: int) -> Iterator[tuple[int, int]]:
        """Cut the lines so that each piece stores about so many values, and is at least one line."""
        start, n_lines = 0, len(self.indptr) - 1
        while start < n_lines:
            end = int(np.searchsorted(self.indptr, self.indptr[start] + values, side="right")) - 1
            stop = min(max(end, start + 1), start + max(1, values), n_lines)
            yield start, stop
            start = stop

    def lines(self, values: int) -> Iterator[SparseRows]:
        """Stream consecutive lines, about so many values at a time."""
        return self.lines_of(self.ranges(values))

    def lines_of(self, ranges: Iterable[tuple[int, int]]) -> Iterator[SparseRows]:
        """Stream the lines of consecutive ranges (start, stop) that begin at 0."""
        data = SequentialReader(self.data, self.place.name, f"{self.place.key}/data")
        indices = SequentialReader(self.indices, self.place.name, f"{self.place.key}/indices")
        for start, stop in ranges:
            length = int(self.indptr[stop] - self.indptr[start])
            indptr = self.indptr[start : stop + 1] - self.indptr[start]
            yield tidy_rows(data.read(length), indices.read(length), indptr, self.width, self.place.moved(start))

    def blocks(self, execution: Execution) -> Iterator[SparseRows]:
        """Stream consecutive lines within the budget."""
        yield from self.lines(rows_per_block(VALUE_BYTES, execution.memory, execution.threads))

    def by_range(self, execution: Execution) -> FileRows | None:
        """Return the same lines for other processes to read; None if they cannot."""
        stored = stored_at([self.data, self.indices])
        if stored is None:
            return None
        ranges = list(self.ranges(rows_per_block(VALUE_BYTES, execution.memory, execution.threads)))
        return FileRows(stored, self.place, (len(self.indptr) - 1, self.width), ranges, self.indptr)


def open_compressed(group: Any, n_lines: int, width: int, place: Place) -> Compressed:
    """Open a group with data, indices and indptr as a table, its header checked.

    The group is of HDF5 or Zarr. `n_lines` and `width` are the number and length of lines according to the shape.
    Raises FormatError if an array is missing, or lengths and shape disagree.
    """
    for part in ("data", "indices", "indptr"):
        if not hasattr(group, "keys") or part not in group:
            raise Unreadable(f"{place.name}: {place.key}/{part} is missing")
    data, indices, stored = group["data"], group["indices"], group["indptr"]
    for part, array, kinds in (("data", data, "buif"), ("indices", indices, "iu"), ("indptr", stored, "iu")):
        kind = getattr(array, "dtype", None)
        if kind is None or kind.kind not in kinds or len(array.shape) != 1:
            raise Unreadable(f"{place.name}: {place.key}/{part} must hold one row of numbers, it holds {kind}")
        # Zarr reads a chunk that is not there as zeros, which no sparse matrix stores by the chunk
        if part == "data" and (missing := getattr(data, "nchunks", 0) - getattr(data, "nchunks_initialized", 0)) > 0:
            raise FormatError(f"{place.name}: {place.key}/data lacks {missing} of its {data.nchunks} chunks")
    if stored.shape[0] != n_lines + 1:
        raise FormatError(
            f"{place.name}: {place.key}/indptr has {stored.shape[0]} entries, but its shape promises {n_lines + 1}"
        )
    indptr = read_slice(stored, slice(None), place.name, f"{place.key}/indptr")
    lengths = int(indices.shape[0]), int(data.shape[0])
    return Compressed(data, indices, check_pointers(indptr, n_lines, lengths, place.name, place.key), width, place)
