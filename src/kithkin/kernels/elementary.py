"""Logarithm and exponential by additions, multiplications and divisions alone, which every processor rounds alike.

Those of a system's library differ in the last bit: with and without fused multiplication, and from version to version.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_LN2 = np.float64(0.6931471805599453)
_LN2_HIGH = np.float64(0.6931471803691238)  # 33 bits: its products with exponents are exact
_LN2_LOW = np.float64(1.9082149292705877e-10)
_ONE = np.int64(0x3FF0000000000000)  # bits of 1
_ROOT = np.int64(0x3FE6A09E667F3BCD)  # bits of the square root of 1/2
_SMALLEST = -708.0  # below, the exponential is taken as 0


@njit(cache=True, nogil=True)
def log1p(x):
    """Compute log(1 + x) of a number from 0 on, to about one unit in the last place."""
    k, f, lost = np.int64(0), x, 0.0
    if x >= 0.4142135623730951:  # 1 + x = 2^k (1 + f) with 1 + f between the roots of 1/2 and 2
        u = 1.0 + x
        bits = np.float64(u).view(np.int64)
        k = (bits - _ROOT) >> np.int64(52)
        f = np.int64(bits - (k << np.int64(52))).view(np.float64) - 1.0
        lost = ((1.0 - (u - x)) if x >= 1.0 else (x - (u - 1.0))) / u
    # log(1 + f) = 2 artanh(s) with s = f / (2 + f), at most 0.1716
    s = f / (2.0 + f)
    z = s * s
    series = 2.0 / 23.0
    series = 2.0 / 21.0 + z * series
    series = 2.0 / 19.0 + z * series
    series = 2.0 / 17.0 + z * series
    series = 2.0 / 15.0 + z * series
    series = 2.0 / 13.0 + z * series
    series = 2.0 / 11.0 + z * series
    series = 2.0 / 9.0 + z * series
    series = 2.0 / 7.0 + z * series
    series = 2.0 / 5.0 + z * series
    series = z * (2.0 / 3.0 + z * series)
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + series) + (k * _LN2_LOW + lost))) - f)


@njit(cache=True, nogil=True)
def exponential(x):
    """Compute e^x of a number up to 709, to about two units in the last place; 0 below -708."""
    if not x >= _SMALLEST:
        return 0.0
    k = np.floor(x / _LN2 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = 1.0
    for i in range(13, 0, -1):
        series = 1.0 + series * r / i
    return series * np.int64(_ONE + (np.int64(k) << np.int64(52))).view(np.float64)
