"""Points as frames of 8-bit pixels that share one palette: no figure is drawn, however many frames there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.animation.key_frames import Series
from kithkin.plot.animation.levels import MISSING

MARGIN = 0.04  # of the longer side of the points, on each side
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Window:
    """The part of the plane that the picture shows, at the same scale in both directions."""

    left: float  # coordinates of the upper left corner
    top: float
    scale: float  # pixels for each unit
    width: int  # pixels
    height: int

    @staticmethod
    def around(points: Series, width: int, height: int, dot: int) -> Window:
        """Find the window that holds the finite points of all frames as dots of some pixels, with a margin."""
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for k in range(points.n_frames or 1):
            here = points.at(k)
            for dim in (0, 1):
                values = here[:, dim]
                values = values[np.isfinite(values)]
                low[dim] = min(low[dim], values.min(initial=np.inf))
                high[dim] = max(high[dim], values.max(initial=-np.inf))
        check(bool(np.isfinite(low).all()), "coords must have at least one finite point")
        spread = (high - low) * (1 + 2 * MARGIN)
        room = np.array([width, height])
        with np.errstate(divide="ignore"):
            scale = float((np.maximum(room - dot, 1) / spread).min())
        scale = scale if np.isfinite(scale) else 1.0
        left, top = (low + high) / 2 - room / scale / 2 * [1, -1]
        return Window(float(left), float(top), scale, width, height)

    def pixels(self, points: Array) -> Array:
        """Return row * width + column of each point; width * height where it is outside or not finite."""
        with np.errstate(invalid="ignore"):
            column = (points[:, 0] - self.left) * self.scale
            row = (self.top - points[:, 1]) * self.scale
            inside = (column >= 0) & (column < self.width) & (row >= 0) & (row < self.height)
            out = row.astype(np.int64) * self.width + column.astype(np.int64)
        out[~inside] = self.width * self.height
        return out


def mean_image(pixel: Array, levels: Array, n_pixels: int) -> Array:
    """Colour each pixel by the mean level of its points; missing where none of them has one, else background."""
    known = levels != MISSING
    some = not known.all()
    at, level = (pixel[known], levels[known]) if some else (pixel, levels)
    counts = np.bincount(at, minlength=n_pixels + 1)[:n_pixels]
    sums = np.bincount(at, weights=level, minlength=n_pixels + 1)[:n_pixels]
    image = np.where(counts > 0, 1.5 + sums / np.maximum(counts, 1), 0).astype(np.uint8)
    if some:
        image[(np.bincount(pixel, minlength=n_pixels + 1)[:n_pixels] > 0) & (counts == 0)] = MISSING
    return image


def majority_image(pixel: Array, codes: Array, slots: Array, n_pixels: int) -> Array:
    """Colour each pixel by the group that most of its points belong to, the first of equal ones; -1 is no group."""
    known, span = codes >= 0, max(1, len(slots))
    image = np.zeros(n_pixels + 1, np.uint8)
    image[pixel[~known]] = MISSING
    pairs = np.sort(pixel[known] * span + codes[known])
    if len(pairs):
        first = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
        length = np.diff(first, append=len(pairs))
        where, code = np.divmod(pairs[first], span)
        start = np.flatnonzero(np.concatenate([[True], where[1:] != where[:-1]]))
        most = np.maximum.reduceat(length * span + (span - 1 - code), start)
        image[where[start]] = slots[span - 1 - most % span]
    return image[:n_pixels]


def grow(image: Array, dot: int) -> Array:
    """Spread filled pixels over the empty ones (0) around them, to dots of so many pixels; the nearest one wins."""
    middle = 0.0 if dot % 2 else 0.5
    reach = range(-((dot - 1) // 2), dot // 2 + 1)
    disc = [(y, x) for y in reach for x in reach if (y - middle) ** 2 + (x - middle) ** 2 <= (dot / 2) ** 2]
    out = image.copy()
    for y, x in sorted(disc, key=lambda at: (at[0] ** 2 + at[1] ** 2, at)):
        into = out[max(0, y) : len(out) + min(0, y), max(0, x) : out.shape[1] + min(0, x)]
        source = image[max(0, -y) : len(out) - max(0, y), max(0, -x) : out.shape[1] - max(0, x)]
        np.copyto(into, source, where=into == 0)
    return out


def usual_dot(n_points: int, width: int, height: int) -> int:
    """Choose the diameter of points in pixels: the fewer, the larger, from 1 to 7.

    Examples
    --------
    >>> usual_dot(2_000, 700, 700), usual_dot(100_000, 700, 700), usual_dot(1_000_000, 700, 700)
    (7, 2, 1)
    """
    return int(np.clip(round(np.sqrt(0.6 * width * height / n_points)), 1, 7))


@dataclass
class Renderer:
    """Draws key frames, and the pictures between them."""

    points: Series
    colors: Series  # values or groups
    levels: Callable[[Array], Array] | None  # from values to levels; None where colours are codes of groups
    slots: Array  # colour of each group, 1..224
    window: Window
    stage: Array  # the picture with all that never changes, height x width
    corner: tuple[int, int]  # row and column of the window in the picture
    dot: int  # diameter of the points in pixels
    between: int  # pictures between a key frame and the next
    write: Callable[[Array, int], None] | None = None  # writes the title of a key frame into a picture
    _key: Any = field(init=False, repr=False)
    _still: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        @lru_cache(maxsize=8)  # the pictures between two key frames need both
        def levels_of(k: int) -> Array:
            values = self.colors.at(k)
            if self.levels is not None:
                return self.levels(values)
            top = values.max(initial=-1)
            check(bool(top < len(self.slots)), f"color of frame {k} must be codes below {len(self.slots)}, got {top}")
            return values

        self._key = levels_of
        if not self.points.moves:
            # the pixels of the points, and 1 + the pixel from which each pixel has its colour
            shape = self.window.height, self.window.width
            pixel = self.window.pixels(self.points.at(0))
            filled = np.bincount(pixel, minlength=shape[0] * shape[1] + 1)[:-1] > 0
            numbers = np.where(filled, np.arange(1, len(filled) + 1), 0).astype(np.int32)
            self._still = pixel, grow(numbers.reshape(shape), self.dot)

    def __call__(self, number: int) -> Array:
        """Draw a picture, height x width, by its number in the film."""
        k, step = divmod(number, self.between + 1)
        fraction, (height, width) = step / (self.between + 1), (self.window.height, self.window.width)
        if self.points.moves:
            points = self.points.at(k)
            points = points if fraction == 0 else points + (self.points.at(k + 1) - points) * fraction
            pixel = self.window.pixels(points)
        else:
            pixel = self._still[0]
        levels: Array = self._key(k if self.colors.moves else 0)
        if fraction > 0 and self.colors.moves:
            following: Array = self._key(k + 1)
            if self.levels is None:  # points change their group one after the other, in an order that looks random
                turn = np.arange(1, len(levels) + 1) * GOLDEN % 1.0
                levels = np.where(turn < fraction, following, levels)
            else:
                both = (levels != MISSING) & (following != MISSING)
                mixed = np.rint(levels + (following.astype(np.float32) - levels) * np.float32(fraction))
                levels = np.where(both, mixed.astype(np.uint8), levels if fraction < 0.5 else following)
        if self.levels is None:
            flat = majority_image(pixel, levels, self.slots, height * width)
        else:
            flat = mean_image(pixel, levels, height * width)
        picture, (row, column) = self.stage.copy(), self.corner
        picture[row : row + height, column : column + width] = (
            grow(flat.reshape(height, width), self.dot)
            if self.points.moves
            else np.concatenate([[np.uint8(0)], flat])[self._still[1]]
        )
        if self.write is not None:
            self.write(picture, k)
        return picture
