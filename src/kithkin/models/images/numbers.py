"""Few numbers for each thumbnail, as row blocks: levels, rings, texture, a coarse grid, and agreement of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import check
from kithkin.kernels.pictures import LEVELS, RINGS, outlines, sum_up
from kithkin.models.images.pixels import Images, rows_of

GRID = 384  # means of a coarse grid of all channels, at most
MOST_SIDE = 16
MOST_PAIRS = 12  # channels up to which each pair of them is correlated
MASKED = ("area", "eccentricity", "share of box")


class PictureNumbers:
    """Thumbnails as rows of a table of a few hundred numbers, float32, computed as they are read.

    Of each channel, within the mask: mean, standard deviation, displacement of the centre, texture at one and at three
    pixels, means of four rings around the middle of the window, means of a coarse grid of it. Of each pair of up to
    twelve channels Pearson's correlation. With masks also area, eccentricity, and share of the box that holds the mask.

    Parameters
    ----------
    pixels
        n x channels x rows x columns: an array, or row blocks of one.
    masks
        n x rows x columns of bool, likewise; None: all pixels belong to the cell.

    Examples
    --------
    >>> table = PictureNumbers(np.random.default_rng(0).random((5, 2, 9, 9)))
    >>> table.shape, table.names(["DNA", "CD3"])[-1], table.read(1, 3).shape
    ((5, 181), 'DNA with CD3', (2, 181))
    """

    is_sparse = False

    def __init__(self, pixels: Any, masks: Any = None) -> None:
        self._images, self._masked = Images(pixels, masks), masks is not None
        n, channels, height, width = self._images.shape
        self.side = max(1, min(MOST_SIDE, int((GRID / channels) ** 0.5), height, width))
        self._each = len(LEVELS) + RINGS + self.side**2
        self._pairs = np.triu_indices(channels if channels <= MOST_PAIRS else 1, 1)
        self.channels = channels
        p = channels * self._each + len(self._pairs[0]) + len(MASKED) * self._masked
        self.shape, self.dtype = (n, p), np.dtype(np.float32)
        self.ranges = self._images.ranges
        self._rows = rows_of(self._images.shape)

    def names(self, channels: Sequence[str]) -> list[str]:
        """Return the names of the numbers, for channels of these names."""
        places = [
            f"at {y + 1}, {x + 1} of {self.side} x {self.side}" for y in range(self.side) for x in range(self.side)
        ]
        each = [*LEVELS, *(f"ring {k + 1}" for k in range(RINGS)), *places]
        names = [f"{channel} {one}" for channel in channels for one in each]
        names += [f"{channels[a]} with {channels[b]}" for a, b in np.transpose(self._pairs).tolist()]
        return names + list(MASKED) * self._masked

    def read(self, start: int, stop: int) -> Array:
        """Return the numbers of cells start to stop, float32.

        Raises
        ------
        ParameterError
            If a pixel within a mask is not finite.
        """
        out = np.empty((stop - start, self.shape[1]), np.float32)
        for first, last in even_ranges(stop - start, self._rows):
            out[first:last] = self.measure(*self._images.read(start + first, start + last))
        return out

    def measure(self, pixels: Array, masks: Array | None) -> Array:
        """Measure a few thumbnails, n x channels x rows x columns, within their masks, n x rows x columns or None."""
        n, channels, height, width = pixels.shape
        inside = np.ones((n, height, width), np.bool_) if masks is None else np.ascontiguousarray(masks)
        pixels = np.ascontiguousarray(pixels)
        pixels = pixels.astype(np.float32) if pixels.dtype.kind == "b" or pixels.dtype.itemsize < 2 else pixels
        if pixels.dtype.kind == "f":
            known = np.isfinite(pixels) | ~inside[:, None]
            check(bool(known.all()), "thumbnails must be finite, but some hold NaN or infinity")
        each = np.empty((n, channels, self._each))
        sum_up(pixels, inside, self.side, each)
        parts = [each.reshape(n, -1)]
        if len(self._pairs[0]):
            values = pixels.astype(np.float32)
            values -= each[:, :, 0, None, None].astype(np.float32)
            if masks is not None:
                np.copyto(values, 0, where=~inside[:, None])
            flat = values.reshape(n, channels, -1)
            products = np.matmul(flat, flat.transpose(0, 2, 1)).astype(np.float64)
            power = np.sqrt(np.einsum("icc->ic", products))
            both = (power[:, :, None] * power[:, None, :])[:, *self._pairs]
            some = products[:, *self._pairs]
            parts.append(np.divide(some, both, out=np.zeros_like(some), where=both > 0))
        if masks is not None:
            parts.append(np.empty((n, len(MASKED))))
            outlines(inside, parts[-1])
        return np.concatenate(parts, axis=1, dtype=np.float32)
