"""How an image is worked through: in fields of whole tiles that fit the memory, each decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError


@dataclass(frozen=True)
class FieldGrid:
    """A division of an image into fields of whole tiles, and of its channels where not all fit at a time.

    Attributes
    ----------
    shape
        Channels, rows, columns of what is cut.
    field
        Channels, rows, columns of a field.
    """

    shape: tuple[int, int, int]
    field: tuple[int, int, int]

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

        Parameters
        ----------
        y, x
            First row and column of each window; every window has a pixel in the image.
        size
            Of a window.

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
        """Fields such that what is left over between them is short: along the shorter side of the image."""
        numbers = np.arange(int(np.prod(self.counts))).reshape(self.counts)
        if self.shape[2] > self.shape[1]:
            numbers = numbers.transpose(0, 2, 1)
        return iter(numbers.ravel().tolist())


def plan_fields(
    name: str, shape: tuple[int, int, int], tile: tuple[int, int], pixel_bytes: int, memory: tuple[int, int]
) -> FieldGrid:
    """Choose fields.

    Parameters
    ----------
    name
        Of the image, for messages.
    shape
        Channels, rows, columns of what is cut.
    tile
        Rows and columns that are decoded as a whole.
    pixel_bytes
        Of one pixel of one channel, with its share of the mask.
    memory
        Bytes that a field should have, and may have at most.

    Raises
    ------
    ParameterError
        If a single tile does not fit.

    Examples
    --------
    >>> plan_fields("a.tif", (12, 8000, 8000), (1024, 1024), 2, (64 * 2**20, 2**30)).field
    (12, 1024, 2048)
    """
    tile = min(tile[0], shape[1]), min(tile[1], shape[2])
    one = tile[0] * tile[1] * pixel_bytes
    if one > memory[1]:
        raise ParameterError(
            f"{name} is stored in pieces of {tile[0]:,} x {tile[1]:,} pixels: "
            f"memory must be at least {2 * one // 2**20 + 1:,} MiB to decode one"
        )
    down, across = -(-shape[1] // tile[0]), -(-shape[2] // tile[1])
    fit = memory[0] // (one * shape[0])
    if fit < 1 and one * shape[0] <= memory[1]:
        fit = 1
    if fit < 1:
        return FieldGrid(shape, (max(1, min(shape[0], memory[0] // one)), tile[0], tile[1]))
    rows = min(down, max(1, isqrt(fit)))
    columns = min(across, fit // rows)
    rows = min(down, fit // columns)
    return FieldGrid(shape, (shape[0], rows * tile[0], columns * tile[1]))
