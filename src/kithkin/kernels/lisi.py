"""Local inverse Simpson's index: the effective number of labels among the neighbours of a row."""

import numpy as np
from numba import njit

TRIES = 50  # halvings of the interval in which the width of the kernel lies
CLOSE = 1e-5  # nats


@njit(cache=True, nogil=True)
def inverse_simpson(distances, codes, n_codes, entropy, index):
    """Weigh the neighbours of each row by exp(-b d), with b such that the weights have the entropy; count the labels.

    distances: rows x k, not negative.
    codes: rows x k integers, label of each neighbour; a negative one is no label, and its weight is left out.
    n_codes: number of labels.
    entropy: in nats; less than log(k).
    index: rows float64, overwritten: 1 / sum of the squared shares of the labels, NaN without a labelled neighbour.
    """
    n_rows, k = distances.shape
    weights, shares = np.empty(k), np.empty(n_codes)
    for i in range(n_rows):
        nearest = distances[i, 0]
        for j in range(1, k):
            nearest = min(nearest, distances[i, j])
        rate, low, high = 1.0, 0.0, np.inf
        for _ in range(TRIES):
            total, moment = 0.0, 0.0
            for j in range(k):
                beyond = np.float64(distances[i, j]) - nearest
                weights[j] = np.exp(-rate * beyond)
                total += weights[j]
                moment += weights[j] * beyond
            excess = np.log(total) + rate * moment / total - entropy
            if abs(excess) < CLOSE:
                break
            if excess > 0:
                low = rate
                rate = 2.0 * rate if high == np.inf else 0.5 * (rate + high)
            else:
                high = rate
                rate = 0.5 * (rate + low)
        shares[:] = 0.0
        for j in range(k):
            if codes[i, j] >= 0:
                shares[codes[i, j]] += weights[j]
        total = shares.sum()
        index[i] = total * total / (shares * shares).sum() if total > 0.0 else np.nan
