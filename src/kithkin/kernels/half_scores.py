"""Scores of rows by each half of the columns, and sums of columns by what the other half calls."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def score_halves(data, indices, indptr, half, fold, weights, scores, depths):
    """Add up weighted values of each row, apart for the two halves of the columns.

    data, indices, indptr: rows in compressed form.
    half: int8 per column, 0 or 1; -1: left out.
    fold: int64 per row: the weights to use.
    weights: float32 of folds x columns x scores.
    scores (added to): float32 of rows x 2 x scores.
    depths (added to): float64 of rows x 2: sums of the values.
    """
    n_scores = weights.shape[2]
    for row in range(len(indptr) - 1):
        table = weights[fold[row]]
        for k in range(indptr[row], indptr[row + 1]):
            which = half[indices[k]]
            if which >= 0:
                depths[row, which] += data[k]
                value = np.float32(data[k])  # a product of single and other types would be double
                factors, into = table[indices[k]], scores[row, which]
                for c in range(n_scores):
                    into[c] += value * factors[c]


@njit(cache=True, nogil=True)
def add_called(data, indices, indptr, half, groups, sums):
    """Add each row to the sums of a group, apart for the two halves of the columns.

    data, indices, indptr: rows in compressed form.
    half: int8 per column, 0 or 1; -1: left out.
    groups: int64 of rows x 2: the group for columns of the first and of the second half.
    sums (added to): float64 of groups x columns.
    """
    for row in range(len(indptr) - 1):
        for k in range(indptr[row], indptr[row + 1]):
            which = half[indices[k]]
            if which >= 0:
                sums[groups[row, which], indices[k]] += data[k]
