"""Thumbnails of cells with their masks, and the scaling of each channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, as_numbers, even_ranges
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.own_rows import RowValues, only_rows, with_ranges

BLOCK = 1 << 21  # values that are worked on at a time
FLAT, DEEP = 3, 4  # dimensions of thumbnails with one channel, and with several
CODES = 1 << 16  # bins for the quantiles: numbers that differ by a hundredth of their size are in different ones


class Images:
    """Thumbnails with their masks, as blocks of cells: arrays, or row blocks of them.

    Pixels are n x channels x rows x columns, or n x rows x columns; masks are n x rows x columns of bool, None where
    all pixels belong to the cell. Other shapes, and pixels that are not numbers, raise ParameterError.
    """

    is_sparse = False

    def __init__(self, pixels: Any, masks: Any = None) -> None:
        plain = isinstance(pixels, np.ndarray) or not hasattr(pixels, "shape")
        self._pixels: Any = as_numbers(pixels, "thumbnails") if plain else pixels
        self._masks: Any = masks if masks is None or hasattr(masks, "shape") else as_numbers(masks, "masks")
        shape = tuple(self._pixels.shape)
        sides = " x ".join(map(str, shape))
        check(len(shape) in (FLAT, DEEP), f"thumbnails must be cells x channels x rows x columns, got {sides}")
        self.dtype = self._pixels.dtype
        check(self.dtype.kind in "buif", f"thumbnails must hold numbers, got {self.dtype}")
        check(0 not in shape[1:], f"thumbnails must have a channel and a pixel at least, got {sides}")
        fits = masks is None or tuple(self._masks.shape) == (shape[0], *shape[-2:])
        check(fits, f"masks must be cells x rows x columns of the thumbnails, {sides}")
        self.shape: Any = shape if len(shape) == DEEP else (shape[0], 1, *shape[1:])
        rows = rows_of(shape)
        whole = pixels.ranges if hasattr(pixels, "ranges") else [(0, shape[0])]
        # blocks are measured by what is stored, which may be an eighth of what is computed with
        self.ranges = [(a + b, a + c) for a, stop in whole for b, c in even_ranges(stop - a, rows)]

    def only(self, start: int, stop: int) -> Images:
        """Return the same for cells start to stop alone."""
        other, tables = with_ranges(self, start, stop), (self._pixels, self._masks)
        arrays = (RowValues(one) if isinstance(one, np.ndarray) else one for one in tables)
        other._pixels, other._masks = (only_rows(one, start, stop) for one in arrays)
        return other

    def read(self, start: int, stop: int) -> Any:
        """Return the pixels of cells start to stop, rows x channels x height x width, and their masks or None."""
        pixels = read_cells(self._pixels, start, stop).reshape(stop - start, *self.shape[1:])
        return pixels, None if self._masks is None else read_cells(self._masks, start, stop).astype(np.bool_)


def rows_of(shape: tuple[int, ...]) -> int:
    """Return the number of thumbnails of a shape that are worked on at a time."""
    return max(1, BLOCK // int(np.prod(shape[1:])))


def read_cells(table: Any, start: int, stop: int) -> Array:
    """Read some cells of an array, or of row blocks of one."""
    return table.read(start, stop) if hasattr(table, "read") else np.asarray(table[start:stop])


@dataclass(frozen=True)
class PixelScale:
    """Scaling of each channel: (x - low) / deviation, with x clipped between low and high."""

    low: Array  # limits, one for each channel, float32
    high: Array
    deviation: Array  # 0 for a channel that is the same everywhere, which becomes 0

    @staticmethod
    def of(
        images: Images, clip: float | None = 0.999, scale: bool = True, execution: Execution | None = None
    ) -> PixelScale:
        """Measure the pixels of cells, in one pass for the limits and one for the deviation.

        Pixels of a channel are clipped at the quantile `clip`, to a hundredth of its size; the mirrored one below
        becomes 0. None: nothing is clipped, and 0 stays 0. Channels are divided by their standard deviation if `scale`.
        ParameterError is raised if no channel varies, values are not finite, or clip is not between 0.5 and 1.
        """
        check(clip is None or 0.5 < clip <= 1, f"clip must be above 0.5 and at most 1, got {clip!r}")
        channels = images.shape[1]
        limits = PixelScale(np.full(channels, -np.inf), np.full(channels, np.inf), np.ones(channels))
        if clip is not None:
            counts = np.zeros((channels, CODES), np.int64)
            for part in map_blocks(count_codes, images, execution, "pixels"):
                counts += part
            limits = PixelScale(*_limits(counts, clip), np.ones(channels, np.float32))
        sums = np.zeros((3, channels))
        for part in map_blocks(partial(sum_moments, scale=limits), images, execution, "pixels"):
            sums += part
        mean, power = sums[1:] / np.maximum(sums[0], 1)
        deviation = np.sqrt(np.maximum(power - mean**2, 0.0))
        deviation[deviation <= 1e-6 * np.sqrt(power)] = 0.0  # rounding must not make a constant channel loud
        check(bool((deviation > 0).any()), "the thumbnails are the same everywhere: there is nothing to embed")
        low = np.zeros(channels, np.float32) if clip is None else limits.low
        high = limits.high.astype(np.float32)
        return PixelScale(low, high, (deviation if scale else (deviation > 0) * 1.0).astype(np.float32))

    def apply(self, pixels: Array, masks: Array | None = None) -> Array:
        """Scale pixels, float32; 0 outside the masks. NaN and infinity within the masks raise ParameterError."""
        low = self.low[:, None, None]
        out = _as_finite(pixels, masks, low if np.isfinite(low).all() else 0.0)
        clipped = bool(np.isfinite(self.high).all())
        if clipped:
            np.clip(out, low, self.high[:, None, None], out=out)
            out -= low
        varies = self.deviation > 0
        out *= np.divide(1.0, self.deviation, out=np.zeros_like(self.deviation), where=varies)[:, None, None]
        return out


def _as_finite(pixels: Array, masks: Array | None, hidden: Any) -> Array:
    with np.errstate(over="ignore"):
        out: Array = pixels.astype(np.float32)
    if masks is not None:
        np.copyto(out, hidden, where=~masks[:, None])
    if pixels.dtype.kind == "f":
        check(bool(np.isfinite(out).all()), "thumbnails must be finite, but some hold NaN or infinity")
    return out


def _cell_pixels(block: tuple[Array, Array | None], channel: int) -> Array:
    """Return the pixels of a channel that belong to cells, float32."""
    pixels, masks = block
    chosen = pixels[:, channel] if masks is None else pixels[:, channel][masks]
    return _as_finite(np.ascontiguousarray(chosen).reshape(-1), None, 0.0)


def count_codes(block: tuple[Array, Array | None], _: int) -> Array:
    """Count the codes of each channel: the first half of the bits of values, recoded to ascend as they do."""
    counts = []
    for channel in range(block[0].shape[1]):
        bits = (_cell_pixels(block, channel) + np.float32(0)).view(np.uint32)  # -0 becomes 0
        turned = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
        counts.append(np.bincount((turned >> 16).astype(np.uint16), minlength=CODES))
    return np.stack(counts)


def _edges(codes: Array, last: bool) -> Array:
    """Return the smallest or largest value with each code, float32."""
    whole = (codes.astype(np.uint32) << 16) | np.uint32(0xFFFF if last else 0)
    bits = np.where(whole >> 31, whole & np.uint32(0x7FFFFFFF), ~whole)
    return bits.astype(np.uint32).view(np.float32)


def _limits(counts: Array, clip: float) -> tuple[Array, Array]:
    """Return the quantiles 1 - clip and clip of each channel; the extremes where the two are one."""
    below = np.cumsum(counts, axis=1)
    total = below[:, -1:]
    low = (below > np.floor((1 - clip) * total)).argmax(axis=1)
    high = (below >= np.ceil(clip * total)).argmax(axis=1)
    alone = low == high
    low[alone] = (counts[alone] > 0).argmax(axis=1)
    high[alone] = CODES - 1 - (counts[alone] > 0)[:, ::-1].argmax(axis=1)
    seen = total[:, 0] > 0
    limits = _edges(low, last=False), _edges(high, last=True)
    return np.where(seen, limits[0], 0).astype(np.float32), np.where(seen, limits[1], 0).astype(np.float32)


def sum_moments(block: tuple[Array, Array | None], _: int, scale: PixelScale) -> Array:
    """Return number, sum and sum of squares of the pixels of each channel."""
    channels = block[0].shape[1]
    out = np.zeros((3, channels))
    for c in range(channels):
        values = np.clip(_cell_pixels(block, c), scale.low[c], scale.high[c]).astype(np.float64)
        values -= scale.low[c] if np.isfinite(scale.low[c]) else 0.0
        out[:, c] = len(values), values.sum(), values @ values
    return out
