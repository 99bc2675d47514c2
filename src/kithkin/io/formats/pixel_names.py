"""Names of images and of their pixels: each image is a row, each of its pixels a column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

AXES = ("row", "column", "channel")
CHANNELS = 4  # red, green, blue and alpha at most: a longer last axis is not taken for channels


def numbered(length: int, prefix: str = "") -> pd.DataFrame:
    """Give a table without columns whose rows are named by their number.

    Examples
    --------
    >>> numbered(2, "image").index.tolist()
    ['image0', 'image1']
    """
    return pd.DataFrame(index=pd.Index([f"{prefix}{k}" for k in range(length)], dtype=object))


def pixel_table(shape: Sequence[int]) -> pd.DataFrame:
    """Name the pixels of an image in their stored order, with the row and column of each.

    Parameters
    ----------
    shape
        Shape of one image: rows x columns, or rows x columns x channels with at most four channels. The numbers of any
        other shape are only numbered.

    Returns
    -------
    DataFrame
        One row per pixel, named such as pixel_0_27; columns row and column (and channel), from 0, row 0 at the top.

    Examples
    --------
    >>> pixel_table((2, 2)).to_dict("list"), pixel_table((2, 2)).index[1]
    ({'row': [0, 0, 1, 1], 'column': [0, 1, 0, 1]}, 'pixel_0_1')
    """
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] <= CHANNELS)
    if not is_image:
        return numbered(int(np.prod(shape, dtype=np.int64)))
    places = np.indices(shape).reshape(len(shape), -1)
    names = ["pixel_" + "_".join(map(str, place)) for place in places.T.tolist()]
    return pd.DataFrame(dict(zip(AXES, places, strict=False)), index=pd.Index(names, dtype=object))
