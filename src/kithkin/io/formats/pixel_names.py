"""Names of images and of their pixels: each image is a row, each of its pixels a column."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array

AXES = ("row", "column", "channel")
CHANNELS = 4  # red, green, blue and alpha at most: a longer last axis is not taken for channels
PIXEL = re.compile(r"(?:(?:pixel|pix|px)[ _.-]?(\d+)(?:[ _x.,-](\d+))?|(\d+)x(\d+))", re.IGNORECASE)
SHORTEST_SIDE = 8  # of an image whose pixels are told by their names


def numbered(length: int, prefix: str = "") -> pd.DataFrame:
    """Give a table without columns whose rows are named by their number."""
    return pd.DataFrame(index=pd.Index([f"{prefix}{k}" for k in range(length)], dtype=object))


def pixel_table(shape: Sequence[int]) -> pd.DataFrame:
    """Name the pixels of an image in their stored order, with the row and column of each.

    `shape` of one image is rows x columns, or rows x columns x channels with at most four channels; the numbers of any
    other shape are only numbered. Returns one row per pixel, named such as pixel_0_27, with the columns row and column
    (and channel), from 0, row 0 at the top.
    """
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] <= CHANNELS)
    if not is_image:
        return numbered(int(np.prod(shape, dtype=np.int64)))
    places = np.indices(shape).reshape(len(shape), -1)
    names = ["pixel_" + "_".join(map(str, place)) for place in places.T.tolist()]
    return pd.DataFrame(dict(zip(AXES, places, strict=False)), index=pd.Index(names, dtype=object))


def pixel_columns(names: Sequence[str]) -> Array | None:
    """Tell which columns are named like the pixels of a square image; None unless nearly all of them are.

    Examples
    --------
    >>> mask = pixel_columns(["label", *(f"pixel{k}" for k in range(64))])
    >>> None if mask is None else (mask[:2].tolist(), int(mask.sum()))
    ([False, True], 64)
    """
    mask: Array = np.array([PIXEL.fullmatch(name) is not None for name in names], bool)
    side = math.isqrt(int(mask.sum()))
    square = side * side == mask.sum() and side >= SHORTEST_SIDE and 10 * mask.sum() >= 9 * len(mask)
    return (
        mask
        if square and pixel_places([name for name, is_pixel in zip(names, mask, strict=True) if is_pixel])
        else None
    )


def pixel_places(names: Sequence[str]) -> tuple[Array, Array] | None:
    """Read the row and the column of each pixel of a square image from its name; None if the names are no such ones.

    Examples
    --------
    >>> places = pixel_places(["1x1", "1x2", "2x1", "2x2"])
    >>> None if places is None else [place.tolist() for place in places]
    [[0, 0, 1, 1], [0, 1, 0, 1]]
    """
    found = [PIXEL.fullmatch(name) for name in names]
    side = math.isqrt(len(names))
    if side * side != len(names):
        return None
    numbers = [[int(part) for part in match.groups() if part is not None] for match in found if match is not None]
    if len(numbers) < len(names) or len({len(one) for one in numbers}) != 1:
        return None
    places: Array = np.array(numbers, np.int64)
    places -= places.min(axis=0)
    if places.shape[1] == 1:
        places = np.stack(np.divmod(places[:, 0], side), axis=1)
    whole = places.max() < side and len(np.unique(places, axis=0)) == len(names)
    return (places[:, 0], places[:, 1]) if whole else None
