"""Sums of sparse rows by group, and of their squares by a coarser one."""

from numba import njit


@njit(cache=True, nogil=True)
def add_groups(values, places, starts, group, part, sums, squares):
    """Add rows in compressed form to sums[group of the row], and their squares to squares[part of the row].

    values, places, starts: rows; group, part: integers of each row.
    sums, squares (added to): float64, groups x p and parts x p.
    """
    for row in range(len(starts) - 1):
        total, power = sums[group[row]], squares[part[row]]
        for k in range(starts[row], starts[row + 1]):
            v = values[k]
            total[places[k]] += v
            power[places[k]] += v * v
