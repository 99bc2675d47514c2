"""Scattered ranges of an array on disk: each chunk that they touch is read, verified and decoded once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from kithkin.core.arrays import CheckedPipeline
from kithkin.core.blocks import Array, offsets
from kithkin.core.chunks import ChunkFiles, DamageError

SLAB_BYTES = 1 << 24  # decoded at a time where the codecs are not kithkin's own


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges along the first axis of an array, each with its place in what is read.

    Attributes
    ----------
    starts, stops
        int64, ends of each range, in any order; ranges may overlap, and none is empty.
    targets
        int64, where each range goes along the first axis of the output.
    """

    starts: Array
    stops: Array
    targets: Array

    @staticmethod
    def of_rows(rows: Array, indptr: Array | None = None, lasts: Array | None = None) -> Ranges:
        """Make the ranges of rows that are laid out one behind the other, in the order given.

        Parameters
        ----------
        rows
            First position of each row.
        indptr
            Place of each row in the output, and its end; None: each row is one position.
        lasts
            End of each row, where `indptr` is given.

        Examples
        --------
        >>> found = Ranges.of_rows(np.array([7, 8, 2]))
        >>> found.starts.tolist(), found.stops.tolist(), found.targets.tolist()
        ([7, 2], [9, 3], [0, 2])
        """
        stops = rows + 1 if lasts is None else lasts
        targets = np.arange(len(rows)) if indptr is None else indptr[:-1]
        filled = stops > rows
        starts, stops, targets = rows[filled], stops[filled], targets[filled]
        if not len(starts):
            return Ranges(starts, stops, targets)
        first = np.flatnonzero(np.r_[True, starts[1:] != stops[:-1]])  # of each run of rows that follow one another
        last = np.r_[first[1:], len(starts)] - 1
        return Ranges(starts[first], stops[last], targets[first])

    def by_part(self, size: int) -> tuple[Array, Array, Ranges]:
        """Cut the ranges at the borders of parts of `size` positions, and sort them by part.

        Returns
        -------
        tuple
            Numbers of the parts that are touched, ascending; the first range of each part, and the number of ranges;
            the ranges that were cut.

        Examples
        --------
        >>> numbers, ends, cut = Ranges(np.array([8, 1]), np.array([12, 2]), np.array([0, 4])).by_part(10)
        >>> numbers.tolist(), ends.tolist(), cut.starts.tolist(), cut.stops.tolist(), cut.targets.tolist()
        ([0, 1], [0, 2, 3], [8, 1, 10], [10, 2, 12], [0, 4, 2])
        """
        first, last = self.starts // size, (self.stops - 1) // size
        ends = offsets(last - first + 1)
        whole = np.repeat(np.arange(len(first)), np.diff(ends))
        part = first[whole] + np.arange(ends[-1]) - ends[whole]
        starts = np.maximum(self.starts[whole], part * size)
        stops = np.minimum(self.stops[whole], (part + 1) * size)
        targets = self.targets[whole] + starts - self.starts[whole]
        order = np.argsort(part, kind="stable")
        numbers, begins = np.unique(part[order], return_index=True)
        return numbers, np.r_[begins, len(part)], Ranges(starts[order], stops[order], targets[order])

    def copy(self, first: int, last: int, values: Array, low: int, out: Array) -> None:
        """Copy ranges first to last from the values that begin at position `low` to their places."""
        starts, stops, targets = self.starts[first:last], self.stops[first:last], self.targets[first:last]
        if int((stops - starts).max()) == 1:
            out[targets] = values[starts - low]
            return
        for start, stop, target in zip((starts - low).tolist(), (stops - low).tolist(), targets.tolist(), strict=True):
            out[target : target + stop - start] = values[start:stop]


def read_ranges(array: zarr.Array[Any], ranges: Ranges, out: Array) -> None:
    """Read ranges of an array into their places.

    Parameters
    ----------
    array
        Array that `open_array` opened.
    ranges
        Ranges along its first axis, within the array.
    out
        Receives them, in the type of the array; its further axes are those of the array.

    Raises
    ------
    DamageError
        If a chunk is not what was written.
    """
    if not len(ranges.starts):
        return
    pipeline: CheckedPipeline = array._async_array.codec_pipeline  # type: ignore[assignment]
    files = pipeline.layout_of_own(np.empty((0, *array.shape[1:]), array.dtype))
    size = int(array.chunks[0]) if files is None else (files.inner or files.outer)[0]
    numbers, ends, cut = ranges.by_part(size)
    if files is None:
        for first, last, low, values in _slabs(array, numbers, cut, ends):
            cut.copy(int(ends[first]), int(ends[last]), values, low, out)
        return
    whole = (np.diff(ends) == 1) & ((cut.stops - cut.starts)[ends[:-1]] == size)
    places = [out[at : at + size] if own else None for at, own in zip(cut.targets[ends[:-1]], whole, strict=True)]
    for first, last, low, values in _chunks(array, files, numbers, pipeline.complete, places):
        if places[first] is not values:
            cut.copy(int(ends[first]), int(ends[last]), values, low, out)


def _chunks(
    array: zarr.Array[Any], files: ChunkFiles, numbers: Array, complete: bool, places: Sequence[Array | None]
) -> Iterator[tuple[int, int, int, Array]]:
    """Decode the chunks with the given numbers, each to its place where it has one.

    Yields the first and last of them, where it begins, and its values.
    """
    inner = files.inner or files.outer
    in_file = files.outer[0] // inner[0]
    beyond = (0,) * (len(inner) - 1)
    root: Any = array.store
    at = 0
    while at < len(numbers):
        number = int(numbers[at]) // in_file
        stop = int(np.searchsorted(numbers, (number + 1) * in_file))
        name = array.metadata.encode_chunk_key((number, *beyond))
        path = "/".join(part for part in (str(root.root), array.path, name) if part)
        try:
            for values in files.decode_chunks(path, numbers[at:stop] % in_file, array.dtype, places[at:stop]):
                yield at, at + 1, int(numbers[at]) * inner[0], values
                at += 1
        except FileNotFoundError:
            if complete:
                raise DamageError(f"its file {os.path.basename(path)} is missing") from None
            yield at, stop, int(numbers[at]) * inner[0], np.zeros((files.outer[0], *inner[1:]), array.dtype)
        at = stop


def _slabs(array: zarr.Array[Any], numbers: Array, cut: Ranges, ends: Array) -> Iterator[tuple[int, int, int, Array]]:
    """Read chunks that lie together in one go, by Zarr; yield the first and last, where they begin, and the values."""
    row_bytes = max(1, int(np.prod(array.shape[1:])) * array.dtype.itemsize)
    most = max(1, SLAB_BYTES // (row_bytes * int(array.chunks[0])))
    at = 0
    while at < len(numbers):
        near = numbers[at : at + most]
        stop = at + int(np.flatnonzero(np.r_[np.diff(near) != 1, True])[0]) + 1
        within = slice(int(ends[at]), int(ends[stop]))
        low, high = int(cut.starts[within].min()), int(cut.stops[within].max())
        values: Array = array[low:high]  # type: ignore[assignment]
        yield at, stop, low, values
        at = stop
