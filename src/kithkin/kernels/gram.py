"""Products of a sparse table with itself and with a few vectors, over rows in compressed form."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def round_values(values, places, unit):
    """Round each stored value to a whole multiple of the unit of its column, in place.

    values, places: float64 and the column of each, integers.
    unit: float64 per column: powers of two.
    """
    for k in range(len(values)):
        step = unit[places[k]]
        values[k] = np.rint(values[k] / step) * step


@njit(cache=True, nogil=True)
def split_columns(values, places, starts, slot, n_sparse, panel):
    """Move the values of some columns to a dense panel, and close the gaps that they leave.

    values, places, starts: rows in compressed form, float64, int32 and int64; changed in place: what remains comes
        first, and its places are slots.
    slot: int32 per column: its position among the columns that remain, or n_sparse and up: its position in the panel.
    n_sparse: number of columns that remain.
    panel (out): float64 of rows x the other columns, zeros at first.
    """
    used = 0
    first = 0
    for row in range(len(starts) - 1):
        last = starts[row + 1]
        dense = panel[row]
        for k in range(first, last):
            target = slot[places[k]]
            if target < n_sparse:
                values[used] = values[k]
                places[used] = target
                used += 1
            else:
                dense[target - n_sparse] = values[k]
        first = last
        starts[row + 1] = used


@njit(cache=True, nogil=True)
def add_gram(values, places, starts, panel, packed, across):
    """Add X'X and X'D of the rows, where X is sparse and D dense.

    values, places, starts: X in compressed form, float64, int32 and int64; places ascend within a row.
    panel: D, float64 of rows x d, in C order.
    packed (added to): float64: the upper triangle of X'X with the diagonal, row after row without gaps.
    across (added to): float64 of columns of X x d.
    """
    # Column by column, so that one row of the sums stays in the first cache while all rows of X are added to it:
    # the outer product of each row would walk through the whole of them every time.
    n_columns = len(across)
    n_values = starts[-1]
    ends = np.zeros(n_columns + 1, np.int64)
    for k in range(n_values):
        ends[places[k] + 1] += 1
    for column in range(n_columns):
        ends[column + 1] += ends[column]
    entry = np.empty(n_values, np.int32)
    rows = np.empty(n_values, np.int32)
    for row in range(len(starts) - 1):
        for k in range(starts[row], starts[row + 1]):
            slot = ends[places[k]]
            entry[slot] = k
            rows[slot] = row
            ends[places[k]] = slot + 1
    first = 0
    base = 0
    for column in range(n_columns):
        out = packed[base : base + n_columns]
        for slot in range(first, ends[column]):
            value = values[entry[slot]]
            for k in range(entry[slot], starts[rows[slot] + 1]):
                out[places[k]] += value * values[k]
        base += n_columns - column - 1
        first = ends[column]
    if panel.shape[1] > 0:
        _add_across(values, entry, rows, ends, panel, across)


@njit(cache=True, nogil=True)
def _add_across(values, entry, rows, ends, panel, across):
    """Add X'D, four values of a column at a time: the sums are then read and written a quarter as often."""
    first = 0
    for column in range(len(across)):
        last = ends[column]
        out = across[column]
        slot = first
        while slot + 4 <= last:
            a, b, c, d = panel[rows[slot]], panel[rows[slot + 1]], panel[rows[slot + 2]], panel[rows[slot + 3]]
            u, v = values[entry[slot]], values[entry[slot + 1]]
            w, x = values[entry[slot + 2]], values[entry[slot + 3]]
            for i in range(len(out)):
                out[i] += (u * a[i] + v * b[i]) + (w * c[i] + x * d[i])
            slot += 4
        while slot < last:
            a = panel[rows[slot]]
            u = values[entry[slot]]
            for i in range(len(out)):
                out[i] += u * a[i]
            slot += 1
        first = last


@njit(cache=True, nogil=True)
def times_vectors(values, places, starts, vectors, out):
    """Write X times vectors: one row of `out` for each row.

    values, places, starts: rows in compressed form.
    vectors: floats of columns x k, in C order.
    out (out): floats of rows x k.
    """
    for row in range(len(starts) - 1):
        scores = out[row]
        scores[:] = 0.0
        for k in range(starts[row], starts[row + 1]):
            value = values[k]
            vector = vectors[places[k]]
            for c in range(len(scores)):
                scores[c] += value * vector[c]


@njit(cache=True, nogil=True)
def add_transposed(values, places, starts, scores, out):
    """Add X' times scores to `out`.

    values, places, starts: rows in compressed form.
    scores: floats of rows x k, in C order.
    out (added to): floats of columns x k.
    """
    for row in range(len(starts) - 1):
        score = scores[row]
        for k in range(starts[row], starts[row + 1]):
            value = values[k]
            sums = out[places[k]]
            for c in range(len(score)):
                sums[c] += value * score[c]
