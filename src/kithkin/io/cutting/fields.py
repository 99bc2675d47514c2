"""Fields of whole tiles in which an image is worked through: each fits the memory and is decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError
from kithkin.io.images.image import Image


@dataclass(frozen=True)
class FieldGrid:
    """A division of an image into fields of whole tiles, and of its channels where not all fit at a time."""

    shape: tuple[int, int, int]  # channels, rows, columns of what is cut
    field: tuple[int, int, int]  # channels, rows, columns of a field

    @property
    def counts(self) -> tuple[int, int, int]:
        """Fields along each axis."""
        c, y, x = (-(-length // step) for length, step in zip(self.shape, self.field, strict=True))
        return c, y, x

    def span(self, number: int) -> list[tuple[int, int]]:
        """First and past-the-last channel, row and column of a field."""
        places = np.unravel_index(number, self.counts)
        steps = zip(places, self.field, self.shape, strict=True)
        return [(int(p) * step, min((int(p) + 1) * step, length)) for p, step, length in steps]

    def windows(self, y: Array, x: Array, size: int) -> tuple[Array, Array]:
        """Pairs of a window and a field that has a part of it.

        `y` and `x` are the first row and column of each window, which has a pixel in the image.

        Examples
        --------
        >>> grid = FieldGrid((2, 100, 100), (2, 50, 50))
        >>> [pairs.tolist() for pairs in grid.windows(np.array([0, 45]), np.array([60, 45]), 10)]
        [[0, 1, 1, 1, 1], [1, 0, 1, 2, 3]]
        """
        spans = []
        for start, step, length in ((y, self.field[1], self.shape[1]), (x, self.field[2], self.shape[2])):
            spans.append((np.maximum(start, 0) // step, (np.minimum(start + size, length) - 1) // step))
        (y0, y1), (x0, x1) = spans
        cells, places = [], []
        channels, _, across = self.counts
        for down in range(int((y1 - y0).max(initial=0)) + 1):
            for right in range(int((x1 - x0).max(initial=0)) + 1):
                here = np.flatnonzero((y0 + down <= y1) & (x0 + right <= x1))
                for channel in range(channels):
                    cells.append(here)
                    places.append((channel * self.counts[1] + y0[here] + down) * across + x0[here] + right)
        cell, place = np.concatenate(cells), np.concatenate(places)
        order = np.lexsort((place, cell))
        return cell[order], place[order]

    def order(self) -> Iterator[int]:
        """List fields along the shorter side of the image, so that few windows wait for the next field."""
        numbers = np.arange(int(np.prod(self.counts))).reshape(self.counts)
        if self.shape[2] > self.shape[1]:
            numbers = numbers.transpose(0, 2, 1)
        return iter(numbers.ravel().tolist())


def plan_fields(image: Image, shape: tuple[int, int, int], pixel_bytes: int, memory: tuple[int, int]) -> FieldGrid:
    """Choose fields.

    `shape` is channels, rows and columns of what is cut; `pixel_bytes` counts one pixel of one channel with its part of
    the mask; `memory` is the bytes that a field should have, and may have at most. Raises ParameterError if a single
    tile does not fit.
    """
    tile = min(image.tile[0], shape[1]), min(image.tile[1], shape[2])
    one = tile[0] * tile[1] * pixel_bytes
    least = max(one, image.piece_bytes)
    if least > memory[1]:
        channels = f" and {image.depth} channels" if image.depth > 1 else ""
        raise ParameterError(
            f"{image.name} is stored in pieces of {tile[0]:,} x {tile[1]:,} pixels{channels}: "
            f"memory must be at least {2 * least // 2**20 + 1:,} MiB to decode one"
        )
    down, across = -(-shape[1] // tile[0]), -(-shape[2] // tile[1])
    fit = memory[0] // (one * shape[0])
    if fit < 1 and one * shape[0] <= memory[1]:
        fit = 1
    if fit < 1:
        n_channels = max(1, min(shape[0], memory[0] // one))
        together = min(shape[0], image.depth)
        if image.depth > 1 and one * together <= memory[1]:  # else each piece is decoded for some of its channels again
            n_channels = max(together, n_channels // together * together)
        return FieldGrid(shape, (n_channels, tile[0], tile[1]))
    rows = min(down, max(1, isqrt(fit)))
    columns = min(across, fit // rows)
    rows = min(down, fit // columns)
    return FieldGrid(shape, (shape[0], rows * tile[0], columns * tile[1]))
