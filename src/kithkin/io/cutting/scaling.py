"""Pixels scaled to 0..1 between two quantiles: of each cell, or of the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution, map_tasks
from kithkin.io.images.image import Image

QUANTILES = 0.001, 0.999
BINS = 1 << 16


@dataclass(frozen=True)
class Scaling:
    """Scaling of the pixels of thumbnails."""

    # values that become 0 and 1 in each image, channels x 2; None: the quantiles of each cell
    limits: Sequence[Array] | None = None

    def apply(self, image: int, pixels: Array, inside: Array) -> Array:
        """Scale the channels of one thumbnail, float32; what is not inside becomes 0."""
        if self.limits is not None:
            low, high = self.limits[image].T.astype(np.float64)
        elif inside.any():
            low, high = np.quantile(pixels[:, inside], QUANTILES, axis=1)
        else:
            low = high = np.zeros(len(pixels))
        width = np.where(high > low, high - low, 1.0)
        scaled = (pixels - low[:, None, None]) / width[:, None, None]
        out: Array = (np.clip(scaled, 0, 1) * inside).astype(np.float32)
        return out


def image_limits(
    image: Image,
    channels: Sequence[int],
    pieces: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    execution: Execution,
) -> Array:
    """Quantiles of whole channels: exact for integers of up to 16 bits, else to 1/65,536 of the range.

    The image is decoded once for integers of up to 16 bits, else twice. `pieces` are rows and columns of pieces that
    together are the image. Returns channels x 2.
    """
    low, width = np.zeros(len(channels)), np.ones(len(channels))
    if image.dtype.itemsize > 2 or image.dtype.kind == "f":

        def span(piece: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Array, Array]:
            block = image.read(channels, *piece)
            return np.nanmin(block, axis=(1, 2)).astype(float), np.nanmax(block, axis=(1, 2)).astype(float)

        spans = list(map_tasks(span, pieces, execution, "finding the range"))
        low = np.min([lowest for lowest, _ in spans], axis=0)
        width = (np.max([highest for _, highest in spans], axis=0) - low) / (BINS - 1)
        width[width == 0] = 1
    elif image.dtype.kind == "i":
        low = np.full(len(channels), float(np.iinfo(image.dtype).min))
    counts = np.zeros((len(channels), BINS), np.int64)

    def histogram(piece: tuple[tuple[int, int], tuple[int, int]]) -> Array:
        counts = np.zeros((len(channels), BINS), np.int64)
        for channel, plane in enumerate(image.read(channels, *piece)):
            bins = ((plane - low[channel]) / width[channel]).astype(np.int64)
            counts[channel] = np.bincount(bins.ravel(), minlength=BINS)
        return counts

    for part in map_tasks(histogram, pieces, execution, "histogram"):
        counts += part
    below = np.cumsum(counts, axis=1)
    total = below[:, -1:]
    bins = np.stack([(below <= q * total).sum(axis=1) for q in QUANTILES], axis=1)
    limits: Array = low[:, None] + np.minimum(bins, BINS - 1) * width[:, None]
    return limits
