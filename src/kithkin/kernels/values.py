"""Range and type of stored values and column numbers, checked in one pass while they are in cache."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def scan_floats(values):
    """Find the range and the number of zeros, and whether all values are finite and all are whole numbers.

    values: floating-point numbers, one dimension.
    Returns low, high, zeros, finite, whole; low and high are 0 for no values.
    """
    zeros, strange, broken = 0, 0, 0
    if values.size == 0:
        return 0.0, 0.0, 0, True, True
    low = high = values[0]
    for value in values:
        # counters instead of early exits: the loop stays free of branches and vectorises
        strange += not (abs(value) < np.inf)
        broken += value != np.floor(value)
        zeros += value == 0
        low = value if value < low else low
        high = value if value > high else high
    return float(low), float(high), zeros, strange == 0, broken == 0


@njit(cache=True, nogil=True)
def take_columns(indices, indptr, n_columns, out):
    """Copy column numbers into a narrower type, checking their range and order on the way.

    indices: column of each value, signed integers.
    indptr: int64, first position of each row; the last entry is the number of values.
    n_columns: columns must lie in 0..n_columns - 1.
    out: where they go, as long as `indices`, in a type that holds n_columns - 1.
    Returns position of the first column out of range (-1 if none), and whether each row ascends strictly.
    """
    ascending = True
    for row in range(indptr.size - 1):
        before = -1
        for k in range(indptr[row], indptr[row + 1]):
            column = np.int64(indices[k])
            if column < 0 or column >= n_columns:
                return k, ascending
            ascending = ascending and column > before
            before = column
            out[k] = column
    return -1, ascending
