"""Bytes of a page: values in few bits, compressed, as text between the tags of a script that is not run."""

from __future__ import annotations

import base64
import zlib
from typing import IO

import numpy as np

from kithkin.core.blocks import Array

LEVELS = 254  # of a value: 0..254, and 255 where it is missing
MISSING = 255
SIDE = 65534  # of the map's longer side; 65535 where a point has no place
NOWHERE = 65535


class BlockWriter:
    """Writer of the blocks of a page: each gets a number, by which the page finds it.

    Parameters
    ----------
    file
        The page, open for writing bytes.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> BlockWriter(file).add(b"points"), file.getvalue()[:50]
    ('b0', b'<script type="application/octet-stream" id="b0">eJ')
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.n_blocks = file, 0

    def add(self, data: bytes | Array) -> str:
        """Compress and write a block, and return its name."""
        name = f"b{self.n_blocks}"
        self.n_blocks += 1
        raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
        self.file.write(f'<script type="application/octet-stream" id="{name}">'.encode())
        self.file.write(base64.b64encode(zlib.compress(raw, 6)))
        self.file.write(b"</script>\n")
        return name


def to_levels(values: Array, low: float, high: float) -> Array:
    """Bring values to levels 0..254 from low to high, uint8; what lies beyond is at the end, missing values are 255.

    Examples
    --------
    >>> to_levels(np.array([0.0, 0.5, 1.0, 7.0, np.nan]), 0.0, 1.0).tolist()
    [0, 127, 254, 254, 255]
    """
    span = high - low if high > low else 1.0
    levels = np.clip(np.rint((values - low) * (LEVELS / span)), 0, LEVELS)
    return np.where(np.isnan(levels), MISSING, levels).astype(np.uint8)


def to_places(xy: Array) -> Array:
    """Bring points of a map to 0..65534 with one scale for both axes, n x 2 uint16; (65535, 65535) for a missing one.

    Examples
    --------
    >>> to_places(np.array([[0.0, 1.0], [2.0, 2.0], [np.nan, 0.0]])).tolist()
    [[0, 0], [65534, 32767], [65535, 65535]]
    """
    known = np.isfinite(xy).all(axis=1)
    low = xy[known].min(axis=0) if known.any() else np.zeros(2)
    span = float((xy[known].max(axis=0) - low).max()) if known.any() else 1.0
    places = np.full(xy.shape, NOWHERE, np.uint16)
    places[known] = np.rint((xy[known] - low) * (SIDE / (span or 1.0)))
    return places


def to_varints(numbers: Array) -> bytes:
    """Write whole numbers from 0 on with seven bits a byte, the lowest first, the eighth set where another follows.

    Known as LEB128.

    Examples
    --------
    >>> to_varints(np.array([0, 127, 128, 300])).hex(" ")
    '00 7f 80 01 ac 02'
    """
    numbers = np.asarray(numbers, np.uint32)
    sizes = np.ones(len(numbers), np.int64)
    for bits in (7, 14, 21, 28):
        sizes += numbers >= np.uint32(1 << bits)
    ends = np.cumsum(sizes)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for k in range(int(sizes.max()) if len(sizes) else 0):
        longer = sizes > k
        more = np.where(sizes[longer] > k + 1, 128, 0)
        out[(ends - sizes)[longer] + k] = (numbers[longer] >> np.uint32(7 * k)) & 127 | more
    return out.tobytes()


def to_sparse(places: Array, levels: Array) -> bytes:
    """Write the few values of a gene: the differences of their ascending places as varints, then their levels.

    Examples
    --------
    >>> to_sparse(np.array([3, 4, 200]), np.array([9, 8, 7])).hex(" ")
    '03 01 c4 01 09 08 07'
    """
    return to_varints(np.diff(places, prepend=0)) + levels.astype(np.uint8).tobytes()
