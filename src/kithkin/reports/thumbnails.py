"""Small pictures of the observations for a page: of cells cut out of an image, or of rows that are images."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.dataset import Dataset
from kithkin.core.errors import KithkinError
from kithkin.plot.images.mean_image import pixel_positions
from kithkin.reports.encoding import BlockWriter

MOST_BYTES = 9_000_000  # of all pictures before compression
LARGEST = 48  # pixels of a side
PER_BLOCK = 256
CHANNELS = 3
CLIP = (1.0, 99.7)  # percentiles that are black and full light
FOUR = 4  # dimensions of thumbnails: cells x channels x rows x columns
LIGHTS = np.array([[47, 107, 255], [255, 79, 195], [255, 210, 63]]) / 255  # blue, pink and yellow add up on black


def write_thumbnails(ds: Dataset, order: Array, blocks: BlockWriter) -> dict[str, Any] | None:
    """Write the pictures of the first points, as many as fit, and describe them; None where rows have no pictures."""
    source = source_of(ds)
    if source is None:
        return None
    on, shape = source
    height, width = shape[-2:]
    step = -(-max(height, width) // LARGEST)
    tall, wide = max(1, height // step), max(1, width // step)
    n = min(len(order), MOST_BYTES // (tall * wide * CHANNELS))
    rows = np.sort(order[:n])
    parts = [rows[start : start + PER_BLOCK] for start in range(0, n, PER_BLOCK)]
    pixels = pixel_positions(ds, "X", None)[0] if on == "X" else None
    pictures = np.concatenate([shrunk(read_pictures(ds, on, part, shape, pixels), step) for part in parts])
    colored = to_colors(pictures)
    place = np.argsort(np.argsort(order[:n]))  # from places on the page to rows
    colored = colored[place]
    names = [blocks.add(colored[start : start + PER_BLOCK]) for start in range(0, n, PER_BLOCK)]
    return {"height": tall, "width": wide, "per_block": PER_BLOCK, "n": n, "blocks": names}


def shrunk(pictures: Array, step: int) -> Array:
    """Average squares of step x step pixels; what is left over at the lower and right edge is cut off.

    Examples
    --------
    >>> shrunk(np.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    if step == 1:
        return pictures
    *front, height, width = pictures.shape
    down, across = min(step, height), min(step, width)  # of a strip narrower than a square
    tall, wide = height // down, width // across
    cut = pictures[..., : tall * down, : wide * across]
    out: Array = cut.reshape(*front, tall, down, wide, across).mean(axis=(-3, -1), dtype=np.float32)
    return out


def source_of(ds: Dataset) -> tuple[str, tuple[int, ...]] | None:
    """Find the table of the pictures, and their shape: channels x rows x columns."""
    if "obsm/thumbnails" in ds and len(ds.blocks("obsm/thumbnails").shape) == FOUR:
        return "obsm/thumbnails", tuple(ds.blocks("obsm/thumbnails").shape[1:])
    if {"row", "column"} <= set(ds.var.columns) and "X" in ds:
        try:
            _, size = pixel_positions(ds, "X", None)
        except KithkinError:  # rows and columns of something else than pixels
            return None
        height, width, channels = (*size, 1)[:3]
        return "X", (channels, height, width)
    return None


def read_pictures(ds: Dataset, on: str, rows: Array, shape: tuple[int, ...], pixels: Array | None) -> Array:
    """Read pictures as n x channels x rows x columns, float32.

    Parameters
    ----------
    on
        Table of the pictures.
    rows
        Rows to read.
    shape
        Channels x rows x columns of a picture.
    pixels
        Place of each column of a table in the flattened picture, channels last; None where `on` holds pictures.
    """
    found = ds.rows(rows, on)
    values = found.to_dense() if isinstance(found, SparseRows) else np.asarray(found)
    if pixels is None:
        return values.astype(np.float32)[:, :CHANNELS]
    channels, height, width = shape
    whole = np.zeros((len(rows), height * width * channels), np.float32)
    whole[:, pixels] = np.nan_to_num(values)
    return np.moveaxis(whole.reshape(len(rows), height, width, channels), 3, 1)[:, :CHANNELS]


def to_colors(pictures: Array) -> Array:
    """Bring n x channels x rows x columns to n x rows x columns x 3 bytes: one channel is grey, several are lights."""
    n, channels = pictures.shape[:2]
    out = np.zeros((n, *pictures.shape[2:], 3), np.float32)
    for k in range(channels):
        values = pictures[:, k]
        low, high = np.percentile(values, CLIP) if values.size else (0.0, 1.0)
        if high <= low:
            low, high = float(values.min(initial=0)), float(values.max(initial=1))
        light = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
        out += light[..., None] * (LIGHTS[k] if channels > 1 else np.ones(3))
    return (np.clip(out, 0, 1) * 255).astype(np.uint8)
