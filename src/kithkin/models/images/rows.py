"""Thumbnails of cells as rows of a table: channels in their own range, what is not the cell hidden."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import check
from kithkin.models.images.pixels import Images, PixelScale, rows_of


class Pixels:
    """Scaled thumbnails as rows of a table, a column for each pixel of each channel.

    Parameters
    ----------
    images
        The thumbnails.
    scale
        Of their channels.
    side
        Bring each to so many rows and columns by averages, and hide what is outside the circle that they hold; None:
        as they are.
    mean
        Row that is subtracted; None: none.

    Examples
    --------
    >>> images = Images(np.arange(18.0).reshape(2, 3, 3))
    >>> view = Pixels(images, PixelScale.of(images, clip=None, scale=False))
    >>> view.shape, view.read(1, 2)[0, :3].tolist()
    ((2, 9), [9.0, 10.0, 11.0])
    """

    is_sparse = False

    def __init__(self, images: Images, scale: PixelScale, side: int | None = None, mean: Array | None = None) -> None:
        check(
            len(scale.low) == images.shape[1],
            f"thumbnails must have {len(scale.low)} channels as in fit, got {images.shape[1]}",
        )
        self._images, self._scale, self._side, self._mean = images, scale, side, mean
        self.image = images.shape[1:] if side is None else (images.shape[1], side, side)
        self.shape = (images.shape[0], int(np.prod(self.image)))
        self.dtype, self.ranges = np.dtype(np.float32), images.ranges
        self._rows = rows_of(images.shape)

    def read(self, start: int, stop: int) -> Array:
        """Rows of cells start to stop, float32."""
        out = np.empty((stop - start, self.shape[1]), np.float32)
        for first, last in even_ranges(stop - start, self._rows):
            values = self._scale.apply(*self._images.read(start + first, start + last))
            if self._side is not None:
                values = squared(values, self._side)
            out[first:last] = values.reshape(last - first, -1)
        if self._mean is not None:
            out -= self._mean
        return out


def squared(values: Array, side: int) -> Array:
    """Images brought to side x side by averages, 0 outside the circle; turning by 90 degrees or mirroring commutes.

    Examples
    --------
    >>> squared(np.ones((1, 1, 6, 4)), 2).round(2)[0, 0].tolist()
    [[0.53, 0.53], [0.53, 0.53]]
    """
    height, width = values.shape[-2:]
    whole = max(height, width)
    top, left = (whole - height) // 2, (whole - width) // 2
    around = ((0, 0), (0, 0), (top, whole - height - top), (left, whole - width - left))
    square = values if height == width else np.pad(values, around)
    means = averages(whole, side)
    out: Array = np.matmul(np.matmul(means, square), means.T)
    place = np.arange(side) - (side - 1) / 2
    out *= np.clip(side / 2 + 0.5 - np.hypot(place[:, None], place), 0, 1).astype(np.float32)
    return out


def averages(before: int, after: int) -> Array:
    """The matrix that brings so many values to so many by averages of those that each overlaps.

    Examples
    --------
    >>> averages(4, 2).tolist()
    [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    edges = np.arange(after + 1) * before
    first, last = edges[:-1] // after, -(-edges[1:] // after)
    place = np.arange(before)
    inside = (place >= first[:, None]) & (place < last[:, None])
    weights: Array = inside / inside.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
