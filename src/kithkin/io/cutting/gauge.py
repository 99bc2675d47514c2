"""An image that is measured while it is decoded for something else: no tile is decoded twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from kithkin.core.blocks import Array
from kithkin.io.cutting.gauge_log import Notebook
from kithkin.io.images.image import Image, ImageOver
from kithkin.kernels.crop import label_runs
from kithkin.kernels.regions import sum_runs

PREVIEW = 512  # pixels along the longer side of the small picture
COLOURS = 3
SHOWN = (0.01, 0.998)  # quantiles that become black and full colour


class Remembered(ImageOver):
    """An image whose last piece is kept, for each thread, in case it is asked for again."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self._local = threading.local()

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece, or return the last one again."""
        wanted = (tuple(channels), rows, columns)
        if getattr(self._local, "key", None) != wanted:
            self._local.piece, self._local.key = None, None  # before the next takes its room
            self._local.piece, self._local.key = self._image.read(channels, rows, columns), wanted
        piece: Array = self._local.piece
        return piece


class Gauge(ImageOver):
    """An image that adds up the intensities of cells as its pieces are read, and keeps every so many pixels.

    Each piece is read of the image and of its mask. `ids` are the labels of the cells, int64; `boxes` first and
    past-the-last row, first and past-the-last column, and pixels of each cell: cells x 5, int64. Each piece is noted in
    `notes` before it is given away, so that a run that was killed need not read it again: the pieces noted there
    already count as measured.

    Examples
    --------
    >>> from kithkin.io.images.open import open_image
    >>> pixels, labels = np.arange(12.0).reshape(1, 3, 4), np.array([[7, 7, 0, 0], [7, 0, 0, 2], [0, 0, 0, 2]])
    >>> boxes = np.array([[0, 2, 0, 2, 3], [1, 3, 3, 4, 2]])
    >>> gauge = Gauge(open_image(pixels), open_image(labels), np.array([7, 2]), [0], boxes)
    >>> _ = gauge.read([0], (0, 2), (0, 4))
    >>> gauge.means().round(2).tolist()
    [[1.67], [9.0]]
    """

    def __init__(
        self,
        image: Image,
        mask: Image,
        ids: Array,
        channels: Sequence[int],
        boxes: Array,
        notes: Notebook | None = None,
    ) -> None:
        super().__init__(image)
        self._mask, self._ids, self._boxes = mask, ids, boxes
        self._column = {channel: k for k, channel in enumerate(channels)}
        self._order = np.argsort(ids)
        self._sorted = ids[self._order]
        self._sums = np.zeros((len(ids), len(channels)))
        self._seen = np.zeros((len(ids), len(channels)), np.int64)
        self._parts: list[tuple[tuple[int, int, int], Array, Array, Array]] = []
        self._lock = threading.Lock()
        self.step = -(-max(image.shape[1:]) // PREVIEW)
        height, width = (-(-length // self.step) for length in image.shape[1:])
        self._small = np.zeros((min(COLOURS, len(channels)), height, width), image.dtype)
        self._notes, self._known = notes, set[tuple[int, int, int]]()
        for entry in () if notes is None else notes.read():
            self._add(*entry)

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece, and measure it."""
        block = self._image.read(channels, rows, columns)
        corner = np.array([self._column[channels[0]], rows[0], columns[0]])
        if tuple(corner.tolist()) in self._known:  # measured by a run before, that did not get to write what it cut
            return block
        taken = np.array([self._column[channel] for channel in channels], np.int64)
        y, x = (-first % self.step for first in (rows[0], columns[0]))
        small = np.ascontiguousarray(block[taken < len(self._small), y :: self.step, x :: self.step])
        label, row, begin, end = label_runs(self._mask.read([0], rows, columns)[0])
        index = np.minimum(np.searchsorted(self._sorted, label), len(self._sorted) - 1)
        known = self._sorted[index] == label
        cells, local = np.unique(self._order[index[known]], return_inverse=True)
        sums = np.zeros((len(cells), len(block)))
        summable = block.astype(np.float32) if block.dtype == np.float16 else block  # compiled code knows no halves
        sum_runs(summable, local.astype(np.int64), row[known], begin[known], end[known], sums)
        pixels = np.bincount(local, (end - begin)[known], len(cells)).astype(np.int64)
        entry = (corner, taken, small, cells, pixels, sums)
        with self._lock:
            if self._notes is not None:
                self._notes.write(entry)
            self._add(*entry)
        return block

    def _add(self, corner: Array, columns: Array, small: Array, cells: Array, pixels: Array, sums: Array) -> None:
        """Count a piece: the cells that are whole in it at once, the others by the order of the pieces in the end."""
        channel, row, column = corner.tolist()
        self._known.add((channel, row, column))
        shown = columns[columns < len(self._small)]
        top, left = -(-row // self.step), -(-column // self.step)
        self._small[shown, top : top + small.shape[1], left : left + small.shape[2]] = small
        whole = pixels == self._boxes[cells, 4]
        self._seen[np.ix_(cells, columns)] += pixels[:, None]
        self._sums[np.ix_(cells[whole], columns)] = sums[whole]
        if not whole.all():
            self._parts.append(((channel, row, column), cells[~whole], columns, sums[~whole]))

    def means(self) -> Array:
        """Compute the mean of each cell and channel, float64; pixels of cells not decoded yet are decoded now."""
        for _, cells, columns, sums in sorted(self._parts, key=lambda part: part[0]):
            self._sums[np.ix_(cells, columns)] += sums
        self._parts = []
        for k in np.flatnonzero((self._seen < self._boxes[:, 4:]).any(axis=1)):
            top, bottom, left, right, _ = self._boxes[k].tolist()
            inside = self._mask.read([0], (top, bottom), (left, right))[0] == self._ids[k]
            block = self._image.read(list(self._column), (top, bottom), (left, right))
            self._sums[k] = block[:, inside].sum(axis=1, dtype=np.float64)
            self._seen[k] = self._boxes[k, 4]
        means: Array = self._sums / self._boxes[:, 4:]
        return means

    def preview(self) -> Array:
        """Draw a small picture of the first channels in blue, green and red: rows x columns x 3, uint8."""
        out = np.zeros((*self._small.shape[1:], COLOURS), np.uint8)
        for k, small in enumerate(self._small):
            values = small.astype(np.float64)
            known = np.isfinite(values)
            if known.any():  # pixels that are not numbers are black
                low, high = np.quantile(values[known], SHOWN)
                scaled = (np.where(known, values, low) - low) / max(high - low, 1e-300)
                out[..., COLOURS - 1 - k] = np.round(255 * np.clip(scaled, 0, 1))
        return out
