"""Gram matrix X'X of a table read in parts: well filled columns by BLAS, the others by their stored values.

Before they are multiplied, values are rounded to whole multiples of a unit of their column, a power of two that is so
chosen that every sum of their products has no more than the 53 bits of a float64. So nothing is rounded after that,
and the matrix is the same for every order of the sums: for all processors, threads and blocks. The unit is about
1e-7 times the root of the sum of squares of the column: of 100,000 rows 2e-5 of their root mean square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsyrk

from kithkin.core.blocks import Array
from kithkin.kernels.gram import add_gram, round_values, split_columns
from kithkin.models.table.columns import column_counts, column_squares
from kithkin.models.table.normalize import Normalized, Part, Stored, to_stored

# Time of one product of a stored with a dense value, and of two stored values, over that of two dense ones in BLAS
MIXED, STORED = 2.5, 30.0
SAMPLES, SAMPLE_ROWS = 4, 500
MARGIN = 4.0  # of the squares of all rows over what those of the sample let expect
SELDOM, LEAST = 20, 2.0**-8  # values in the sample of a column that is taken to have this share of the largest squares
BITS = 52  # of sums of squares: one less than those of a float64, as rounding may add to the values


@dataclass(frozen=True)
class GramSums:
    """Layout of the sums that make up a Gram matrix X'X: columns taken as dense, and columns taken as sparse.

    slot: int32 per column: its position among the sparse columns, or n_sparse and up for the dense ones. Both keep the
        order of the columns.
    n_sparse: number of sparse columns.
    unit: float64 per column: what values are rounded to whole multiples of, powers of two.
    """

    slot: Array
    n_sparse: int
    unit: Array

    @classmethod
    def of(cls, source: Normalized, squares: Array | None = None) -> GramSums:
        """Choose the dense columns by their density in up to 2000 rows, the same for every cut into blocks.

        squares: sum of squares of each column; estimated from these rows when None.
        """
        n, p = source.shape
        filled, seen_squares = np.zeros((2, p))
        step = max(SAMPLE_ROWS, n // SAMPLES)
        starts = range(0, n, step)
        seen = 0
        for start in starts:
            stop = min(start + SAMPLE_ROWS, n)
            seen += stop - start
            for _, part in source.parts(source.blocks.read(start, stop), start):
                filled += column_counts(part)
                seen_squares += column_squares(part)
        if squares is None:
            squares = n / seen * MARGIN * seen_squares
            squares = np.where(filled < SELDOM, np.maximum(squares, LEAST * squares.max()), squares)
        dense = np.sort(np.argsort(-filled, kind="stable")[: best_width(filled / seen)])
        is_dense = np.zeros(p, bool)
        is_dense[dense] = True
        slot = np.empty(p, np.int32)
        slot[~is_dense], slot[dense] = np.arange(p - len(dense)), np.arange(p - len(dense), p)
        return cls(slot, p - len(dense), exact_units(squares))

    def rounded(self, part: Part) -> Part:
        """Round values to whole multiples of the units; those of a Stored part in place."""
        if isinstance(part, Stored):
            round_values(part.values, part.places, self.unit)
            return part
        dense: Array = np.rint(part / self.unit) * self.unit
        return dense

    def squares(self, sums: Array) -> Array:
        """Return the sum of squares of each column, p."""
        packed, _, corner = self._views(sums)
        own = np.arange(self.n_sparse)
        # row r of the triangle begins after rows of n, n - 1, ... values
        diagonal = np.concatenate([packed[own * self.n_sparse - own * (own - 1) // 2], np.diag(corner)])
        found: Array = diagonal[self.slot]
        return found

    def is_exact(self, squares: Array) -> bool:
        """Tell whether sums of products were exact, from the sums of squares that came of them, p."""
        return bool(np.all(squares <= 2.0 ** (BITS + 1) * self.unit**2))

    def zeros(self) -> Array:
        """Make the array of the sums: one, which is handed back to the system as a whole when it is no longer used."""
        sparse, dense = self.n_sparse, len(self.slot) - self.n_sparse
        return np.zeros(sparse * (sparse + 1) // 2 + sparse * dense + dense * dense)

    def _views(self, sums: Array) -> tuple[Array, Array, Array]:
        """View the sums as sparse x sparse (triangle without gaps), sparse x dense, dense x dense (upper triangle)."""
        sparse, dense = self.n_sparse, len(self.slot) - self.n_sparse
        packed, across, corner = np.split(sums, np.cumsum([sparse * (sparse + 1) // 2, sparse * dense]))
        return packed, across.reshape(sparse, dense), corner.reshape(dense, dense)

    def add(self, part: Part, sums: Array) -> None:
        """Add the products of some rows, which are rounded; the arrays of a Stored part are used up."""
        packed, across, corner = self._views(sums)
        if isinstance(part, Stored):
            panel = np.zeros((len(part.starts) - 1, len(corner)))
            split_columns(part.values, part.places, part.starts, self.slot, self.n_sparse, panel)
            stored = part
        else:
            panel = np.ascontiguousarray(part[:, self.slot >= self.n_sparse] if self.n_sparse else part)
            stored = to_stored(part[:, self.slot < self.n_sparse])
        if len(corner):
            # BLAS counts in Fortran order: the lower triangle of corner.T is the upper one of corner, same memory
            dsyrk(1.0, panel.T, beta=1.0, c=corner.T, lower=1, overwrite_c=1)
        if self.n_sparse:
            add_gram(stored.values, stored.places, stored.starts, panel, packed, across)

    def matrix(self, sums: Array) -> Array:
        """Return X'X, p x p: the upper triangle with the diagonal. The lower one is left undefined."""
        packed, across, corner = self._views(sums)
        if self.n_sparse == 0:
            return corner
        sparse, dense = np.flatnonzero(self.slot < self.n_sparse), np.flatnonzero(self.slot >= self.n_sparse)
        gram = np.zeros((len(self.slot), len(self.slot)))
        first = 0
        for row, column in enumerate(sparse):
            last = first + len(sparse) - row
            gram[column, sparse[row:]] = packed[first:last]
            gram[column, dense] = across[row]
            first = last
        for row, column in enumerate(dense):
            gram[column, sparse] = across[:, row]
            gram[column, dense[row:]] = corner[row, row:]
        return gram


def exact_units(squares: Array) -> Array:
    """Choose for each column the unit with which sums of products are exact: powers of two, p.

    squares: sum of squares of each column, or more, p.

    Examples
    --------
    >>> (exact_units(np.array([3.0, 4.0])) * 2**25).tolist()
    [1.0, 2.0]
    """
    exponents = np.frexp(squares)[1]  # squares are below 2^exponents
    units: Array = np.ldexp(1.0, -((BITS - exponents) // 2))
    return units


def best_width(density: Array) -> int:
    """Choose the number of best filled columns to take as dense, for the least expected time.

    density: fraction of the rows in which each column has a value, p.
    """
    left = np.concatenate([[0.0], np.cumsum(np.sort(density))])[::-1]
    width = np.arange(len(left))
    cost = width**2 / 2 + MIXED * width * left + STORED * left**2 / 2
    return int(np.argmin(cost))
