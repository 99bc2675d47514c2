"""Dense tables in files, HDF5 or Zarr, streamed in bands of rows that follow their chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows, even_ranges
from kithkin.core.budget import rows_per_block
from kithkin.core.execute import Execution
from kithkin.core.layout import index_dtype
from kithkin.io.streams.checks import Place, tidy_dense
from kithkin.io.streams.file_rows import FileRows, stored_at
from kithkin.io.streams.sequential import read_slice


def band(length: int, line_bytes: float, chunk: int, execution: Execution) -> int:
    """Compute the number of lines to read at a time: whole chunks, if the budget allows.

    `line_bytes` are those of one stored line; a chunk has `chunk` lines.
    """
    lines = rows_per_block(2 * line_bytes, execution.memory, execution.threads)
    if lines >= chunk:
        lines -= lines % chunk
    elif 2 * line_bytes * chunk <= execution.memory / 4:
        lines = chunk
    return max(1, min(lines, length))


def bands(array: Any, execution: Execution) -> list[tuple[int, int]]:
    """Cut the rows of a stored dense table into what is read at a time."""
    n_rows, n_columns = array.shape
    chunks = getattr(array, "chunks", None)
    rows = band(n_rows, n_columns * array.dtype.itemsize, int(chunks[0]) if chunks else 1, execution)
    return even_ranges(n_rows, rows)


def by_range(array: Any, place: Place, execution: Execution) -> FileRows | None:
    """Return the rows of a stored dense table for other processes to read; None if they cannot."""
    stored = stored_at([array])
    return None if stored is None else FileRows(stored, place, tuple(array.shape), bands(array, execution))


def dense_rows(array: Any, place: Place, execution: Execution) -> Iterator[Array]:
    """Stream the rows of a stored dense table, checked, in the smallest integer type where all values are whole.

    The array is an h5py dataset or a Zarr array. Raises FormatError if a value is not allowed.
    """
    for start, stop in bands(array, execution):
        block = read_slice(array, slice(start, stop), place.name, place.key)
        yield tidy_dense(block, place.moved(start))


def sparse_rows(dense: Array) -> SparseRows:
    """Convert a dense block to sparse rows."""
    rows, columns = np.nonzero(dense)
    indptr = np.zeros(len(dense) + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=len(dense)), out=indptr[1:])
    return SparseRows(dense[rows, columns], columns.astype(index_dtype(dense.shape[1])), indptr, dense.shape[1])
