"""Logarithm and exponential by additions, multiplications and divisions alone, which every processor rounds alike.

Those of a system's library differ in the last bit: with and without fused multiplication, and from version to version.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numba import njit

_PER_LN2 = np.float64(1.4426950408889634)
_LN2_HIGH = np.float64(0.6931471803691238)  # 33 bits: its products with exponents are exact
_LN2_LOW = np.float64(1.9082149292705877e-10)
_ONE = np.int64(0x3FF0000000000000)  # bits of 1
_ROOT = np.int64(0x3FE6A09E667F3BCD)  # bits of the square root of 1/2
_E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (1.0 / factorial(n) for n in range(3, 14))
_S1, _S2, _S3, _S4, _S5, _S6, _S7 = (np.float32(1.0 / factorial(n)) for n in (1, 2, 3, 4, 5, 6, 7))
_SINGLE_PER_LN2, _SINGLE_SHIFT = np.float32(1.44269504), np.float32(1.5 * 2**23)
_SINGLE_LN2_HIGH, _SINGLE_LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_SINGLE_SMALLEST = np.float32(-87.0)
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
    above = x >= _SMALLEST
    y = x if above else _SMALLEST
    k = np.floor(y * _PER_LN2 + 0.5)
    r = (y - k * _LN2_HIGH) - k * _LN2_LOW
    series = _E13
    series = _E12 + r * series
    series = _E11 + r * series
    series = _E10 + r * series
    series = _E9 + r * series
    series = _E8 + r * series
    series = _E7 + r * series
    series = _E6 + r * series
    series = _E5 + r * series
    series = _E4 + r * series
    series = _E3 + r * series
    series = 0.5 + r * series
    series = 1.0 + (r + r * r * series)
    value = series * np.int64(_ONE + (np.int64(k) << np.int64(52))).view(np.float64)
    return value if above else 0.0


@njit(cache=True, nogil=True)
def single_exponential(x):
    """Compute e^x in float32 of a number of that type up to 0, to about a unit in the last place; 0 below -87."""
    above = x >= _SINGLE_SMALLEST
    y = x if above else _SINGLE_SMALLEST
    shifted = y * _SINGLE_PER_LN2 + _SINGLE_SHIFT  # whole numbers stand in its last bits
    k = shifted - _SINGLE_SHIFT
    r = (y - k * _SINGLE_LN2_HIGH) - k * _SINGLE_LN2_LOW
    series = _S6 + r * _S7
    series = _S5 + r * series
    series = _S4 + r * series
    series = _S3 + r * series
    series = _S2 + r * series
    series = _S1 + (r + r * r * series)
    bits = np.int32(np.float32(series).view(np.int32) + np.int32(np.float32(shifted).view(np.int32) << np.int32(23)))
    return np.float32(bits.view(np.float32) if above else np.float32(0))
