"""A copy of the first channel of an image, row by row in a file without a name: any part of it is read at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kithkin.core.blocks import Array
from kithkin.io.images.image import PIECE, Axes, Image
from kithkin.io.thumbnails.shards import write_whole


class RowFile:
    """A copy of the first channel of an image, row by row in a file without a name: any part of it is read at once.

    `put` copies the image piece by piece. The file lies on the disk of `folder`.
    """

    def __init__(self, image: Image, folder: Path) -> None:
        self.name, self.about, self.dtype, self.cheap = image.name, image.about, image.dtype, True
        _, height, width = image.shape
        self.shape, self.tile = (1, height, width), (max(1, min(height, PIECE // width)), width)
        self.depth, self.piece_bytes = 1, 0
        self.axes: Axes | None = None
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close
        self._file.truncate(height * width * self.dtype.itemsize)

    def put(self, corner: tuple[int, int], piece: Array) -> None:
        """Store a piece of rows x columns whose first pixel is at a corner."""
        handle, size = self._file.fileno(), self.dtype.itemsize
        for row, values in enumerate(np.ascontiguousarray(piece), corner[0]):
            write_whole(handle, values.tobytes(), (row * self.shape[2] + corner[1]) * size)

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Read a piece; there is one channel."""
        out = np.empty((len(channels), rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        handle, size = self._file.fileno(), self.dtype.itemsize
        for place, row in enumerate(range(*rows)):
            os.preadv(handle, [memoryview(out[0, place]).cast("B")], (row * self.shape[2] + columns[0]) * size)
        out[1:] = out[:1]
        return out

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
