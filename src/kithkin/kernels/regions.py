"""Features of a cell from its mask and pixels: shape, intensities, their distribution, correlation of channels.

Shapes are those of scikit-image's regionprops, in pixels: half-open boxes, moments of pixel centres, perimeter from
the border's neighbourhoods (Benkrid and Crookes 2000), hull of the midpoints of pixel edges. Masks come as bool
n x h x w, pixels as float64 n x channels x h x w; every function fills rows of its output and allocates little.
"""

from math import atan2, pi, sqrt

import numpy as np
from numba import njit

SHAPES = (
    *("area", "area_bbox", "area_convex", "axis_major_length", "axis_minor_length", "eccentricity"),
    *("equivalent_diameter_area", "extent", "orientation", "perimeter", "solidity", "form_factor"),
    *("radius_max", "radius_mean"),
)
INTENSITIES = ("mean", "std", "min", "p5", "p25", "median", "p75", "p95", "max", "displacement")
WEDGES = 8  # of a ring, between which its intensity varies


@njit(cache=True, nogil=True)
def sum_runs(block, cell, row, begin, end, sums):
    """Add the pixels of runs along rows, block (channels, h, w), to sums (cells, channels)."""
    for k in range(len(cell)):
        for c in range(block.shape[0]):
            total = 0.0
            for x in range(begin[k], end[k]):
                total += block[c, row[k], x]
            sums[cell[k], c] += total


@njit(cache=True, nogil=True)
def box_of(mask):
    """Find the first and past-the-last row and column of a mask; all 0 if it is empty."""
    h, w = mask.shape
    y0, y1, x0, x1 = h, 0, w, 0
    for y in range(h):
        for x in range(w):
            if mask[y, x]:
                y0, y1 = min(y0, y), y + 1
                x0, x1 = min(x0, x), max(x1, x + 1)
    return (y0, y1, x0, x1) if y1 else (0, 0, 0, 0)


@njit(cache=True, nogil=True)
def edge_distance(mask):
    """Compute the distance of each pixel of a mask to the nearest pixel outside it or beyond the array."""
    h, w = mask.shape
    down = np.zeros((h, w), np.int64)  # to the nearest outside in the same column
    for x in range(w):
        for y in range(h):
            if mask[y, x]:
                down[y, x] = (down[y - 1, x] if y else 0) + 1
        for y in range(h - 1, -1, -1):
            if mask[y, x]:
                down[y, x] = min(down[y, x], (down[y + 1, x] if y < h - 1 else 0) + 1)
    out = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            if mask[y, x]:
                best = min(down[y, x] ** 2, (x + 1) ** 2, (w - x) ** 2)
                step = 1
                while step * step < best:
                    if x >= step:
                        best = min(best, down[y, x - step] ** 2 + step * step)
                    if x + step < w:
                        best = min(best, down[y, x + step] ** 2 + step * step)
                    step += 1
                out[y, x] = sqrt(best)
    return out


