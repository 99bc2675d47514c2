"""Many points as one image: pixels take the colour of their points, and are opaque where points are dense."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array

# Ours, not datashader, whose import takes 3.5 s and 150 MB, and which has no majority of groups in a pixel


def pixels(points: Array, low: Array, high: Array, n_pixels: int) -> Array:
    """Find the pixel that each point falls into, on a square grid with the origin below left and `n_pixels` per side.

    row * n_pixels + column; -1 for a point outside of the corners or without finite coordinates.
    """
    scale = n_pixels / (high - low)
    out = np.zeros(len(points), dtype=np.int64)
    inside = np.ones(len(points), dtype=bool)
    for dim, step in ((0, 1), (1, n_pixels)):
        offset = (points[:, dim] - low[dim]) * scale[dim]
        inside &= (offset >= 0) & (offset <= n_pixels)
        out += step * np.minimum(np.where(inside, offset, 0).astype(np.int64), n_pixels - 1)
    return np.where(inside, out, -1)


def density_alpha(counts: Array, least: float = 0.55) -> Array:
    """Compute opacity from the logarithm of the number of points: 0 for none, 1 from the 80th percentile on."""
    filled = counts[counts > 0]
    if len(filled) == 0:
        return np.zeros(len(counts))
    top = max(np.log(np.quantile(filled, 0.8)), 1e-9)
    fraction = np.clip(np.log(np.maximum(counts, 1)) / top, 0, 1)
    if filled.max() == 1:
        fraction = np.ones(len(counts))
    out: Array = np.where(counts > 0, least + (1 - least) * fraction, 0.0)
    return out


def majority(pixel: Array, codes: Array, n_groups: int) -> tuple[Array, Array]:
    """Find the filled pixels, ascending, and the group that most points of each belong to; the first of equal ones."""
    pairs, counts = np.unique(pixel * n_groups + codes, return_counts=True)
    where, group = np.divmod(pairs, n_groups)
    order = np.lexsort((group, -counts, where))
    filled, first = np.unique(where[order], return_index=True)
    return filled, group[order][first]


def image_of_groups(pixel: Array, codes: Array, colors: Array, n_pixels: int) -> Array:
    """Draw groups, n_pixels x n_pixels x 4: the majority's colour in each pixel.

    Points without a group, of code -1 and the last colour, show only where there is nothing else. Pixel -1 is outside.
    """
    image = np.zeros((n_pixels * n_pixels, 4))
    inside = pixel >= 0
    missing, known = inside & (codes < 0), inside & (codes >= 0)
    image[pixel[missing]] = colors[-1]
    filled, group = majority(pixel[known], codes[known], len(colors) - 1)
    image[filled] = colors[group]
    image[:, 3] *= density_alpha(np.bincount(pixel[inside], minlength=n_pixels * n_pixels))
    return image.reshape(n_pixels, n_pixels, 4)


def image_of_values(pixel: Array, values: Array, n_pixels: int) -> tuple[Array, Array]:
    """Compute the mean value, NaN where no point has one, and the opacity of each pixel, n_pixels x n_pixels."""
    counts, known, sums = tally(pixel, values, n_pixels * n_pixels)
    mean = np.where(known > 0, sums / np.maximum(known, 1), np.nan)
    return mean.reshape(n_pixels, n_pixels), density_alpha(counts).reshape(n_pixels, n_pixels)


def tally(pixel: Array, values: Array, size: int) -> tuple[Array, Array, Array]:
    """Count the points in each pixel, and those that have a value, and sum the values."""
    inside = pixel >= 0
    known = inside & np.isfinite(values)
    sums = np.bincount(pixel[known], weights=values[known], minlength=size)
    return np.bincount(pixel[inside], minlength=size), np.bincount(pixel[known], minlength=size), sums
