"""Chosen columns of a table, normalised on the fly, piece by piece, and the products that reductions need of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import check
from kithkin.kernels.gram import add_transposed, times_vectors
from kithkin.models.table.normalize import check_counts, pieces, select, to_sparse

# BLAS spends as much time on a dense row as the sparse kernel on one with this share of stored values
DENSE_SHARE = 0.18
# a sparse block up to so many stored values and rows is one part: the sums of products go through memory once for each
LARGEST_PART, LONGEST_PART = 2**22, 2**13


@dataclass(frozen=True)
class Stored:
    """Some rows of the chosen columns as stored values.

    Attributes
    ----------
    values, places, starts
        float64 values, int32 places among the chosen columns (ascending in a row), int64 starts of the rows.
    n_columns
        How many columns are chosen.

    Examples
    --------
    >>> Stored(np.array([3.0]), np.array([1], np.int32), np.array([0, 1]), 2).to_dense().tolist()
    [[0.0, 3.0]]
    """

    values: Array
    places: Array
    starts: Array
    n_columns: int

    def to_dense(self) -> Array:
        """Return the rows as float64, rows x n_columns."""
        n_rows = len(self.starts) - 1
        out = np.zeros((n_rows, self.n_columns))
        out[np.repeat(np.arange(n_rows), np.diff(self.starts)), self.places] = self.values
        return out


Part: TypeAlias = Stored | Array


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and how their values are made.

    Attributes
    ----------
    chosen
        The columns, ascending.
    n_columns
        Width of the whole table.
    scale
        Factor of each row for log1p(value * factor), n; None keeps the values as they are.

    Examples
    --------
    >>> columns = Columns(np.array([0, 2]), 3, None)
    >>> [(start, part.tolist()) for start, part in columns.parts(np.array([[1, 2, 3]]), 5)]
    [(5, [[1.0, 3.0]])]
    """

    chosen: Array
    n_columns: int
    scale: Array | None

    def parts(self, block: Block, start: int) -> Iterator[tuple[int, Part]]:
        """Parts of a block, each with its first row; dense float64 where that is faster to work with."""
        position = np.full(self.n_columns, -1, np.int32)
        position[self.chosen] = np.arange(len(self.chosen))
        small = block.shape[0] <= LONGEST_PART
        whole = small and isinstance(block, SparseRows) and len(block.data) <= LARGEST_PART
        for offset, piece in [(0, block)] if whole else pieces(block):
            first = start + offset
            if self.scale is not None:
                check_counts(piece, "normalize='log1p'")
            scale = None if self.scale is None else self.scale[first : first + piece.shape[0]]
            yield first, self._part(piece, position, scale)

    def _part(self, piece: Block, position: Array, scale: Array | None) -> Part:
        p = len(self.chosen)
        if not isinstance(piece, SparseRows):
            narrow = piece if p == self.n_columns else piece[:, self.chosen]
            if np.count_nonzero(narrow) > DENSE_SHARE * narrow.size:
                dense = narrow.astype(np.float64)
                return dense if scale is None else np.log1p(dense * scale[:, None])
            piece, position = to_sparse(narrow), np.arange(p, dtype=np.int32)
        stored = Stored(*select(piece, position, scale), p)
        return stored.to_dense() if len(stored.values) > DENSE_SHARE * p * piece.shape[0] else stored


def choose(columns: Array | None, n_columns: int) -> Array:
    """Positions of the chosen columns, ascending, from positions or a mask; all of them when None.

    Raises
    ------
    ParameterError
        If a mask has another length, or a position is out of range or named twice.

    Examples
    --------
    >>> choose(np.array([False, True, True]), 3).tolist(), choose(np.array([2, 0]), 3).tolist()
    ([1, 2], [0, 2])
    """
    if columns is None:
        return np.arange(n_columns)
    columns = np.asarray(columns)
    check(columns.ndim == 1 and columns.dtype.kind in "biu", "columns must be a mask or positions in one dimension")
    if columns.dtype.kind == "b":
        check(len(columns) == n_columns, f"columns must hold {n_columns} booleans, got {len(columns)}")
        check(bool(columns.any()), "columns must choose at least one column")
        return np.flatnonzero(columns)
    chosen = np.unique(columns)
    check(len(chosen) == len(columns), "columns must not name a column twice")
    inside = len(chosen) > 0 and chosen[0] >= 0 and chosen[-1] < n_columns
    check(bool(inside), f"columns must be in 0..{n_columns - 1} and at least one")
    return chosen.astype(np.int64)


def column_sums(part: Part) -> Array:
    """Sum of each column, p, float64.

    Examples
    --------
    >>> column_sums(np.eye(2)).tolist()
    [1.0, 1.0]
    """
    if isinstance(part, Stored):
        return np.bincount(part.places, part.values, part.n_columns)
    total: Array = part.sum(axis=0)
    return total


def column_squares(part: Part) -> Array:
    """Sum of squares of each column, p, float64.

    Examples
    --------
    >>> column_squares(2 * np.eye(2)).tolist()
    [4.0, 4.0]
    """
    if isinstance(part, Stored):
        return np.bincount(part.places, part.values**2, part.n_columns)
    squares: Array = np.einsum("ij,ij->j", part, part)
    return squares


def to_stored(part: Array) -> Stored:
    """Dense rows as stored values, without the zeros.

    Examples
    --------
    >>> to_stored(np.array([[0.0, 3.0]])).places.tolist()
    [1]
    """
    rows = to_sparse(part)
    return Stored(rows.data, rows.indices, rows.indptr, part.shape[1])


def times(part: Part, vectors: Array) -> Array:
    """X times vectors (p x k, C order), float64.

    Examples
    --------
    >>> times(np.array([[1.0, 2.0]]), np.eye(2)).tolist()
    [[1.0, 2.0]]
    """
    if not isinstance(part, Stored):
        product: Array = part @ vectors
        return product
    out = np.empty((len(part.starts) - 1, vectors.shape[1]))
    times_vectors(part.values, part.places, part.starts, vectors, out)
    return out


def add_transposed_times(part: Part, scores: Array, out: Array) -> None:
    """Add X' times scores (rows x k) to out (p x k).

    Examples
    --------
    >>> out = np.zeros((2, 1))
    >>> add_transposed_times(np.array([[1.0, 2.0]]), np.array([[3.0]]), out)
    >>> out.tolist()
    [[3.0], [6.0]]
    """
    if isinstance(part, Stored):
        add_transposed(part.values, part.places, part.starts, scores, out)
    else:
        out += part.T @ scores
