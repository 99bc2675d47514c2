"""Checks that every reader applies to its input: structure and values, with the place of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.layout import index_dtype, smallest_integer
from kithkin.kernels.values import scan_floats, take_columns

MOST_EMPTY = 1 << 22  # rows or columns that may outnumber the stored values
EXACT = 2.0**53  # whole numbers beyond it are not all representable as float64


@dataclass(frozen=True)
class Place:
    """Origin of a block (file, table, first line), for messages.

    Examples
    --------
    >>> Place("a.h5ad", "X", 100).at(3, 7)
    'a.h5ad: X, row 103, column 7'
    """

    name: str  # of the file, such as "pbmc.h5ad"
    key: str  # table in it, such as "X"
    first: int = 0  # number of the first line of the block
    line: str = "row"  # word for a line: row, cell, or column of a column-compressed table
    across: str = "column"  # word for what crosses a line: column, gene
    base: int = 0  # number of the first line and column of the table: 1 where the file itself counts from 1
    missing: bool = False  # whether a value may be missing (NaN), as in a table of values

    def at(self, line: int, column: int | None = None) -> str:
        """Describe the place of a line of the block, or of a value in it."""
        where = f"{self.name}: {self.key}, {self.line} {self.first + line + self.base}"
        return where if column is None else f"{where}, {self.across} {column + self.base}"

    def moved(self, lines: int) -> Place:
        """Return the place of the block that begins so many lines later."""
        return replace(self, first=self.first + lines)


def _refuse(what: str, wrong: Array, values: Array, locate: Callable[[int], str]) -> None:
    position = int(np.flatnonzero(wrong)[0])
    raise FormatError(f"{locate(position)} is {what} ({values[position]!s})")


def whole_values(values: Array, locate: Callable[[int], str], *, missing: bool = False) -> tuple[Array, bool]:
    """Convert values to the smallest integer type if all are whole numbers, else keep their float type.

    `locate` describes the place of a position in the values, which have one dimension. Returns a new array, and whether
    there are zeros among the values. Raises FormatError if a value is infinite, not a number, or NaN and none may be
    `missing`.
    """
    if values.dtype.kind not in "buif":
        raise FormatError(f"{locate(0)} is not a number: the values are stored as {values.dtype}")
    if not values.size:
        return np.zeros(0, np.uint8), False
    if values.dtype.kind != "f":
        values = values.view(np.uint8) if values.dtype.kind == "b" else values
        low, high = int(values.min()), int(values.max())
        zeros = low == 0 or (low < 0 and not values.all())
        out = values.astype(smallest_integer(low, high))
    else:
        given, values = values, values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
        if given.dtype.itemsize > values.dtype.itemsize and (wrong := (given != values) & (given == given)).any():  # noqa: PLR0124
            _refuse("more exact than a 64-bit float can keep", wrong, given, locate)
        low, high, n_zeros, finite, whole = scan_floats(values)
        if not finite and missing and not np.isinf(values).any():
            return values.copy(), n_zeros > 0
        if not finite:
            _refuse("not a finite number", np.isinf(values) if missing else ~np.isfinite(values), values, locate)
        zeros, whole = n_zeros > 0, whole and max(-low, high) < EXACT
        out = values.astype(smallest_integer(int(low), int(high))) if whole else values.copy()
    return out, zeros


def tidy_rows(data: Array, indices: Array, indptr: Array, n_columns: int, place: Place) -> SparseRows:
    """Check compressed arrays and return a row block: columns sorted, no stored zeros.

    `data` and `indices` are values and columns as the file holds them, and are copied; `indptr` is int64, starting at
    0. Raises FormatError if a column is out of range or appears twice in a row, or a value is not allowed.

    Examples
    --------
    >>> parts = np.array([5.0, 0.0, 1.0]), np.array([2, 1, 0]), np.array([0, 3])
    >>> rows = tidy_rows(*parts, 3, Place("a.npz", "X"))
    >>> rows.data.tolist(), rows.indices.tolist(), rows.data.dtype
    ([1, 5], [0, 2], dtype('uint8'))
    """

    def line_of(position: int) -> int:
        return int(np.searchsorted(indptr, position, side="right")) - 1

    def locate(position: int) -> str:
        return place.at(line_of(position), int(indices[position]))

    indptr = np.ascontiguousarray(indptr, dtype=np.int64)
    small = indices.dtype == np.int32 or indices.dtype.itemsize < 4
    narrow = indices.astype(np.int32 if small else np.int64, copy=False)
    columns = np.empty(len(narrow), index_dtype(n_columns))
    bad, ascending = take_columns(narrow, indptr, n_columns, columns)
    if bad >= 0:
        promised = f"{place.across}s are 0 to {n_columns - 1}"
        raise FormatError(f"{place.at(line_of(bad))} names {place.across} {indices[bad]}, but {promised}")
    values, zeros = whole_values(data, locate)
    if not ascending:
        # SciPy sorts positions instead of values, so that every type of value takes the same compiled path
        parts = np.arange(len(values)), columns.astype(np.int64), indptr
        order = sparse.csr_matrix(parts, (len(indptr) - 1, n_columns))
        order.sort_indices()
        inside = np.ones(max(0, len(values) - 1), bool)
        ends = indptr[1:-1]
        inside[ends[(ends > 0) & (ends < len(values))] - 1] = False
        twice = np.flatnonzero((np.diff(order.indices) == 0) & inside)
        if len(twice):
            raise FormatError(f"{place.at(line_of(twice[0]), int(order.indices[twice[0]]))} is stored twice")
        values, columns = values[order.data], order.indices.astype(columns.dtype)
    if zeros:
        keep = values != 0
        kept = np.zeros(len(values) + 1, np.int64)
        np.cumsum(keep, out=kept[1:])
        values, columns, indptr = values[keep], columns[keep], kept[indptr]
    return SparseRows(values, columns, indptr, n_columns)


def tidy_dense(block: Array, place: Place) -> Array:
    """Check a dense block; return a copy in the smallest integer type if all values are whole and none is missing.

    Raises FormatError if a value is not allowed.
    """
    width = block.shape[1]
    flat, _ = whole_values(
        np.ascontiguousarray(block).ravel(), lambda k: place.at(k // width, k % width), missing=place.missing
    )
    return flat.reshape(block.shape)


def check_pointers(indptr: Array, n_lines: int, n_stored: tuple[int, int], name: str, key: str) -> Array:
    """Convert the pointers of a compressed table to int64, checked against the shape and the lengths of its arrays.

    `n_lines` are the rows (or columns, where those are compressed) that the shape promises, `n_stored` the lengths of
    indices and data. Raises FormatError if they disagree.
    """
    n_indices, n_data = n_stored
    where = f"{name}: {key}"
    if n_indices != n_data:
        raise FormatError(f"{where} has {n_data} values (data) but {n_indices} positions (indices)")
    if indptr.ndim != 1 or len(indptr) != n_lines + 1:
        raise FormatError(f"{where}/indptr has {indptr.size} entries, but its shape promises {n_lines + 1}")
    pointers = indptr.astype(np.int64)
    if pointers[0] != 0 or pointers[-1] != n_data:
        raise FormatError(f"{where}/indptr runs from {pointers[0]} to {pointers[-1]}, but {n_data} values are stored")
    falls = np.flatnonzero(np.diff(pointers) < 0)
    if len(falls):
        first = int(falls[0])
        raise FormatError(f"{where}/indptr falls after entry {first}: {pointers[first]} to {pointers[first + 1]}")
    return pointers


def check_shape(shape: Any, name: str, key: str = "X") -> tuple[int, int]:
    """Check a stored shape and return rows and columns as integers.

    Raises FormatError if there are not two of them, or one is not positive.
    """
    try:
        sizes = [int(size) for size in np.ravel(shape)]
    except (TypeError, ValueError, OverflowError):
        raise FormatError(f"{name}: the shape of {key} is not a pair of numbers: {shape!r:.60}") from None
    text = " x ".join(map(str, sizes))
    if len(sizes) != 2:
        raise FormatError(f"{name}: {key} must have two dimensions, its shape is {text or 'empty'}")
    for size, what in zip(sizes, ("rows", "columns"), strict=True):
        if size < 1:
            raise FormatError(f"{name}: {key} has no {what}: its shape is {text}")
    return sizes[0], sizes[1]


def check_size(shape: tuple[int, int], n_stored: int, name: str, key: str = "X") -> None:
    """Refuse a shape that is far beyond the values that are stored: a damaged header would fill the memory with names.

    Raises FormatError if there are more than four million rows or columns, and more than values.
    """
    for size, axis in zip(shape, ("rows", "columns"), strict=True):
        if size > max(MOST_EMPTY, n_stored):
            raise FormatError(f"{name}: {key} promises {size} {axis}, but holds {n_stored} values at most")
