"""Many points as one image: pixels take the colour of their points, and are opaque where points are dense."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array

# Ours, not datashader, whose import takes 3.5 s and 150 MB, and which has no majority of groups in a pixel


def pixels(points: Array, low: Array, high: Array, n_pixels: int) -> Array:
    """Find the pixel that each point falls into, on a square grid with the origin below left.

    Parameters
    ----------
    points
        n x 2.
    low, high
        Corners of the grid.
    n_pixels
        Pixels per side.

    Returns
    -------
    n numbers row * n_pixels + column; -1 for a point outside or without finite coordinates.

    Examples
    --------
    >>> pixels(np.array([[0.1, 0.9], [2.0, 0.0]]), np.zeros(2), np.ones(2), 10).tolist()
    [91, -1]
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
    """Compute opacity from the logarithm of the number of points: 0 for none, 1 from the 80th percentile on.

    Examples
    --------
    >>> density_alpha(np.array([0, 1, 100, 100])).tolist()
    [0.0, 0.55, 1.0, 1.0]
    """
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
    """Find the group that most points of each pixel belong to; the first of equally frequent ones.

    Parameters
    ----------
    pixel, codes
        Pixel and group of each point, both 0 or more.
    n_groups
        Number of groups.

    Returns
    -------
    The filled pixels, ascending, and the group of each.

    Examples
    --------
    >>> majority(np.array([7, 7, 7, 2]), np.array([1, 0, 1, 0]), 2)
    (array([2, 7]), array([0, 1]))
    """
    pairs, counts = np.unique(pixel * n_groups + codes, return_counts=True)
    where, group = np.divmod(pairs, n_groups)
    order = np.lexsort((group, -counts, where))
    filled, first = np.unique(where[order], return_index=True)
    return filled, group[order][first]


def image_of_groups(pixel: Array, codes: Array, colors: Array, n_pixels: int) -> Array:
    """Draw groups: the majority's colour in each pixel; points without a group only where there is nothing else.

    Parameters
    ----------
    pixel
        Pixel of each point, -1 outside.
    codes
        Group of each point, -1 for none.
    colors
        RGBA per group, followed by that of points without a group.
    n_pixels
        Pixels per side.

    Returns
    -------
    n_pixels x n_pixels x 4.

    Examples
    --------
    >>> red_and_grey = np.array([[1.0, 0.0, 0.0, 1.0], [0.8, 0.8, 0.8, 1.0]])
    >>> image = image_of_groups(np.array([3, 3, 3]), np.array([0, 0, -1]), red_and_grey, 2)
    >>> image[1, 1].tolist()
    [1.0, 0.0, 0.0, 1.0]
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
    """Compute the mean value and the opacity of each pixel.

    Parameters
    ----------
    pixel
        Pixel of each point, -1 outside.
    values
        Value of each point, NaN for none.
    n_pixels
        Pixels per side.

    Returns
    -------
    Two n_pixels x n_pixels arrays; the mean is NaN where no point has a value.

    Examples
    --------
    >>> mean, alpha = image_of_values(np.array([0, 0, 3]), np.array([1.0, 3.0, np.nan]), 2)
    >>> mean.tolist()
    [[2.0, nan], [nan, nan]]
    """
    size = n_pixels * n_pixels
    inside = pixel >= 0
    known = inside & np.isfinite(values)
    counts = np.bincount(pixel[known], minlength=size)
    sums = np.bincount(pixel[known], weights=values[known], minlength=size)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    alpha = density_alpha(np.bincount(pixel[inside], minlength=size))
    return mean.reshape(n_pixels, n_pixels), alpha.reshape(n_pixels, n_pixels)