@njit(cache=True, nogil=True)
def hull_area(mask):
    """Count the pixels whose centre is in the hull of the midpoints of all pixel edges; exact."""
    y0, y1, x0, x1 = box_of(mask)
    if y1 == 0:
        return 0
    rows, far = 2 * (y1 - y0) + 1, 4 * mask.shape[1] + 4
    left, right = np.full(rows, far), np.full(rows, -far)
    for y in range(y0, y1):
        for x in range(x0, x1):
            if mask[y, x]:
                k = 2 * (y - y0) + 1
                left[k], right[k] = min(left[k], 2 * x - 1), max(right[k], 2 * x + 1)
                for j in (k - 1, k + 1):
                    left[j], right[j] = min(left[j], 2 * x), max(right[j], 2 * x)
    area = 0
    low, high = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for sign, out in ((1, low), (-1, high)):
        # the convex chain below (sign 1) or above (-1) of the ends of the rows: n points, their rows and values
        end, at, value, n = left if sign == 1 else right, np.empty(rows, np.int64), np.empty(rows, np.int64), 0
        for y in range(rows):
            v = sign * end[y]
            while n > 1 and (value[n - 1] - value[n - 2]) * (y - at[n - 1]) >= (v - value[n - 1]) * (
                at[n - 1] - at[n - 2]
            ):
                n -= 1
            at[n], value[n] = y, v
            n += 1
        for k in range(n - 1):
            length = at[k + 1] - at[k]
            for y in range(at[k], at[k + 1] + 1):
                doubled = value[k] * length + (y - at[k]) * (value[k + 1] - value[k])
                out[y] = sign * -((-doubled) // (2 * length))
    for k in range(1, rows, 2):
        area += max(0, high[k] - low[k] + 1)
    return area


@njit(cache=True, nogil=True)
def perimeter(mask):
    """Estimate the perimeter: border pixels count 1, sqrt(2) or half their sum, by their neighbours on the border."""
    h, w = mask.shape
    border = np.zeros((h + 2, w + 2), np.int64)
    for y in range(h):
        for x in range(w):
            if mask[y, x]:
                inner = 0 < y < h - 1 and 0 < x < w - 1
                full = inner and mask[y - 1, x] and mask[y + 1, x] and mask[y, x - 1] and mask[y, x + 1]
                border[y + 1, x + 1] = 0 if full else 1
    total = 0.0
    for y in range(1, h + 1):
        for x in range(1, w + 1):
            if border[y, x]:
                beside = border[y - 1, x] + border[y + 1, x] + border[y, x - 1] + border[y, x + 1]
                across = border[y - 1, x - 1] + border[y - 1, x + 1] + border[y + 1, x - 1] + border[y + 1, x + 1]
                code = 10 * across + 2 * beside
                if code in (4, 6, 14, 16, 24, 26):
                    total += 1.0
                elif code in (20, 32):
                    total += sqrt(2.0)
                elif code in (12, 22):
                    total += (1.0 + sqrt(2.0)) / 2.0
    return total


@njit(cache=True, nogil=True)
def _moments(mask):
    """Compute the number of pixels, the mean row and column, and their variances and covariance."""
    n, sy, sx, syy, sxx, sxy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                n, sy, sx = n + 1, sy + y, sx + x
                syy, sxx, sxy = syy + y * y, sxx + x * x, sxy + x * y
    if n == 0:
        return 0, 0.0, 0.0, 0.0, 0.0, 0.0
    y, x = sy / n, sx / n
    return n, y, x, syy / n - y * y, sxx / n - x * x, sxy / n - x * y


@njit(cache=True, nogil=True)
def shapes(masks, out):
    """Fill out (n, 14) with SHAPES of masks (n, h, w)."""
    for i in range(len(masks)):
        y0, y1, x0, x1 = box_of(masks[i])
        if y1 == 0:
            out[i] = 0
            continue
        mask = masks[i, y0:y1, x0:x1]
        n, _, _, yy, xx, xy = _moments(mask)
        spread = sqrt(max((yy - xx) ** 2 / 4 + xy * xy, 0.0))
        major, minor = (yy + xx) / 2 + spread, max((yy + xx) / 2 - spread, 0.0)
        turned = (pi / 4 if xy > 0 else -pi / 4) if yy == xx else 0.5 * atan2(2 * xy, yy - xx)
        hull, box, around = hull_area(mask), mask.size, perimeter(mask)
        depth = edge_distance(mask)
        out[i, 0], out[i, 1], out[i, 2] = n, box, hull
        out[i, 3], out[i, 4] = 4 * sqrt(major), 4 * sqrt(minor)
        out[i, 5] = sqrt(1 - minor / major) if major > 0 else 0.0
        out[i, 6], out[i, 7], out[i, 8] = sqrt(4 * n / pi), n / box, turned
        out[i, 9], out[i, 10] = around, n / hull
        out[i, 11] = 4 * pi * n / around**2 if around > 0 else 0.0
        out[i, 12], out[i, 13] = depth.max(), depth.sum() / n


@njit(cache=True, nogil=True)
def quantile(ordered, fraction):
    """Compute a quantile of ascending values, interpolated between two of them."""
    position = fraction * (len(ordered) - 1)
    k = min(int(position), len(ordered) - 1)
    after = min(k + 1, len(ordered) - 1)
    return ordered[k] + (position - k) * (ordered[after] - ordered[k])


@njit(cache=True, nogil=True)
def intensities(pixels, masks, out, limits):
    """Fill out (n, channels, 10) with INTENSITIES, and limits (n, channels, 2) with the quantiles 0.01 and 0.99."""
    for i in range(len(masks)):
        n, cy, cx, _, _, _ = _moments(masks[i])
        out[i], limits[i] = 0.0, 0.0
        values = np.empty(n)
        for c in range(pixels.shape[1] if n else 0):
            k, sy, sx = 0, 0.0, 0.0
            for y in range(masks.shape[1]):
                for x in range(masks.shape[2]):
                    if masks[i, y, x]:
                        v = pixels[i, c, y, x]
                        values[k] = v
                        k, sy, sx = k + 1, sy + v * (y - cy), sx + v * (x - cx)
            total = values.sum()
            out[i, c, 0], out[i, c, 1] = total / n, values.std()
            out[i, c, 9] = sqrt(sy * sy + sx * sx) / total if total > 0 else 0.0
            values.sort()
            for j, fraction in ((2, 0.0), (3, 0.05), (4, 0.25), (5, 0.5), (6, 0.75), (7, 0.95), (8, 1.0)):
                out[i, c, j] = quantile(values, fraction)
            limits[i, c, 0], limits[i, c, 1] = quantile(values, 0.01), quantile(values, 0.99)


@njit(cache=True, nogil=True)
def radial(pixels, masks, out):
    """Fill out (n, channels, rings, 3): fraction of the intensity, that over the fraction of pixels, and variation.

    The first ring is about the centroid, the last along the edge. Variation is the standard deviation of the means of
    eight wedges of a ring over the mean of these. A ring without pixels has fraction 0, density 1, variation 0.
    """
    rings = out.shape[2]
    sums, counts = np.empty((rings, WEDGES)), np.empty((rings, WEDGES))
    for i in range(len(masks)):
        out[i], out[i, :, :, 1] = 0.0, 1.0
        # each pixel, row by row, to a ring between the centroid and the edge, and to a wedge
        n, cy, cx, _, _, _ = _moments(masks[i])
        depth = edge_distance(masks[i])
        ring, wedge, k = np.empty(n, np.int64), np.empty(n, np.int64), 0
        for y in range(masks.shape[1]):
            for x in range(masks.shape[2]):
                if masks[i, y, x]:
                    inward = sqrt((y - cy) ** 2 + (x - cx) ** 2)
                    ring[k] = min(int(rings * inward / (inward + depth[y, x])), rings - 1)
                    wedge[k] = min(int((atan2(y - cy, x - cx) + pi) / (2 * pi) * WEDGES), WEDGES - 1)
                    k += 1
        for c in range(pixels.shape[1]):
            sums[:], counts[:], k = 0.0, 0.0, 0
            for y in range(masks.shape[1]):
                for x in range(masks.shape[2]):
                    if masks[i, y, x]:
                        sums[ring[k], wedge[k]] += pixels[i, c, y, x]
                        counts[ring[k], wedge[k]] += 1
                        k += 1
            total = sums.sum()
            for r in range(rings):
                here, size = sums[r].sum(), counts[r].sum()
                if size == 0 or total <= 0:
                    continue
                out[i, c, r, 0], out[i, c, r, 1] = here / total, here / total * k / size
                filled = counts[r] > 0
                means = sums[r][filled] / counts[r][filled]
                out[i, c, r, 2] = means.std() / means.mean() if means.mean() > 0 else 0.0


@njit(cache=True, nogil=True)
def correlations(pixels, masks, out):
    """Fill out (n, pairs) with Pearson's correlation of each pair of channels, (0, 1), (0, 2), ...; 0 of a constant."""
    channels = pixels.shape[1]
    for i in range(len(masks)):
        n = _moments(masks[i])[0]
        values, scale = np.zeros((channels, max(n, 1))), np.zeros(channels)
        for c in range(channels):
            k, total, largest = 0, 0.0, 0.0
            for y in range(masks.shape[1]):
                for x in range(masks.shape[2]):
                    if masks[i, y, x]:
                        v = pixels[i, c, y, x]
                        values[c, k] = v
                        k, total, largest = k + 1, total + v, max(largest, abs(v))
            for k in range(n):
                values[c, k] -= total / n
                scale[c] += values[c, k] ** 2
            scale[c] = sqrt(scale[c])
            if scale[c] <= 1e-12 * largest * sqrt(n):  # what rounding leaves of a constant
                scale[c] = 0.0
        k = 0
        for a in range(channels):
            for b in range(a + 1, channels):
                product = 0.0
                for j in range(n):
                    product += values[a, j] * values[b, j]
                both = scale[a] * scale[b]
                out[i, k] = min(max(product / both, -1.0), 1.0) if both > 0 else 0.0
                k += 1
