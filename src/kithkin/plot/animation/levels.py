"""Meaning of the pixels of a frame, and values as levels of colour."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array

LEVELS = 224  # colours of values or groups: 1..224; 0 is the background
MISSING = LEVELS + 1
INK = LEVELS + 2  # the first of the shades from background to ink
SHADES = 29
SAME = 255  # in a file: as in the frame before


def value_levels(values: Array, low: float, high: float) -> Array:
    """Map values to levels 0..223 of a fixed scale; 225 where missing."""
    known = np.isfinite(values)
    share = (np.where(known, values, low) - low) / (high - low)
    return np.where(known, np.rint(np.clip(share, 0, 1) * (LEVELS - 1)), MISSING).astype(np.uint8)


def frame_levels(values: Array) -> Array:
    """Map values to levels 0..223 of the scale of their own frame, from the smallest to the largest; 225 where missing.

    >>> frame_levels(np.array([2.0, 4.0, np.nan, 3.0])).tolist()
    [0, 223, 225, 112]
    """
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return value_levels(values, low, high if high > low else low + 1)


def rank_levels(values: Array) -> Array:
    """Map values to levels 0..223 by rank; 225 where missing.

    The rank is the number of smaller values, over that of the largest value.
    Equal values have equal levels: all that a diffusion has not reached yet stays at 0.
    """
    known = np.isfinite(values)
    ordered = np.sort(values if known.all() else values[known])
    out = np.full(len(values), MISSING, np.uint8)
    if len(ordered) == 0:
        return out
    top = int(np.searchsorted(ordered, ordered[-1], side="left"))
    if top == 0:
        return np.where(known, np.uint8(0), out)
    # a value has at least level k if at least so many are smaller: the edges alone are looked up, not every rank
    needed = np.ceil((np.arange(1, LEVELS) - 0.5) * (top / (LEVELS - 1))).astype(np.int64)
    edges = ordered[np.maximum(needed, 1) - 1]
    return np.where(known, np.searchsorted(edges, values, side="left").astype(np.uint8), out)
