"""Label images: opened for a figure, and drawn with the colours of their cells."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.io.cutting.inputs import pieces_of
from kithkin.io.cutting.mask import open_mask
from kithkin.io.images.open import open_image
from kithkin.plot.look.palette import MISSING, group_colors
from kithkin.plot.look.style import DPI

EDGE = 4  # screen pixels that a cell must be wide for its border to be drawn


@dataclass(frozen=True)
class StoredLabels:
    """A label image in a file, of which every so many-th row and column is read, piece by piece."""

    image: Any
    shape: tuple[int, int]
    dtype: Any

    def __getitem__(self, steps: tuple[slice, slice]) -> Array:
        step = steps[0].step
        out = np.zeros([-(-side // step) for side in self.shape], self.dtype)
        for rows, columns in pieces_of(self.image, 1, Execution())[0]:
            top, left = -rows[0] % step, -columns[0] % step
            piece = self.image.read([0], rows, columns)[0][top::step, left::step]
            y, x = (rows[0] + top) // step, (columns[0] + left) // step
            out[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
        return out


def open_labels(mask: Any, stack: ExitStack) -> Any:
    """Open the label image of a file; an array of whole numbers in memory or in Zarr stays as it is.

    Raises
    ------
    ParameterError
        If it is neither.
    FormatError
        If the file cannot be read, or does not hold whole numbers.
    """
    shape: tuple[int, ...] = tuple(getattr(mask, "shape", ()))
    if isinstance(mask, (str, Path)) or (len(shape) == 2 and np.dtype(mask.dtype).kind == "f"):
        image = open_image(mask, z=1, t=1, name="the mask")
        stack.callback(image.close)
        labels = open_mask(mask, SimpleNamespace(name=image.name, shape=image.shape), stack)
        return StoredLabels(labels, (labels.shape[1], labels.shape[2]), labels.dtype)
    if len(shape) != 2 or np.dtype(mask.dtype).kind not in "iub":
        raise ParameterError(f"mask must be whole numbers, rows x columns, got {type(mask).__name__} of {shape}")
    return mask


def draw_shapes(
    ax: Axes,
    mask: Any,
    ids: Array,
    places: Array,
    colors: Array,
    priority: Array,
    *,
    frame: tuple[float, float, float, float],
    inch: float,
) -> None:
    """Draw every cell in its shape; between cells that are wide enough on the screen a thin white line.

    Of small cells in one pixel the one with the highest priority is seen. `frame` is left, right, bottom and top of the
    panel in pixels of the image, `inch` the inches of such a pixel.
    """
    step = max(1, int(1 / (inch * DPI)))
    labels = np.asarray(mask[::step, ::step]).astype(np.int64)
    if step > 1 and np.sqrt(np.count_nonzero(labels) / max(1, len(ids))) < EDGE:  # widen what is hardly seen
        around = np.pad(labels, 1)
        for beside in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]):
            np.copyto(labels, beside, where=labels == 0)
    if step > 1:  # small cells fall between the rows and columns that are read: each gets the pixel of its centroid
        lost = np.flatnonzero(~np.isin(ids, labels) & np.isfinite(places[:, :2]).all(axis=1))
        lost = lost[np.argsort(priority[lost], kind="stable")]
        x, y = (np.clip(places[lost, k] // step, 0, labels.shape[1 - k] - 1).astype(np.int64) for k in (0, 1))
        labels[y, x] = ids[lost]
    order = np.argsort(ids)
    position = np.minimum(np.searchsorted(ids[order], labels), len(ids) - 1)
    known = (ids[order][position] == labels) & (labels != 0)
    image = np.ones((*labels.shape, 4))
    image[labels != 0] = group_colors([""], [MISSING])[0]  # cells of the mask that the dataset does not have
    image[known] = colors[order][position[known]]
    if np.sqrt(known.mean() * labels.size / max(1, len(ids))) >= EDGE:
        border = np.zeros(labels.shape, bool)  # where two cells touch
        border[1:] |= (labels[1:] != labels[:-1]) & (labels[:-1] != 0)
        border[:, 1:] |= (labels[:, 1:] != labels[:, :-1]) & (labels[:, :-1] != 0)
        border &= labels != 0
        image[border, :3] += 0.6 * (1 - image[border, :3])
    left, right, bottom, top = frame
    ax.imshow(image, extent=(left, right, bottom, top), interpolation="nearest", aspect="auto")
