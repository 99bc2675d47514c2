"""Thumbnails of cells as rows of a table: channels scaled, background masked."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import check
from kithkin.models.images.pixels import Images, PixelScale, rows_of

MULTIPLE = 8  # the sides that a convolutional network sees are multiples of it


class Pixels:
    """Scaled thumbnails as rows of a table, a column for each pixel of each channel.

    With a side, thumbnails are resized to it by averages, and what is outside the inscribed circle is masked. The mean
    is subtracted from each row, if there is one.
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
        """Return the rows of cells start to stop, float32."""
        out = np.empty((stop - start, self.shape[1]), np.float32)
        for first, last in even_ranges(stop - start, self._rows):
            values = self._scale.apply(*self._images.read(start + first, start + last))
            if self._side is not None:
                values = resize(values, self._side)
            out[first:last] = values.reshape(last - first, -1)
        if self._mean is not None:
            out -= self._mean
        return out


def resize(values: Array, side: int) -> Array:
    """Resize images to side x side by averages, 0 outside the circle; it commutes with quarter turns and mirroring."""
    height, width = values.shape[-2:]
    whole = max(height, width)
    top, left = (whole - height) // 2, (whole - width) // 2
    around = ((0, 0), (0, 0), (top, whole - height - top), (left, whole - width - left))
    square = values if height == width else np.pad(values, around)
    means = averages(whole, side)
    out: Array = np.matmul(np.matmul(means, square), means.T)
    offset = np.arange(side) - (side - 1) / 2
    out *= np.clip(side / 2 + 0.5 - np.hypot(offset[:, None], offset), 0, 1).astype(np.float32)
    return out


def averages(before: int, after: int) -> Array:
    """Return the matrix that resizes a row of values by averages of those that each new one overlaps."""
    edges = np.arange(after + 1) * before
    first, last = edges[:-1] // after, -(-edges[1:] // after)
    position = np.arange(before)
    inside = (position >= first[:, None]) & (position < last[:, None])
    weights: Array = inside / inside.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
