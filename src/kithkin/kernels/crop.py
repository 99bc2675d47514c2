"""Windows cut out of a piece of an image, and measures of the cells of a label image.

Copies of slices, with nothing to compile: a window is a few dozen rows of bytes in each channel, and NumPy moves them
as fast as a loop would.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def overlap(start: int, size: int, first: int, length: int) -> tuple[int, int]:
    """Intersect start .. start + size with first .. first + length: (begin, end), empty if end <= begin."""
    return max(start, first), min(start + size, first + length)


def copy_window(block: Array, corner: tuple[int, int], start: tuple[int, int], window: Array) -> None:
    """Copy the part of a window that a block holds; the rest is left as it is.

    block is (..., h, w) with its first pixel at corner (y, x) of the image, window (..., n, n) begins at start (y, x).
    """
    y0, y1 = overlap(start[0], window.shape[-2], corner[0], block.shape[-2])
    x0, x1 = overlap(start[1], window.shape[-1], corner[1], block.shape[-1])
    if y1 <= y0 or x1 <= x0:
        return
    target = window[..., y0 - start[0] : y1 - start[0], x0 - start[1] : x1 - start[1]]
    target[...] = block[..., y0 - corner[0] : y1 - corner[0], x0 - corner[1] : x1 - corner[1]]


def label_runs(labels: Array) -> tuple[Array, Array, Array, Array]:
    """Find runs of equal labels other than 0 along rows: label, row, first and past-the-last column of each."""
    width = labels.shape[1]
    flat = np.ascontiguousarray(labels).ravel()
    edge = np.empty(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=edge[1:])
    edge[::width] = True
    begins = np.flatnonzero(edge)
    found = flat[begins]
    lengths = np.diff(begins, append=flat.size)
    kept = np.flatnonzero(found)
    row, column = np.divmod(begins[kept], width)
    return found[kept], row, column, column + lengths[kept]


def measure_labels(labels: Array, top: int, left: int) -> tuple[Array, Array]:
    """Measure the pixels of each label in a piece of a label image whose first pixel is at (top, left) of the image.

    Returns the labels in ascending order, and int64 (labels x 7): first and past-the-last row, first and past-the-last
    column, number of pixels, sum of their rows, sum of their columns.
    """
    label, row, begin, end = label_runs(labels)
    order = np.argsort(label, kind="stable")
    label, row, begin, end = label[order], row[order] + top, begin[order] + left, end[order] + left
    count = end - begin
    table = np.stack([row, row + 1, begin, end, count, row * count, (begin + end - 1) * count // 2], axis=1)
    return merge_measures(label, table)


def merge_measures(labels: Array, table: Array) -> tuple[Array, Array]:
    """Join rows of `measure_labels` that are of the same label; the labels must be in ascending order."""
    if not len(labels):
        return labels, table.astype(np.int64)
    first = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
    joined = np.empty((len(first), 7), np.int64)
    for column, function in enumerate((np.minimum, np.maximum, np.minimum, np.maximum, np.add, np.add, np.add)):
        joined[:, column] = function.reduceat(table[:, column], first)
    return labels[first], joined
