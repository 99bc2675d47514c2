"""Windows cut out of images field by field: each tile is decoded once, whatever the order of the cells.

A window within one field is cut, packed and written at once. One that lies across fields waits for its parts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_tasks
from kithkin.core.windows import window_starts
from kithkin.io.cutting.cells import Cells
from kithkin.io.cutting.fields import plan_fields
from kithkin.io.cutting.pending import Part, Pending
from kithkin.io.cutting.scaling import Scaling
from kithkin.io.images.image import Image
from kithkin.io.thumbnails.writer import Batch, ThumbnailWriter
from kithkin.kernels.crop import copy_window, overlap

FIELD_BYTES = 64 * 2**20  # pixels of a field: larger ones leave few to work on at a time, smaller ones cut more windows


@dataclass(frozen=True)
class Sheet:
    """One image, and the windows to cut from it."""

    image: Image
    mask: Image | None  # of the size of the image
    channels: list[int]  # to cut, in their order
    ids: Array  # label of each cell in the mask, int64
    y: Array  # first row of each window, int64
    x: Array  # first column of each window, int64
    first: int = 0  # index of the first of its cells in the array

    def about(self, cells: Cells, size: int) -> Sheet:
        """Return the same with a window of a size about each centroid."""
        return replace(self, y=window_starts(cells.y, size), x=window_starts(cells.x, size))


@dataclass(frozen=True)
class Look:
    """Look of thumbnails."""

    size: int  # side in pixels
    fill: float = 0  # value outside the image
    mask_cells: bool = False  # set pixels of other cells and of the background to 0
    scaling: Scaling | None = None


class Cutter:
    """Cuts the windows of all sheets.

    Thumbnails that the writer has already are not cut again. Raises ParameterError if a tile or a chunk does not fit
    the memory.
    """

    def __init__(self, sheets: Sequence[Sheet], look: Look, writer: ThumbnailWriter, execution: Execution) -> None:
        self._sheets, self._look, self._writer, self._execution = list(sheets), look, writer, execution
        layout, memory = writer.layout, execution.memory
        self._layout = layout
        held = 3 * layout.chunk_bytes  # the chunk, a copy of it while it is packed, and the packed bytes
        threads = max(1, min(execution.threads, (memory // 2) // max(held, 1)))
        shape = f"{layout.chunk} x {layout.n_channels} x {look.size} x {look.size}"
        check(held <= memory, f"memory must be at least {-(-held // 2**20):,} MiB for thumbnails of {shape} pixels")
        room = min(FIELD_BYTES, memory // (4 * threads)), memory // 2
        self._grids, largest = [], 0
        for sheet in self._sheets:
            pixel = sheet.image.dtype.itemsize + (0 if sheet.mask is None else sheet.mask.dtype.itemsize)
            self._grids.append(plan_fields(sheet.image, (len(sheet.channels), *sheet.image.shape[1:]), pixel, room))
            largest = max(largest, int(np.prod(self._grids[-1].field)) * pixel, sheet.image.piece_bytes)
        self._threads = max(1, min(threads, (memory // 2) // largest))
        self._flush = memory // (16 * self._threads)
        self._local = threading.local()

    def run(self) -> None:
        """Cut and write everything that is not written."""
        written, size = self._writer.written, self._look.size
        tasks: list[tuple[int, int, Array]] = []  # sheet, field, and the windows of the field
        self._counts = np.zeros(len(written), np.int64)  # parts of each chunk
        for number, (sheet, grid) in enumerate(zip(self._sheets, self._grids, strict=True)):
            window, place = grid.windows(sheet.y, sheet.x, size)
            chunk = (sheet.first + window) // self._layout.chunk
            left = ~written[chunk]
            window, place, chunk = window[left], place[left], chunk[left]
            self._counts += np.bincount(chunk, minlength=len(written))
            order = np.argsort(place, kind="stable")
            window, place = window[order], place[order]
            bounds = np.searchsorted(place, np.arange(int(np.prod(grid.counts)) + 1))
            spans = ((k, bounds[k], bounds[k + 1]) for k in grid.order())
            tasks += [(number, k, window[begin:end]) for k, begin, end in spans if begin < end]
        self._pending = Pending(self._counts, self._execution.memory // 4, self._writer.folder / "parts")
        execution = Execution(self._execution.memory, self._threads, self._execution.executor, self._execution.progress)
        try:
            for _ in map_tasks(partial(Cutter._cut_field, self), tasks, execution, "cutting"):
                pass
        finally:
            self._pending.close()

    def _cut_field(self, task: tuple[int, int, Array]) -> None:
        """Decode a field and cut its windows."""
        number, place, windows = task
        sheet, (channels, rows, columns) = self._sheets[number], self._grids[number].span(place)
        block = sheet.image.read(sheet.channels[slice(*channels)], rows, columns)
        labels = None if sheet.mask is None else sheet.mask.read([0], rows, columns)[0]
        scale = partial(scale_chunk, self._look, self._sheets, self._layout.chunk)
        batch = Batch(self._writer, self._flush, scale if self._look.scaling else None)
        for k in windows.tolist():
            chunk = (sheet.first + k) // self._layout.chunk
            if self._layout.chunk == 1 and self._counts[chunk] == 1:
                batch.add(chunk, *self._whole(sheet, k, block, labels, (rows[0], columns[0])))
                continue
            part = self._part(sheet, k, block, labels, (channels, rows, columns))
            parts = self._pending.add(chunk, part)
            if parts is not None:
                pixels, masks = self._empty(chunk)
                for one in parts:
                    one().put(pixels, masks)
                batch.add(chunk, pixels, masks)
        batch.flush()

    def _empty(self, chunk: int) -> tuple[Array, Array | None]:
        """Make a chunk without pixels."""
        layout, look = self._layout, self._look
        cells = min(layout.chunk, layout.n_cells - chunk * layout.chunk)
        dtype = self._sheets[0].image.dtype
        pixels = np.full((layout.n_channels, cells, look.size, look.size), 0 if look.mask_cells else look.fill, dtype)
        masks = np.zeros((cells, look.size, look.size), np.bool_) if self._sheets[0].mask is not None else None
        return pixels, masks

    def _whole(
        self, sheet: Sheet, k: int, block: Array, labels: Array | None, corner: tuple[int, int]
    ) -> tuple[Array, Array | None]:
        """Cut a chunk of one cell whose window lies in one field; the arrays are used again for the next."""
        start, size = (int(sheet.y[k]), int(sheet.x[k])), self._look.size
        _, height, width = sheet.image.shape
        if not hasattr(self._local, "empty"):
            self._local.empty = self._empty(0)
        pixels, masks = self._local.empty
        if min(start) < 0 or start[0] + size > height or start[1] + size > width:
            pixels[...] = 0 if self._look.mask_cells else self._look.fill
            if masks is not None:
                masks[...] = False
        copy_window(block, corner, start, pixels[:, 0])
        if labels is not None:
            y0, y1 = overlap(start[0], size, corner[0], labels.shape[0])
            x0, x1 = overlap(start[1], size, corner[1], labels.shape[1])
            inside = labels[y0 - corner[0] : y1 - corner[0], x0 - corner[1] : x1 - corner[1]] == sheet.ids[k]
            masks[0, y0 - start[0] : y1 - start[0], x0 - start[1] : x1 - start[1]] = inside
            if self._look.mask_cells:
                np.copyto(pixels[:, 0], False, where=~masks[0])
        return pixels, masks

    def _part(self, sheet: Sheet, k: int, block: Array, labels: Array | None, span: Sequence[tuple[int, int]]) -> Part:
        """Cut the part of a window that a field holds."""
        channels, rows, columns = span
        size = self._look.size
        y0, y1 = overlap(int(sheet.y[k]), size, rows[0], rows[1] - rows[0])
        x0, x1 = overlap(int(sheet.x[k]), size, columns[0], columns[1] - columns[0])
        here = slice(y0 - rows[0], y1 - rows[0]), slice(x0 - columns[0], x1 - columns[0])
        pixels = block[:, here[0], here[1]].copy()
        mask = None if labels is None else labels[here] == sheet.ids[k]
        if mask is not None and self._look.mask_cells:
            np.copyto(pixels, False, where=~mask)
        corner = y0 - int(sheet.y[k]), x0 - int(sheet.x[k])
        return Part((sheet.first + k) % self._layout.chunk, channels, corner, pixels, mask)


def scale_chunk(
    look: Look, sheets: Sequence[Sheet], cells: int, chunk: int, pixels: Array, masks: Array | None
) -> Array:
    """Scale the thumbnails of a chunk, each by what lies inside its image (and inside its mask, where others are 0)."""
    scaling = look.scaling
    if scaling is None:
        return pixels
    out = np.zeros(pixels.shape, np.float32)
    for place in range(pixels.shape[1]):
        number = next(s for s in range(len(sheets) - 1, -1, -1) if sheets[s].first <= chunk * cells + place)
        sheet = sheets[number]
        k = chunk * cells + place - sheet.first
        inside = np.zeros((look.size, look.size), np.bool_)
        y0, y1 = overlap(int(sheet.y[k]), look.size, 0, sheet.image.shape[1])
        x0, x1 = overlap(int(sheet.x[k]), look.size, 0, sheet.image.shape[2])
        inside[y0 - sheet.y[k] : y1 - sheet.y[k], x0 - sheet.x[k] : x1 - sheet.x[k]] = True
        if masks is not None and look.mask_cells:
            inside &= masks[place]
        out[:, place] = scaling.apply(number, pixels[:, place], inside)
    return out
