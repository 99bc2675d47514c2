"""What is cut, opened and held against each other: an image, its mask and the table of its cells."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, ParameterError, check
from kithkin.core.execute import Execution, map_tasks
from kithkin.io.cutting.cells import Cells, counted, listed, read_cells
from kithkin.io.cutting.fields import plan_fields
from kithkin.io.cutting.row_file import RowFile
from kithkin.io.images.image import Image
from kithkin.io.images.open import open_image
from kithkin.kernels.crop import measure_labels, merge_measures

log = logging.getLogger("kithkin")
PIECE_BYTES = 16 * 2**20  # of a mask, measured at a time


def parts_of(image: Any, mask: Any, cells: Any) -> dict[str, tuple[Any, Any, Any]]:
    """Tell inputs of one image, under an empty name, from a mapping of names to the inputs of several.

    Examples
    --------
    >>> parts_of("a.tif", "mask.tif", None), parts_of({"left": ("a.tif", "mask.tif", None)}, None, None)
    ({'': ('a.tif', 'mask.tif', None)}, {'left': ('a.tif', 'mask.tif', None)})
    """
    if not isinstance(image, Mapping):
        return {"": (image, mask, cells)}
    check(mask is None is cells, "mask and cells must be given in the mapping, with the image that they belong to")
    check(len(image) > 0, "the mapping must name at least one image")
    for name, parts in image.items():
        three = isinstance(parts, (list, tuple)) and len(parts) == len(("image", "mask", "cells"))
        check(three, f"{name} must be given as (image, mask, cells), with None for what there is not")
    return {str(name): (parts[0], parts[1], parts[2]) for name, parts in image.items()}


@dataclass(frozen=True)
class Sample:
    """An image with its cells.

    Attributes
    ----------
    name
        In the table of several images.
    image, mask
        Opened; without a mask None.
    cells
        Ids and centroids, in their order.
    boxes
        int64, cells x 5: first and past-the-last row, first and past-the-last column, pixels; None without a mask.
    """

    name: str
    image: Image
    mask: Image | None
    cells: Cells
    boxes: Array | None

    @property
    def largest(self) -> int:
        """Largest side of a bounding box in pixels."""
        if self.boxes is None:
            raise ParameterError(
                f"without a mask the size of the largest cell is not known: give window_size for {self.name}"
            )
        return int(max((self.boxes[:, 1] - self.boxes[:, 0]).max(), (self.boxes[:, 3] - self.boxes[:, 2]).max()))

    @property
    def apart(self) -> int:
        """Cells whose centroid is not in their bounding box."""
        if self.boxes is None:
            return 0
        y, x = np.trunc(self.cells.y), np.trunc(self.cells.x)
        y0, y1, x0, x1 = self.boxes[:, :4].T
        return int(np.sum((y < y0) | (y >= y1) | (x < x0) | (x >= x1)))

    def frame(self) -> pd.DataFrame:
        """Ids, centroids, and bounding boxes (the stops are past the last pixel)."""
        cells = self.cells
        table = pd.DataFrame({"CellID": cells.ids, "X_centroid": cells.x, "Y_centroid": cells.y})
        if self.boxes is not None:
            for name, column in (("X_min", 2), ("X_max", 3), ("Y_min", 0), ("Y_max", 1), ("Area", 4)):
                table[name] = self.boxes[:, column]
        return table


@dataclass(frozen=True)
class Reading:
    """How inputs are read.

    Attributes
    ----------
    columns
        Names of the columns of ids, X and Y; None: the usual ones.
    axes, z, t
        As `open_image` takes them.
    scratch
        Folder for a copy of a mask that will be read once more in other pieces than those it is stored in.
    """

    columns: tuple[str | None, str | None, str | None] = (None, None, None)
    axes: str | None = None
    z: int | None = None
    t: int | None = None
    scratch: Path | None = None


Piece: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


def pieces_of(image: Image, n_channels: int, execution: Execution) -> tuple[list[Piece], Execution]:
    """Rows and columns of pieces of whole tiles that together are the image, and as many threads as have room.

    Examples
    --------
    >>> pieces_of(open_image(np.zeros((1, 5, 7))), 1, Execution())[0]
    [((0, 5), (0, 7))]
    """
    most = execution.memory // 2
    share = min(PIECE_BYTES, most // execution.threads)
    pixel = n_channels * image.dtype.itemsize  # all channels of a piece are decoded together
    grid = plan_fields(image.name, (1, *image.shape[1:]), image.tile, pixel, (share, most))
    _, rows, columns = grid.counts
    pieces = [(span[1], span[2]) for span in map(grid.span, range(rows * columns))]
    threads = max(1, min(execution.threads, most // (prod(grid.field) * pixel)))
    return pieces, Execution(execution.memory, threads, execution.executor, execution.progress)


def measure_mask(mask: Image, execution: Execution, copy: RowFile | None = None) -> tuple[Array, Array]:
    """Labels of a mask in ascending order, and what `measure_labels` says of each; fills a copy in passing.

    Examples
    --------
    >>> labels, table = measure_mask(open_image(np.array([[0, 5, 5], [2, 0, 5]])), Execution())
    >>> labels.tolist(), table[:, :5].tolist()
    ([2, 5], [[1, 2, 0, 1, 1], [0, 2, 1, 3, 3]])
    """
    pieces, execution = pieces_of(mask, 1, execution)

    def measure(piece: Piece) -> tuple[Array, Array]:
        rows, columns = piece
        labels = mask.read([0], rows, columns)[0]
        if copy is not None:
            copy.put((rows[0], columns[0]), labels)
        return measure_labels(labels, rows[0], columns[0])

    found = list(map_tasks(measure, pieces, execution, "measuring cells"))
    labels, table = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(labels, kind="stable")
    return merge_measures(labels[order], table[order])


def open_mask(source: Any, image: Image, stack: ExitStack) -> Image:
    """Open a label image, of which the first plane counts.

    Raises
    ------
    FormatError
        If it does not hold whole numbers, or is not of the size of the image.

    Examples
    --------
    >>> image = open_image(np.zeros((2, 4, 5), np.uint8))
    >>> open_mask(np.zeros((4, 6), np.int32), image, ExitStack())
    Traceback (most recent call last):
    kithkin.core.errors.FormatError: the mask has 4 x 6 pixels, but the image has 4 x 5
    """
    mask = open_image(source, z=1, t=1, name="the mask")
    stack.callback(mask.close)
    if mask.dtype.kind not in "iu":
        raise FormatError(f"{mask.name} holds {mask.dtype}: a mask has one whole number for each cell")
    if mask.shape[1:] != image.shape[1:]:
        sizes = [f"{i.shape[1]:,} x {i.shape[2]:,}" for i in (mask, image)]
        raise FormatError(f"{mask.name} has {sizes[0]} pixels, but {image.name} has {sizes[1]}")
    if mask.shape[0] > 1:
        log.warning("%s has %d channels: the first is taken for the mask", mask.name, mask.shape[0])
    return mask


def open_sample(name: str, parts: Sequence[Any], reading: Reading, execution: Execution, stack: ExitStack) -> Sample:
    """Open an image, its mask and its table, and hold them against each other.

    Parameters
    ----------
    name
        In the table of several images.
    parts
        Image, mask or None, table or None.
    reading
        How they are read.
    execution
        For measuring the mask.
    stack
        Closes what is opened.

    Raises
    ------
    FormatError
        If one cannot be read, or they do not belong together.
    """
    source, labels, table = parts
    image = open_image(source, axes=reading.axes, z=reading.z, t=reading.t)
    stack.callback(image.close)
    check(labels is not None or table is not None, f"{image.name}: give a table of cells or a mask, or both")
    cells = None if table is None else read_cells(table, reading.columns)
    if cells is not None:
        _check_inside(cells, image)
    mask = None if labels is None else open_mask(labels, image, stack)
    if mask is None:
        return Sample(name, image, None, cells or _none(), None)
    copy = None
    aligned = not any(whole % piece for whole, piece in zip(image.tile, mask.tile, strict=True))
    if reading.scratch is not None and not mask.cheap and not aligned:
        copy = RowFile(mask, reading.scratch)
        stack.callback(copy.close)
    found, measures = measure_mask(mask, execution, copy)
    mask = copy or mask
    if cells is None:
        if not len(found):
            raise FormatError(f"{mask.name} has no cells: every pixel is 0")
        centres = (measures[:, 5] / measures[:, 4], measures[:, 6] / measures[:, 4])
        _check_labels(mask, found)
        cells = Cells(mask.name, found.astype(np.int64), centres[1], centres[0])
    place = np.searchsorted(found, cells.ids)
    absent = cells.ids[found[np.minimum(place, len(found) - 1)] != cells.ids] if len(found) else cells.ids
    if len(absent):
        are = "is" if len(absent) == 1 else "are"
        raise FormatError(f"{counted(absent, 'id')} of {cells.name} {are} not in {mask.name}: {listed(absent)}")
    return Sample(name, image, mask, cells, measures[place, :5])


def _check_labels(mask: Image, found: Array) -> None:
    wrong = found[(found < 0) | (found > np.iinfo(np.int64).max)]
    if len(wrong):
        raise FormatError(f"{mask.name} has labels that cannot be of cells: {listed(wrong)}")


def _none() -> Cells:
    empty = np.zeros(0)
    return Cells("no table", empty.astype(np.int64), empty, empty)


def _check_inside(cells: Cells, image: Image) -> None:
    _, height, width = image.shape
    out = (cells.x < 0) | (cells.x >= width) | (cells.y < 0) | (cells.y >= height)
    if out.any():
        ids = cells.ids[out]
        lie = "lies" if len(ids) == 1 else "lie"
        raise FormatError(
            f"{counted(ids, 'centroid')} of {cells.name} {lie} outside {image.name} ({width:,} wide, {height:,} high): "
            f"{listed(ids)}"
        )


def choose_channels(channels: Sequence[int | str] | None, image: Image) -> list[int]:
    """Channels from 0, of numbers from 1 or names.

    Raises
    ------
    ParameterError
        If one is out of range, or no channel has the name.

    Examples
    --------
    >>> choose_channels([3, 1], open_image(np.zeros((3, 4, 5))))
    [2, 0]
    """
    n_channels, names = image.shape[0], image.about.channel_names
    if channels is None:
        return list(range(n_channels))
    channels = [channels] if isinstance(channels, (str, int)) else list(channels)
    check(len(channels) > 0, "channels must name at least one channel")
    chosen = []
    for channel in channels:
        if isinstance(channel, str):
            has = f"it has {listed(names)}" if names else "its channels have no names, only numbers from 1"
            check(channel in names, f"{image.name} has no channel {channel!r}: {has}")
            chosen.append(names.index(channel))
        else:
            whole = isinstance(channel, (int, np.integer)) and 1 <= channel <= n_channels
            check(whole, f"channels must be in 1..{n_channels} for {image.name}, got {channel}")
            chosen.append(int(channel) - 1)
    return chosen


def identity_of(source: Any) -> str | None:
    """What tells whether an input is the same as before: path, size and time of each of its files; None of an array.

    Examples
    --------
    >>> identity_of(None), identity_of(np.zeros(3)) is None
    ('none', True)
    """
    if source is None:
        return "none"
    if isinstance(source, (list, tuple)):
        parts = [identity_of(part) for part in source]
        return None if None in parts else " ".join(map(str, parts))
    if not isinstance(source, (str, Path)):
        return None
    path = Path(source).expanduser().absolute()
    files = [path] if path.is_file() else sorted(_files(path))
    stats = [os.stat(file) for file in files]
    return f"{path} {len(stats)} {sum(s.st_size for s in stats)} {max((s.st_mtime_ns for s in stats), default=0)}"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
