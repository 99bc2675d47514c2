"""Hartigan's dip: distance of an empirical distribution from the nearest one with a single mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


@njit(cache=True, nogil=True)
def line(x: Array, a: int, b: int, i: int) -> float:
    """Interpolate the ranks from a to b at value i."""
    if x[a] == x[b]:
        return float(i)
    return a + (b - a) * (x[i] - x[a]) / (x[b] - x[a])


@njit(cache=True, nogil=True)
def hull(x: Array, low: int, high: int, sign: float, corners: Array) -> int:
    """Find the corners of the greatest convex minorant (sign 1) or least concave majorant (-1) of the ranks.

    x: n, ascending; the ranks from low to high take part. corners: n int64, of which the first are filled.
    Returns how many.
    """
    count = 0
    for c in range(low, high + 1):
        while count > 1:
            a, b = corners[count - 2], corners[count - 1]
            if sign * ((x[b] - x[a]) * (c - b) - (x[c] - x[b]) * (b - a)) > 0:
                break
            count -= 1
        corners[count] = c
        count += 1
    return count


@njit(cache=True, nogil=True)
def dip(x: Array) -> float:
    """Compute the dip of sorted values, by the algorithm of Hartigan and Hartigan (1985), doi:10.1214/aos/1176346577.

    x: n, ascending. Returns the largest distance to the nearest unimodal distribution, from 1 / (2 n) to 1 / 4.
    """
    n = len(x)
    low, high, found = 0, n - 1, 1.0  # in units of 1 / (2 n)
    minorant, majorant = np.empty(n, np.int64), np.empty(n, np.int64)
    while low < high and x[low] < x[high]:
        g, m = hull(x, low, high, 1.0, minorant), hull(x, low, high, -1.0, majorant)
        widest, first, last = 0.0, low, high
        at = 0
        for i in range(g):  # corners of the minorant, against the majorant
            while at < m - 2 and majorant[at + 1] <= minorant[i]:
                at += 1
            a, b = majorant[at], majorant[at + 1]
            gap = line(x, a, b, minorant[i]) + 1 - minorant[i]
            if gap > widest:
                widest, first, last = gap, minorant[i], b
        at = 0
        for i in range(m):
            while at < g - 2 and minorant[at + 1] < majorant[i]:
                at += 1
            a, b = minorant[at], minorant[at + 1]
            gap = majorant[i] + 1 - line(x, a, b, majorant[i])
            if gap >= widest:
                widest, first, last = gap, a, majorant[i]
        if widest <= found:
            break
        for i in range(g - 1):
            if minorant[i + 1] > first:
                break
            for j in range(minorant[i], minorant[i + 1] + 1):
                found = max(found, j + 1 - line(x, minorant[i], minorant[i + 1], j))
        for i in range(m - 1, 0, -1):
            if majorant[i - 1] < last:
                break
            for j in range(majorant[i - 1], majorant[i] + 1):
                found = max(found, line(x, majorant[i - 1], majorant[i], j) + 1 - j)
        if first == low and last == high:
            break
        low, high = first, last
    return found / (2 * n)
