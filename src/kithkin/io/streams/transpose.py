"""Transposition out of core: bucket by rows to scratch files, then sort each bucket."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.execute import Execution
from kithkin.io.streams.checks import Place, tidy_rows
from kithkin.kernels.counting_sort import counting_sort

BUCKETS = 1024  # ranges of rows in which scratch is read back; neighbouring ones are read together
LARGEST = 2**27  # bytes to sort at a time: more pieces than this leaves cost little
SORT_BYTES = 40  # what sorting needs for each value: row, column, value, order, and the sorted copies


def values_at_once(execution: Execution) -> int:
    """Compute the number of values of a chunk that is sorted in memory."""
    return max(1, min(LARGEST, execution.memory // 4) // SORT_BYTES)


class _Scratch:
    """Scratch files (rows, columns, values) of values that are bucketed by ranges of rows."""

    def __init__(self, folder: Path, n_rows: int) -> None:
        self.rows_per_bucket = -(-n_rows // min(n_rows, BUCKETS))
        self.n_buckets = -(-n_rows // self.rows_per_bucket)
        self._parts = [(folder / part).open("w+b") for part in ("rows", "columns", "values")]
        self._pieces: list[tuple[list[int], np.dtype[Any], Array]] = []  # file offsets, type, bucket starts

    def put(self, rows: Array, columns: Array, values: Array) -> None:
        """Write one chunk, sorted by bucket."""
        order, starts = counting_sort(rows.astype(np.int64) // self.rows_per_bucket, self.n_buckets)
        offsets = [part.tell() for part in self._parts]
        typed = rows.astype(np.int32), columns.astype(np.int32), values
        for part, array in zip(self._parts, typed, strict=True):
            part.write(memoryview(array[order]).cast("B"))
        self._pieces.append((offsets, values.dtype, starts))

    def counts(self) -> Array:
        """Count the values in each bucket."""
        counts: Array = np.zeros(self.n_buckets, np.int64)
        for _, _, starts in self._pieces:
            counts += np.diff(starts)
        return counts

    def get(self, first: int, last: int) -> tuple[Array, Array, Array]:
        """Read rows, columns and values of the buckets first to last, in the order in which they were put."""
        pieces: list[list[Array]] = [[np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(0, np.uint8)]]
        for offsets, dtype, starts in self._pieces:
            begin, length = int(starts[first]), int(starts[last] - starts[first])
            kinds = np.dtype(np.int32), np.dtype(np.int32), dtype
            for part, kind, offset, out in zip(self._parts, kinds, offsets, pieces, strict=True):
                part.seek(offset + begin * kind.itemsize)
                out.append(np.frombuffer(part.read(length * kind.itemsize), kind))
        rows, columns, values = (np.concatenate(arrays) for arrays in pieces)
        return rows, columns, values

    def close(self) -> None:
        """Close the files."""
        for part in self._parts:
            part.close()


def transpose(
    column_chunks: Iterable[SparseRows],
    n_rows: int,
    n_columns: int,
    execution: Execution,
    scratch: Path | None = None,
    *,
    place: Place | None = None,
) -> Iterator[SparseRows]:
    """Stream the rows of a table that is given by columns.

    Each chunk is a SparseRows whose rows are consecutive columns of the table, and whose width is n_rows. Together they
    cover columns 0 to n_columns - 1 once, in order. The memory of the execution bounds what is held at a time.
    `scratch` is a folder on a disk with room for about 12 bytes per stored value; the system's temporary folder when
    None. What is put there is removed at the end, also after an error. Rows come out in order, each sorted. Raises
    FormatError if a place of the table is given twice.

    Examples
    --------
    >>> columns = SparseRows(np.array([5, 7]), np.array([1, 0]), np.array([0, 1, 2]), 2)
    >>> [block.to_dense().tolist() for block in transpose([columns], 2, 2, Execution())]
    [[[0, 7], [5, 0]]]
    """

    def triplets() -> Iterator[tuple[Array, Array, Array]]:
        first = 0
        for chunk in column_chunks:
            lines = np.arange(first, first + chunk.shape[0], dtype=np.int32)
            yield chunk.indices, np.repeat(lines, np.diff(chunk.indptr)), chunk.data
            first += chunk.shape[0]

    yield from sort_triplets(triplets(), n_rows, n_columns, execution, scratch=scratch, place=place)


def sort_triplets(
    chunks: Iterable[tuple[Array, Array, Array]],
    n_rows: int,
    n_columns: int,
    execution: Execution,
    *,
    scratch: Path | None = None,
    place: Place | None = None,
) -> Iterator[SparseRows]:
    """Stream the rows of a table that is given as (rows, columns, values) in any order.

    Each chunk is three arrays of equal length; rows and columns count from 0 and are in range. The memory of the
    execution bounds what is held at a time, provided that the chunks are small. `scratch` is as in `transpose`. Rows
    come out in order, each sorted, without stored zeros. Raises FormatError if a place of the table is given twice.
    """
    place = Place("the table", "X") if place is None else place
    folder = Path(tempfile.mkdtemp(prefix="kithkin-", dir=scratch))
    store = _Scratch(folder, n_rows)
    try:
        for rows, columns, values in chunks:
            if len(values):
                store.put(rows, columns, values)
        counts, limit, first = store.counts(), values_at_once(execution), 0
        while first < len(counts):
            last, held = first + 1, int(counts[first])
            while last < len(counts) and held + counts[last] <= limit:
                held += int(counts[last])
                last += 1
            start, stop = first * store.rows_per_bucket, min(last * store.rows_per_bucket, n_rows)
            rows, columns, values = store.get(first, last)
            order, indptr = counting_sort(rows.astype(np.int64) - start, stop - start)
            yield tidy_rows(values[order], columns[order], indptr, n_columns, place.moved(start))
            first = last
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)
