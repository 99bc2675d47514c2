"""Tables that the workers of an executor write: each task makes whole files of the result from the rows it reads.

The values of a sparse table lie in files of so many values, whatever the rows. One pass measures how many values each
row has, and of which type all are; a second one reads the rows of each file again, and writes them.
"""

from __future__ import annotations

import os
import platform
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.arrays import open_group
from kithkin.core.blocks import Array, Block, Blocks, SparseRows, offsets
from kithkin.core.encoding import write_rows
from kithkin.core.errors import KithkinError
from kithkin.core.layout import check_exact, exactly, joint_dtype, stored_dtype, written_array


@dataclass(frozen=True)
class Measured:
    """Sizes of a block, by which its rows find their places."""

    lengths: Array  # stored values of each row; of dense rows one each
    dtype: np.dtype[Any]  # smallest type of the values
    largest: int  # of the absolute values, where the type is of more than two bytes
    is_sparse: bool
    found: Any  # what else was measured


def measure_rows(block: Block, start: int, measure: Callable[[Block, int], Any] | None) -> Measured:
    """Measure a block of the table that is to be written.

    Examples
    --------
    >>> one = measure_rows(np.array([[1, 300], [0, 2]]), 0, None)
    >>> one.lengths.tolist(), str(one.dtype)
    ([1, 1], 'uint16')
    """
    found = None if measure is None else measure(block, start)
    values = block.data if isinstance(block, SparseRows) else block
    dtype = stored_dtype(values)
    wide = dtype.kind in "iu" and dtype.itemsize > 2
    largest = max(int(values.max()), -int(values.min())) if wide and values.size else 0
    sparse = isinstance(block, SparseRows)
    lengths = np.diff(block.indptr) if isinstance(block, SparseRows) else np.ones(block.shape[0], np.int64)
    return Measured(lengths.astype(np.int32), dtype, largest, sparse, found)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a whole table, added up block by block."""

    parts: list[Measured]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds all values."""
        dtype = np.dtype(np.uint8)
        for part in self.parts:
            dtype = joint_dtype(dtype, part.dtype)
        return dtype

    def check(self) -> None:
        """Raise KithkinError if the type would change one of the values."""
        dtype = self.dtype
        for part in self.parts:
            if part.dtype != dtype and part.dtype.itemsize == 8 and part.dtype.kind in "iu":
                check_exact(part.largest, dtype)

    @property
    def lengths(self) -> Array:
        """Stored values of each row, int64."""
        return np.concatenate([part.lengths for part in self.parts]).astype(np.int64)

    @property
    def largest(self) -> int:
        """Largest of the absolute values, where it is more than 65,535."""
        return max(part.largest for part in self.parts)


@dataclass(frozen=True)
class Share:
    """Part of a table that one task writes: positions `first` to `first + size` of the arrays, in files of its own."""

    start: int  # rows of the row blocks that hold these values
    stop: int
    skip: int  # values of these rows that lie before
    first: int
    size: int


def shares(lengths: Array, file: int, rows: Array | None = None) -> list[Share]:
    """Cut a table into what one file holds.

    Parameters
    ----------
    lengths
        Values of each row.
    file
        Values of one file.
    rows
        Number of each row in the row blocks; they are the same if None.

    Examples
    --------
    >>> [(one.start, one.stop, one.skip, one.first, one.size) for one in shares(np.array([2, 0, 3]), 4)]
    [(0, 3, 0, 0, 4), (2, 3, 2, 4, 1)]
    """
    starts, found = offsets(lengths), []
    for first in range(0, int(starts[-1]), file):
        last = min(first + file, int(starts[-1]))
        low, high = int(np.searchsorted(starts, first, "right")) - 1, int(np.searchsorted(starts, last, "left"))
        begin, end = (low, high - 1) if rows is None else (int(rows[low]), int(rows[high - 1]))
        found.append(Share(begin, end + 1, first - int(starts[low]), first, last - first))
    return found


def between(ranges: Sequence[tuple[int, int]], start: int, stop: int) -> list[tuple[int, int]]:
    """Cut rows start to stop where the blocks of a table begin, of which each fits into the memory.

    Examples
    --------
    >>> between([(0, 4), (4, 8), (8, 12)], 5, 9)
    [(5, 8), (8, 9)]
    """
    first = bisect_right(ranges, start, key=lambda one: one[0]) - 1
    last = bisect_left(ranges, stop, key=lambda one: one[0])
    return [(max(start, low), min(stop, high)) for low, high in ranges[first:last]]


@dataclass(frozen=True)
class Writing:
    """Task of a worker."""

    blocks: Blocks  # that can read the rows of the share
    ranges: list[tuple[int, int]]  # rows to read at a time
    folder: Path  # of the arrays
    names: Sequence[str]  # of the arrays
    share: Share


def write_share(task: Writing) -> None:
    """Read the rows of a share, and write its files.

    Raises
    ------
    KithkinError
        If the folder is not there, or the rows are not those that were measured.
    """
    folder, share = task.folder, task.share
    if not os.path.isdir(folder):
        raise KithkinError(
            f"{folder} is not there on {platform.node()}: workers write their rows of a new dataset themselves, so "
            "choose a place for it that all of them have under the same name"
        )
    group = open_group(folder, "r+")
    arrays = [written_array(group, name) for name in task.names]
    values = [np.empty((share.size, *array.shape[1:]), array.dtype) for array in arrays]
    done, skip = 0, share.skip
    for start, stop in task.ranges:
        block = task.blocks.read(start, stop)
        parts = [block.data, block.indices] if isinstance(block, SparseRows) else [block]
        skipped = min(skip, len(parts[0]))
        taken = min(len(parts[0]) - skipped, share.size - done)
        for out, part in zip(values, parts, strict=True):
            out[done : done + taken] = exactly(part[skipped : skipped + taken], out.dtype)
        done, skip = done + taken, skip - skipped
    if done != share.size:
        raise KithkinError(f"rows {share.start} to {share.stop} were changed while they were read: read them again")
    for array, out in zip(arrays, values, strict=True):
        write_rows(array, share.first, out, flush=True)  # on this machine, whose cache no other one flushes
