"""Open an image, its mask and the table of its cells, and check that they match."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, ParameterError, check, check_known
from kithkin.core.execute import Execution, map_tasks
from kithkin.io.cutting.cells import Cells, counted, listed, read_cells
from kithkin.io.cutting.fields import plan_fields
from kithkin.io.cutting.mask import open_mask
from kithkin.io.cutting.row_file import RowFile
from kithkin.io.images.image import Image
from kithkin.io.images.open import open_image
from kithkin.kernels.crop import measure_labels, merge_measures

log = logging.getLogger("kithkin")
PIECE_BYTES = 16 * 2**20  # part of a mask that is measured at a time
PARTS = 3  # of a sample: image, mask, cells


def parts_of(image: Any, mask: Any, cells: Any) -> dict[str, tuple[Any, Any, Any]]:
    """Return the inputs of each image by its name; the inputs of a single one have an empty name."""
    if not isinstance(image, Mapping):
        return {"": (image, mask, cells)}
    check(mask is None is cells, "mask and cells must be given in the mapping, with the image that they belong to")
    check(len(image) > 0, "the mapping must name at least one image")
    for name, parts in image.items():
        three = isinstance(parts, (list, tuple)) and len(parts) == PARTS
        check(three, f"{name} must be given as (image, mask, cells), with None for what there is not")
    return {str(name): (parts[0], parts[1], parts[2]) for name, parts in image.items()}


@dataclass(frozen=True)
class Sample:
    """An image with its cells."""

    name: str  # in the table of several images
    image: Image
    mask: Image | None
    cells: Cells  # ids and centroids, in their order
    # first and past-the-last row, first and past-the-last column, and pixels of each cell: cells x 5, int64; None
    # without a mask
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
        """Number of cells whose centroid is not in their bounding box."""
        if self.boxes is None:
            return 0
        y, x = np.trunc(self.cells.y), np.trunc(self.cells.x)
        y0, y1, x0, x1 = self.boxes[:, :4].T
        return int(np.sum((y < y0) | (y >= y1) | (x < x0) | (x >= x1)))

    def frame(self) -> pd.DataFrame:
        """Make a table of ids, centroids, and bounding boxes (the stops are past the last pixel)."""
        cells = self.cells
        table = pd.DataFrame({"CellID": cells.ids, "X_centroid": cells.x, "Y_centroid": cells.y})
        if self.boxes is not None:
            for name, column in (("X_min", 2), ("X_max", 3), ("Y_min", 0), ("Y_max", 1), ("Area", 4)):
                table[name] = self.boxes[:, column]
        return table


@dataclass(frozen=True)
class Reading:
    """Settings for reading inputs."""

    columns: tuple[str | None, str | None, str | None] = (None, None, None)  # of ids, X and Y; None: the usual names
    image_column: str | None = None  # tells the image of each cell; None: a usual name
    skip_absent: bool = False  # leave out the cells of a table that are not in the mask
    axes: str | None = None  # this and the next three: settings of `open_image`
    z: int | None = None
    t: int | None = None
    position: int | None = None
    mask_plane: int | None = None  # from 1; None: the first
    # folder for a copy of a mask that will be read once more in other pieces than those it is stored in
    scratch: Path | None = None

    @property
    def identity(self) -> list[Any]:
        """Settings that change what is read of the files, for the identity of a job."""
        return [self.axes, self.z, self.t, self.position, self.mask_plane]


Piece: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


def pieces_of(image: Image, n_channels: int, execution: Execution) -> tuple[list[Piece], Execution]:
    """Divide an image into pieces of whole tiles: their rows and columns, and as many threads as have room."""
    most = execution.memory // 2
    share = min(PIECE_BYTES, most // execution.threads)
    pixel = n_channels * image.dtype.itemsize  # all channels of a piece are decoded together
    grid = plan_fields(image, (1, *image.shape[1:]), pixel, (share, most))
    _, rows, columns = grid.counts
    largest = max(prod(grid.field) * pixel, image.piece_bytes)
    pieces = [(span[1], span[2]) for span in map(grid.span, range(rows * columns))]
    threads = max(1, min(execution.threads, most // largest))
    return pieces, Execution(execution.memory, threads, execution.executor, execution.progress)


def measure_mask(mask: Image, execution: Execution, copy: RowFile | None = None) -> tuple[Array, Array]:
    """Find the labels of a mask in ascending order, and the measures of each; fill a copy in passing."""
    pieces, execution = pieces_of(mask, 1, execution)

    def measure(piece: Piece) -> tuple[Array, Array]:
        rows, columns = piece
        labels = mask.read([0], rows, columns)[0]
        if copy is not None:
            copy.put((rows[0], columns[0]), labels)
        return measure_labels(labels, rows[0], columns[0])

    measured = list(map_tasks(measure, pieces, execution, "measuring cells"))
    labels, table = (np.concatenate(parts) for parts in zip(*measured, strict=True))
    order = np.argsort(labels, kind="stable")
    return merge_measures(labels[order], table[order])


def open_sample(name: str, parts: Sequence[Any], reading: Reading, execution: Execution, stack: ExitStack) -> Sample:
    """Open an image, its mask and its table, and check that they match.

    `parts` are the image, its mask or None, and its table or None; `name` is its name in the table of several images.
    `stack` closes what is opened. Raises FormatError if one cannot be read, or they do not belong together.
    """
    source, labels, table = parts
    image = open_image(source, axes=reading.axes, z=reading.z, t=reading.t, position=reading.position)
    stack.callback(image.close)
    check(labels is not None or table is not None, f"{image.name}: give a table of cells or a mask, or both")
    cells = None
    if table is not None:
        file = Path(source).name if isinstance(source, (str, Path)) else ""
        names = [n for n in (name, file, Path(file).stem, file.partition(".")[0]) if n]
        cells = read_cells(table, reading.columns, reading.image_column, list(dict.fromkeys(names)))
        _, height, width = image.shape
        out = cells.ids[(cells.x < 0) | (cells.x >= width) | (cells.y < 0) | (cells.y >= height)]
        if len(out):
            lie = "lies" if len(out) == 1 else "lie"
            size = f"{width:,} wide, {height:,} high"
            raise FormatError(
                f"{counted(out, 'centroid')} of {cells.name} {lie} outside {image.name} ({size}): {listed(out)}"
            )
    mask = None if labels is None else open_mask(labels, image, stack, reading.mask_plane)
    if mask is None:
        return Sample(name, image, None, cells or Cells("no table", *np.zeros((3, 0))), None)
    copy = None
    aligned = not any(whole % piece for whole, piece in zip(image.tile, mask.tile, strict=True))
    if reading.scratch is not None and not mask.cheap and not aligned:
        copy = RowFile(mask, reading.scratch)
        stack.callback(copy.close)
    known, measures = measure_mask(mask, execution, copy)
    mask = copy or mask
    if cells is None:
        if not len(known):
            raise FormatError(f"{mask.name} has no cells: every pixel is 0")
        wrong = known[(known < 0) | (known > np.iinfo(np.int64).max)]
        if len(wrong):
            raise FormatError(f"{mask.name} has labels that cannot be of cells: {listed(wrong)}")
        centres = (measures[:, 5] / measures[:, 4], measures[:, 6] / measures[:, 4])
        cells = Cells(mask.name, known.astype(np.int64), centres[1], centres[0])
    index = np.searchsorted(known, cells.ids)
    present = (
        known[np.minimum(index, len(known) - 1)] == cells.ids if len(known) else np.zeros(len(cells.ids), np.bool_)
    )
    absent = cells.ids[~present]
    if len(absent):
        are = "is" if len(absent) == 1 else "are"
        said = f"{counted(absent, 'id')} of {cells.name} {are} not in {mask.name}: {listed(absent)}"
        if not reading.skip_absent or not present.any():
            raise FormatError(said)
        log.warning("%s; left out", said)
        cells = Cells(cells.name, cells.ids[present], cells.x[present], cells.y[present])
    return Sample(name, image, mask, cells, measures[index[present], :5])


def choose_channels(channels: Sequence[int | str] | None, image: Image) -> list[int]:
    """Look up channels, given as numbers from 1 or names: their indices from 0.

    Raises ParameterError if one is out of range, or no channel has the name.
    """
    n_channels, names = image.shape[0], image.about.channel_names
    if channels is None:
        return list(range(n_channels))
    channels = [channels] if isinstance(channels, (str, int)) else list(channels)
    check(len(channels) > 0, "channels must name at least one channel")
    chosen = []
    for channel in channels:
        if isinstance(channel, str):
            check(
                bool(names), f"{image.name} has no channel {channel!r}: its channels have no names, only numbers from 1"
            )
            check_known([channel], names, f"{image.name} has no channel")
            chosen.append(names.index(channel))
        else:
            whole = isinstance(channel, (int, np.integer)) and 1 <= channel <= n_channels
            check(whole, f"channels must be in 1..{n_channels} for {image.name}, got {channel}")
            chosen.append(int(channel) - 1)
    return chosen


def match_channels(chosen: list[int], first: Image, other: Image) -> list[int]:
    """Find the channels of another image that have the names of the chosen ones of the first.

    Without names in both, or with names that were taken from the names of files and differ, channels count by position.
    Raises ParameterError if the other image has no channel of a name, or names cannot tell channels apart.
    """
    names, others = first.about.channel_names, other.about.channel_names
    if names == others and first.shape[0] == other.shape[0]:
        return chosen
    both = len(names) == first.shape[0] and len(others) == other.shape[0]
    wanted = [names[k] for k in chosen] if both else []
    if not both or (set(wanted) - set(others) and not (first.about.named and other.about.named)):
        if names or others:
            log.warning("%s: channels are taken in the order of %s, not by name", other.name, first.name)
        return chosen
    missing = [name for name in wanted if name not in others]
    check(not missing, f"{other.name} has no channel {listed(missing)}, as {first.name} has: it has {listed(others)}")
    twice = [name for name in wanted if names.count(name) > 1 or others.count(name) > 1]
    check(
        not twice, f"{first.name} and {other.name} have channels in another order, and several called {listed(twice)}"
    )
    return [others.index(name) for name in wanted]


def identity_of(source: Any) -> str | None:
    """Identify an input by path, size and time of each of its files; None for an array."""
    if source is None:
        return "none"
    if isinstance(source, (list, tuple)):
        parts = [identity_of(part) for part in source]
        return None if None in parts else " ".join(map(str, parts))
    if not isinstance(source, (str, Path)):
        return None
    path = Path(source).expanduser().absolute()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    stats = [os.stat(file) for file in files]
    return f"{path} {len(stats)} {sum(s.st_size for s in stats)} {max((s.st_mtime_ns for s in stats), default=0)}"
