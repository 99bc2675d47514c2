"""Stable counting sort, which turns a gene-major table into rows."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def counting_sort(keys, n_keys):
    """Compute the order that sorts small integers, equal keys in their original order, and the start of each key.

    keys: int64, each in 0..n_keys - 1.
    n_keys: number of possible keys.
    Returns order: int64, `keys[order]` ascends; starts: int64, n_keys + 1 positions in the sorted keys.
    """
    starts = np.zeros(n_keys + 1, np.int64)
    for key in keys:
        starts[key + 1] += 1
    for key in range(n_keys):
        starts[key + 1] += starts[key]
    position = starts[:-1].copy()
    order = np.empty(keys.size, np.int64)
    for k in range(keys.size):
        key = keys[k]
        order[position[key]] = k
        position[key] += 1
    return order, starts
