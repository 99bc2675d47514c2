"""Few numbers that sum up a picture: levels, rings around the middle, roughness, and a coarse grid of means.

Pixels are n x channels x h x w of any numbers, masks bool n x h x w. Only pixels within the mask count.
"""

from math import sqrt

import numpy as np
from numba import njit

LEVELS = ("mean", "deviation", "displacement", "texture", "coarse texture")
RINGS, COARSE = 4, 3  # rings from the middle to the edge; pixels between those that are compared for coarse texture


@njit(cache=True, nogil=True)
def sum_up(pixels, masks, side, out):
    """Fill out, n x channels x (5 + rings + side * side), with levels, means of rings, and of the cells of a grid.

    Displacement is the distance of the centre of the intensity above the least from the centre of the mask, over half
    the width. Texture is the mean absolute difference of neighbouring pixels. A ring or cell of the grid without pixels
    has the mean of the picture; a picture without pixels has zeros.
    """
    n, channels, h, w = pixels.shape
    half = max(h, w) / 2.0
    first = 5 + RINGS
    ring_of, cell_of = np.empty((h, w), np.int64), np.empty((h, w), np.int64)
    for y in range(h):
        for x in range(w):
            away = sqrt((y + 0.5 - h / 2.0) ** 2 + (x + 0.5 - w / 2.0) ** 2) / half
            ring_of[y, x] = min(RINGS - 1, int(away * RINGS))
            cell_of[y, x] = (y * side // h) * side + x * side // w
    rings, in_ring = np.empty(RINGS), np.empty(RINGS)
    cells, in_cell = np.empty(side * side), np.empty(side * side)
    for i in range(n):
        mask = masks[i]
        for c in range(channels):
            found = out[i, c]
            found[:] = 0.0
            rings[:], in_ring[:], cells[:], in_cell[:] = 0.0, 0.0, 0.0, 0.0
            count, total, low, down, across = 0, 0.0, np.inf, 0.0, 0.0
            for y in range(h):
                for x in range(w):
                    if mask[y, x]:
                        v = float(pixels[i, c, y, x])
                        count, total, low = count + 1, total + v, min(low, v)
                        down, across = down + y, across + x
                        rings[ring_of[y, x]] += v
                        in_ring[ring_of[y, x]] += 1.0
                        cells[cell_of[y, x]] += v
                        in_cell[cell_of[y, x]] += 1.0
            if count == 0:
                continue
            mean, down, across = total / count, down / count, across / count
            power, moved_down, moved_across, near, n_near, far, n_far = 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0
            for y in range(h):
                for x in range(w):
                    if mask[y, x]:
                        v = float(pixels[i, c, y, x])
                        power += (v - mean) ** 2
                        moved_down += (v - low) * (y - down)
                        moved_across += (v - low) * (x - across)
                        if x + 1 < w and mask[y, x + 1]:
                            near, n_near = near + abs(v - float(pixels[i, c, y, x + 1])), n_near + 1
                        if y + 1 < h and mask[y + 1, x]:
                            near, n_near = near + abs(v - float(pixels[i, c, y + 1, x])), n_near + 1
                        if x + COARSE < w and mask[y, x + COARSE]:
                            far, n_far = far + abs(v - float(pixels[i, c, y, x + COARSE])), n_far + 1
                        if y + COARSE < h and mask[y + COARSE, x]:
                            far, n_far = far + abs(v - float(pixels[i, c, y + COARSE, x])), n_far + 1
            above = total - count * low
            found[0], found[1] = mean, sqrt(power / count)
            if above > 1e-12 * abs(total):
                found[2] = sqrt(moved_down**2 + moved_across**2) / above / half
            found[3] = near / n_near if n_near else 0.0
            found[4] = far / n_far if n_far else 0.0
            for k in range(RINGS):
                found[5 + k] = rings[k] / in_ring[k] if in_ring[k] else mean
            for k in range(side * side):
                found[first + k] = cells[k] / in_cell[k] if in_cell[k] else mean


@njit(cache=True, nogil=True)
def outlines(masks, out):
    """Fill out, n x 3, with area in pixels, eccentricity of the ellipse of the same moments, and share of the box."""
    n, h, w = masks.shape
    for i in range(n):
        count, sy, sx, yy, xx, xy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        top, bottom, left, right = h, -1, w, -1
        for y in range(h):
            for x in range(w):
                if masks[i, y, x]:
                    count, sy, sx = count + 1, sy + y, sx + x
                    yy, xx, xy = yy + y * y, xx + x * x, xy + x * y
                    top, bottom, left, right = min(top, y), max(bottom, y), min(left, x), max(right, x)
        out[i, :] = 0.0
        if count:
            a, b = yy / count - (sy / count) ** 2, xx / count - (sx / count) ** 2
            c = xy / count - sy * sx / count**2
            root = sqrt((a - b) ** 2 + 4 * c * c)
            large = (a + b + root) / 2
            out[i, 0] = count
            out[i, 1] = sqrt(min(1.0, root / large)) if large > 1e-12 else 0.0
            out[i, 2] = count / ((bottom - top + 1) * (right - left + 1))
