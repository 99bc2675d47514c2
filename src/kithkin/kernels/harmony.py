"""Soft assignments of Harmony: penalised by batch, brought to a sum of one, and counted by batch and cluster."""

import numpy as np
from numba import njit

FINITE = {"nnan", "nsz", "reassoc", "contract"}  # let a sum run in vector registers


@njit(cache=True, nogil=True, fastmath=FINITE)
def assign_softly(weights, codes, penalty, sums):
    """Turn kernel weights of rows into responsibilities, in place, and return the sum of the logarithms of their norms.

    weights: rows x clusters float32, positive; each row is multiplied by its penalty and divided by its sum.
    codes: integers, the row of penalty and sums that each row belongs to.
    penalty: codes x clusters float32, positive.
    sums (in and out): codes x clusters float64, the responsibilities are added.
    """
    logs = 0.0
    n_clusters = weights.shape[1]
    for i in range(weights.shape[0]):
        code = codes[i]
        norm = np.float32(0.0)
        for k in range(n_clusters):
            weights[i, k] *= penalty[code, k]
            norm += weights[i, k]
        logs += np.log(np.float64(norm))
        scale = np.float32(1.0) / norm
        for k in range(n_clusters):
            weights[i, k] *= scale
            sums[code, k] += weights[i, k]
    return logs


@njit(cache=True, nogil=True)
def unit_rows(rows):
    """Bring the rows of a float32 table to length one, in place; rows of zeros stay."""
    for i in range(rows.shape[0]):
        square = 0.0
        for j in range(rows.shape[1]):
            square += np.float64(rows[i, j]) ** 2
        if square > 0.0:
            scale = np.float32(1.0 / np.sqrt(square))
            for j in range(rows.shape[1]):
                rows[i, j] *= scale
