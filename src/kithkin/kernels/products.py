"""Products of dense arrays whose sums are taken in the order of the rows: the same bits on every processor.

BLAS takes them in an order that depends on the processor. Here the order is fixed, and what lies side by side is
computed side by side, so that nothing need be added in another order to keep vector registers full.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_ROWS, _COLUMNS = 8, 256  # of a tile of the result, which stays in the first cache


@njit(cache=True, nogil=True)
def multiply(left, right, out):
    """Add left times right to `out`, the terms of each sum in the order of the rows of right.

    left, right, out (added to): floats of n x m, m x k and n x k; rows of right and out in C order.
    """
    n, m = left.shape
    k = right.shape[1]
    for top in range(0, n, _ROWS):
        bottom = min(top + _ROWS, n)
        for first in range(0, k, _COLUMNS):
            last = min(first + _COLUMNS, k)
            i = 0
            while i + 4 <= m:
                a, b = right[i, first:last], right[i + 1, first:last]
                c, d = right[i + 2, first:last], right[i + 3, first:last]
                for row in range(top, bottom):
                    u, v, w, x = left[row, i], left[row, i + 1], left[row, i + 2], left[row, i + 3]
                    if u == 0.0 and v == 0.0 and w == 0.0 and x == 0.0:
                        continue
                    sums = out[row, first:last]
                    for j in range(len(sums)):
                        sums[j] = (((sums[j] + u * a[j]) + v * b[j]) + w * c[j]) + x * d[j]
                i += 4
            while i < m:
                a = right[i, first:last]
                for row in range(top, bottom):
                    u = left[row, i]
                    sums = out[row, first:last]
                    for j in range(len(sums)):
                        sums[j] += u * a[j]
                i += 1


@njit(cache=True, nogil=True)
def orthonormalize(rows, sizes):
    """Make rows orthonormal from the first to the last, by modified Gram-Schmidt twice.

    rows: floats of k x p, changed; a row that depends on those before it is left 0.
    sizes (out): k x k, zeros at first: the rows as they were are `sizes.T` times the rows as they are.
    """
    for i in range(len(rows)):
        row = rows[i]
        before = np.sqrt(_square(row))
        for _ in range(2):
            for j in range(i):
                other = rows[j]
                shared = 0.0
                for c in range(len(row)):
                    shared += row[c] * other[c]
                sizes[j, i] += shared
                for c in range(len(row)):
                    row[c] -= shared * other[c]
        length = np.sqrt(_square(row))
        if length <= 1e-14 * before:
            row[:] = 0.0
            continue
        sizes[i, i] = length
        for c in range(len(row)):
            row[c] /= length


@njit(cache=True, nogil=True)
def _square(row):
    total = 0.0
    for c in range(len(row)):
        total += row[c] * row[c]
    return total
