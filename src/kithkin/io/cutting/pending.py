"""Chunks of which some pixels are still to come: held in memory up to a limit, and beyond it in a file."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.io.thumbnails.shards import write_whole

NUMBERS = 8  # that say where a part lies in the file, and what it is part of


@dataclass(frozen=True)
class Part:
    """Part of a cell that one piece of an image holds."""

    cell: int  # index of the cell in its chunk
    channels: tuple[int, int]  # first and past-the-last
    corner: tuple[int, int]  # row and column of the window at which it begins
    pixels: Array  # channels x rows x columns
    mask: Array | None  # rows x columns, bool; None without masks

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels and the mask."""
        return self.pixels.nbytes + (0 if self.mask is None else self.mask.nbytes)

    def put(self, pixels: Array, masks: Array | None) -> None:
        """Copy it into a chunk: channels x cells x window x window, cells x window x window."""
        y, x = self.corner
        height, width = self.pixels.shape[1:]
        pixels[slice(*self.channels), self.cell, y : y + height, x : x + width] = self.pixels
        if masks is not None and self.mask is not None:
            masks[self.cell, y : y + height, x : x + width] = self.mask


class Pending:
    """Collects the parts of chunks until each is complete.

    `counts` has the number of parts of each chunk. At most `limit` bytes are held in memory; the file `scratch`, for
    the parts beyond it, is made when it is needed.

    Examples
    --------
    >>> pending = Pending(np.array([2]), 100, Path("unused"))
    >>> part = Part(0, (0, 1), (0, 0), np.ones((1, 2, 2)), None)
    >>> pending.add(0, part), len(pending.add(0, part))
    (None, 2)
    """

    def __init__(self, counts: Array, limit: int, scratch: Path) -> None:
        self._left, self._limit, self._scratch = counts.copy(), limit, scratch
        self._parts: dict[int, list[Part]] = {}
        self._stored: dict[int, array[int]] = {}  # numbers of parts in the file; objects would outweigh small parts
        self._held = self._end = 0
        self._file = -1
        self._lock = threading.Lock()

    def add(self, chunk: int, part: Part) -> list[Callable[[], Part]] | None:
        """Add a part; if it was the last of its chunk, return functions that give the parts, one at a time."""
        with self._lock:
            offset = -1
            if self._held + part.nbytes <= self._limit:
                self._held += part.nbytes
            else:
                if self._file < 0:
                    self._file = os.open(self._scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
                offset, self._end = self._end, self._end + part.nbytes
        if offset >= 0:
            data = part.pixels.tobytes() + (b"" if part.mask is None else part.mask.tobytes())
            write_whole(self._file, data, offset)
        with self._lock:
            if offset < 0:
                self._parts.setdefault(chunk, []).append(part)
            else:
                place = (offset, part.cell, *part.channels, *part.corner, *part.pixels.shape[1:])
                self._stored.setdefault(chunk, array("q")).extend(place)
            self._left[chunk] -= 1
            if self._left[chunk]:
                return None
            held = self._parts.pop(chunk, [])
            self._held -= sum(p.nbytes for p in held)
            stored = self._stored.pop(chunk, array("q"))
        like = part.pixels.dtype, part.mask is not None
        places = [stored[k : k + NUMBERS].tolist() for k in range(0, len(stored), NUMBERS)]
        given: list[Callable[[], Part]] = [lambda part=part: part for part in held]  # type: ignore[misc]
        return given + [partial(self._load, place, *like) for place in places]

    def _load(self, place: list[int], dtype: np.dtype[Any], masked: bool) -> Part:
        """Read a part that lies in the file."""
        offset, cell, first, last, y, x, height, width = place
        shape = last - first, height, width
        size = prod(shape) * dtype.itemsize
        data = os.pread(self._file, size + (height * width if masked else 0), offset)
        pixels = np.frombuffer(data, dtype, prod(shape)).reshape(shape)
        mask = np.frombuffer(data, np.bool_, height * width, size).reshape(height, width) if masked else None
        return Part(cell, (first, last), (y, x), pixels, mask)

    def close(self) -> None:
        """Remove the file."""
        if self._file >= 0:
            os.close(self._file)
            self._scratch.unlink(missing_ok=True)
