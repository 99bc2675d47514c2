"""Windows of cells in an image: where they begin, and the part of them that lies inside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kithkin.core.blocks import Array

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

THUMBNAILS, CENTRES, IMAGES = "obsm/thumbnails", "obsm/spatial", "uns/spatial"  # as read_image writes them


def window_starts(centres: Array, size: int) -> Array:
    """Compute the first row or column of the window of a size about each centre: truncated, less half the size."""
    return np.trunc(centres).astype(np.int64) - size // 2


def inside_image(ds: Dataset, on: str = THUMBNAILS) -> Array | None:
    """Find the rows and columns of each thumbnail that are not padding.

    First and past-the-last row, first and past-the-last column, n x 4; None where the dataset does not tell the sizes
    of its images.
    """
    if on != THUMBNAILS or CENTRES not in ds or IMAGES not in ds:
        return None
    shape: tuple[int, ...] = ds.blocks(on).shape
    height, width = shape[-2], shape[-1]
    sizes = {str(name): image.get("metadata", {}) for name, image in ds.read(IMAGES).items()}
    if "obs/region" in ds:
        column = ds.read("obs/region").astype("category")
        names, codes = [str(name) for name in column.cat.categories], column.cat.codes.to_numpy()
    else:
        names, codes = list(sizes)[:1], np.zeros(ds.n_obs, np.int64)
    known = [name for name in names if {"height", "width"} <= set(sizes.get(name, ()))]
    if not known:
        return None
    centres = np.asarray(ds.read(CENTRES), float)
    out = np.tile([0, height, 0, width], (ds.n_obs, 1))
    for name in known:
        rows = np.flatnonzero((codes == names.index(name)) & np.isfinite(centres[:, :2]).all(axis=1))
        for first, axis, side, whole in ((0, 1, height, "height"), (2, 0, width, "width")):
            start = window_starts(centres[rows, axis], side)
            out[rows, first] = np.clip(-start, 0, side)
            out[rows, first + 1] = np.clip(int(sizes[name][whole]) - start, 0, side)
    return out
