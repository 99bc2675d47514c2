"""Names of images and of their pixels: each image is a row, each of its pixels a column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

AXES = ("row", "column", "channel")
CHANNELS = 4  # red, green, blue and alpha at most: a longer last axis is not taken for channels


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
