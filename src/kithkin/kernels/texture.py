"""Texture within a cell: co-occurrence of grey levels (Haralick et al. 1973) and loss by openings (granularity).

Masks are bool n x h x w, pixels float64 n x channels x h x w. Only pairs and neighbours within the mask count.
"""

from math import exp, log, log2, sqrt

import numpy as np
from numba import njit

from kithkin.kernels.regions import box_of

HARALICK = (
    *("angular_second_moment", "contrast", "correlation", "variance", "homogeneity", "sum_average", "sum_variance"),
    *("sum_entropy", "entropy", "difference_variance", "difference_entropy", "information_1", "information_2"),
)


@njit(cache=True, nogil=True)
def cooccurrence(pixels, mask, low, high, counts):
    """Fill counts (levels, levels) with the neighbouring pairs of grey levels, all eight directions, both orders."""
    levels, (h, w) = len(counts), mask.shape
    counts[:] = 0.0
    scale = levels / (high - low) if high > low else 0.0
    grey = np.full((h, w), -1, np.int64)
    for y in range(h):
        for x in range(w):
            if mask[y, x]:
                grey[y, x] = int(min(max((pixels[y, x] - low) * scale, 0.0), levels - 1.0))
    for y in range(h):
        for x in range(w):
            a = grey[y, x]
            if a < 0:
                continue
            for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
                if y + dy < h and 0 <= x + dx < w:
                    b = grey[y + dy, x + dx]
                    if b >= 0:
                        counts[a, b] += 1
                        counts[b, a] += 1


@njit(cache=True, nogil=True)
def _entropy(p):
    """Compute the entropy of a distribution in bits."""
    total = 0.0
    for v in p:
        if v > 0:
            total -= v * log2(v)
    return total


@njit(cache=True, nogil=True)
def _spread(p):
    """Compute the mean and variance of the indices of a distribution."""
    mean, square = 0.0, 0.0
    for k in range(len(p)):
        mean, square = mean + k * p[k], square + k * k * p[k]
    return mean, max(square - mean * mean, 0.0)


@njit(cache=True, nogil=True)
def haralick(counts, out):
    """Fill out (13) with HARALICK of symmetric counts of pairs, entropies in bits; all 0 without pairs."""
    levels, total = len(counts), counts.sum()
    out[:] = 0.0
    if total == 0:
        return
    p = counts / total
    one, plus, minus = p.sum(axis=1), np.zeros(2 * levels - 1), np.zeros(levels)
    asm, product, same, joint, cross = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(levels):
        for j in range(levels):
            v = p[i, j]
            if v > 0:
                plus[i + j] += v
                minus[abs(i - j)] += v
                asm, product, same = asm + v * v, product + i * j * v, same + v / (1 + (i - j) ** 2)
                joint -= v * log2(v)
                cross -= v * log2(one[i] * one[j])
    mean, variance = _spread(one)
    difference, single = _spread(minus), _entropy(one)
    independent = 2 * single  # entropy of the product of the margins
    out[0], out[1], out[3], out[4] = asm, difference[1] + difference[0] ** 2, variance, same
    out[2] = (product - mean * mean) / variance if variance > 1e-15 else 1.0
    out[5], out[6] = _spread(plus)
    out[7], out[8], out[9], out[10] = _entropy(plus), joint, difference[1], _entropy(minus)
    out[11] = (joint - cross) / single if single > 0 else 0.0
    out[12] = sqrt(max(1 - exp(-2 * log(2.0) * (independent - joint)), 0.0))


@njit(cache=True, nogil=True)
def textures(pixels, masks, limits, levels, out):
    """Fill out (n, channels, 13) with HARALICK, the range of each cell and channel cut into grey levels."""
    counts = np.empty((levels, levels))
    for i in range(len(masks)):
        y0, y1, x0, x1 = box_of(masks[i])
        for c in range(pixels.shape[1]):
            low, high = limits[i, c]
            cooccurrence(pixels[i, c, y0:y1, x0:x1], masks[i, y0:y1, x0:x1], low, high, counts)
            haralick(counts, out[i, c])


@njit(cache=True, nogil=True)
def _neighbourhood(values, mask, sign, row, out):
    """Erode (sign 1) or dilate (-1): smallest or largest of each pixel and its eight neighbours within the mask.

    values and out have a rim of one pixel, mask has none; pixels outside the mask are infinite and stay so.
    """
    h, w = mask.shape
    for y in range(h + 2):
        for x in range(w):
            row[y, x] = sign * min(sign * values[y, x], sign * values[y, x + 1], sign * values[y, x + 2])
    for y in range(h):
        for x in range(w):
            best = sign * min(sign * row[y, x], sign * row[y + 1, x], sign * row[y + 2, x])
            out[y + 1, x + 1] = best if mask[y, x] else sign * np.inf


@njit(cache=True, nogil=True)
def granularity(pixels, mask, out):
    """Fill out (scales) with the percentage of the intensity that an opening of each radius takes and the last did not.

    Intensity is counted from the smallest value of the cell on; a radius is that many steps to one of eight neighbours
    within the mask.
    """
    h, w = mask.shape
    out[:] = 0.0
    eroded = np.full((h + 2, w + 2), np.inf)
    spare, row = np.full((h + 2, w + 2), np.inf), np.empty((h + 2, w))
    there, back = np.full((h + 2, w + 2), -np.inf), np.full((h + 2, w + 2), -np.inf)
    low, total, n = np.inf, 0.0, 0
    for y in range(h):
        for x in range(w):
            if mask[y, x]:
                v = pixels[y, x]
                eroded[y + 1, x + 1] = v
                low, total, n = min(low, v), total + v, n + 1
    if n == 0 or total - n * low <= 1e-12 * abs(total):
        return
    before = total
    for k in range(len(out)):
        _neighbourhood(eroded, mask, 1.0, row, spare)
        eroded, spare = spare, eroded
        for y in range(h):
            for x in range(w):
                there[y + 1, x + 1] = eroded[y + 1, x + 1] if mask[y, x] else -np.inf
        for _ in range(k + 1):
            _neighbourhood(there, mask, -1.0, row, back)
            there, back = back, there
        left = 0.0
        for y in range(h):
            for x in range(w):
                if mask[y, x]:
                    left += there[y + 1, x + 1]
        out[k] = 100 * max(before - left, 0.0) / (total - n * low)
        before = left


@njit(cache=True, nogil=True)
def granularities(pixels, masks, out):
    """Fill out (n, channels, scales) with granularity."""
    for i in range(len(masks)):
        y0, y1, x0, x1 = box_of(masks[i])
        for c in range(pixels.shape[1]):
            granularity(pixels[i, c, y0:y1, x0:x1], masks[i, y0:y1, x0:x1], out[i, c])
