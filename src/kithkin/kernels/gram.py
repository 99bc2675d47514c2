"""Products of a sparse table with itself and with a few vectors, over rows in compressed form."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def add_gram(values, places, starts, gram):
    """Add X'X of the rows to the upper triangle of gram.

    Parameters
    ----------
    values, places, starts
        Rows in compressed form, float64, int32 and int64; places ascend within a row.
    gram
        Added to, float64 of columns x columns, upper triangle with the diagonal.
    """
    # Column by column, so that one row of gram stays in the first cache while all rows of X are added to it:
    # a quarter faster than the outer product of each row, which walks through the whole of gram every time.
    n_columns = len(gram)
    n_values = starts[-1]
    ends = np.zeros(n_columns + 1, np.int64)
    for k in range(n_values):
        ends[places[k] + 1] += 1
    for column in range(n_columns):
        ends[column + 1] += ends[column]
    entry = np.empty(n_values, np.int64)
    row_end = np.empty(n_values, np.int64)
    for row in range(len(starts) - 1):
        for k in range(starts[row], starts[row + 1]):
            slot = ends[places[k]]
            entry[slot] = k
            row_end[slot] = starts[row + 1]
            ends[places[k]] = slot + 1
    first = 0
    for column in range(n_columns):
        out = gram[column]
        for slot in range(first, ends[column]):
            value = values[entry[slot]]
            for k in range(entry[slot], row_end[slot]):
                out[places[k]] += value * values[k]
        first = ends[column]


@njit(cache=True, nogil=True)
def times_vectors(values, places, starts, vectors, out):
    """Write X times vectors: one row of `out` for each row.

    Parameters
    ----------
    values, places, starts
        Rows in compressed form.
    vectors
        float64 of columns x k, in C order.
    out
        Out, float64 of rows x k.
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

    Parameters
    ----------
    values, places, starts
        Rows in compressed form.
    scores
        float64 of rows x k, in C order.
    out
        Added to, float64 of columns x k.
    """
    for row in range(len(starts) - 1):
        score = scores[row]
        for k in range(starts[row], starts[row + 1]):
            value = values[k]
            sums = out[places[k]]
            for c in range(len(score)):
                sums[c] += value * score[c]
