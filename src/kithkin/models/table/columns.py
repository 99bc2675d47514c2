"""Choice of columns of a table, and the products that reductions need of their normalised values."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.kernels.gram import add_transposed, times_vectors
from kithkin.kernels.products import multiply
from kithkin.models.table.normalize import Part, Stored


def choose(columns: Array | None, n_columns: int) -> Array:
    """Return the positions of the chosen columns, ascending, from positions or a mask; all of them when None.

    A mask of another length, and a position out of range or named twice, raise ParameterError.
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
    """Sum each column, p float64."""
    if isinstance(part, Stored):
        return np.bincount(part.places, part.values, part.n_columns)
    total: Array = part.sum(axis=0)
    return total


def column_squares(part: Part) -> Array:
    """Sum the squares of each column, p float64."""
    if isinstance(part, Stored):
        return np.bincount(part.places, part.values**2, part.n_columns)
    squares: Array = np.einsum("ij,ij->j", part, part)
    return squares


def column_counts(part: Part) -> Array:
    """Count the values of each column that are stored, or other than zero in dense rows, p integers."""
    if isinstance(part, Stored):
        return np.bincount(part.places, minlength=part.n_columns)
    counts: Array = np.count_nonzero(part, axis=0)
    return counts


def times(part: Part, vectors: Array) -> Array:
    """Multiply rows X by vectors (p x k, C order), rows x k float64: the same for dense rows as for stored ones."""
    if not isinstance(part, Stored):
        product = np.zeros((len(part), vectors.shape[1]))
        multiply(part, vectors, product)
        return product
    out = np.empty((len(part.starts) - 1, vectors.shape[1]))
    times_vectors(part.values, part.places, part.starts, vectors, out)
    return out


def add_transposed_times(part: Part, scores: Array, out: Array) -> None:
    """Add X' times scores (rows x k) to out (p x k)."""
    if isinstance(part, Stored):
        add_transposed(part.values, part.places, part.starts, scores, out)
    else:
        out += part.T @ scores
