"""Sums of columns on the two sides of each split of a tree that a row takes part in."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def add_sides(data, indices, indptr, place, half, starts, splits, sides, sums, pairs):
    """Add each row to the sums of its side in every split that it takes part in, column by column.

    data, indices, indptr: rows in compressed form.
    place: int64 per column: its place in the sums, or -1 to leave it out.
    half: int8 per column, 0 or 1: half of the columns that it belongs to.
    starts: int64, rows + 1: the splits of each row are splits[starts[row] : starts[row + 1]].
    splits: int64 numbers of splits.
    sides: int8, as many x 2: side of the row in the split for columns of the first and of the second half.
    sums, pairs (added to): float64 of splits x 2 x columns: values x, and x (x - 1).
    """
    for row in range(len(indptr) - 1):
        for k in range(indptr[row], indptr[row + 1]):
            column = place[indices[k]]
            if column >= 0:
                value = float(data[k])
                which = half[indices[k]]
                for t in range(starts[row], starts[row + 1]):
                    side = sides[t, which]
                    sums[splits[t], side, column] += value
                    pairs[splits[t], side, column] += value * (value - 1.0)
