"""Limits of a map: where its points are, without single ones far away."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array

CELLS = 20  # along the bulk of the points, to see where there are more than strays
CROWD = 2e-4  # of all points, and 2 at least, that a cell holds where there are more than strays
GAIN = 1.5  # times that all points are farther apart than those shown, from which on strays are cut off


def limits_of(points: Array) -> tuple[Array, Array, int]:
    """Find the lower and upper corner of a square around points (n x 2), and how many finite points lie outside.

    All points lie inside, unless single ones lie so far away that the others would shrink to specks.
    """
    finite = points[np.isfinite(points).all(axis=1)]
    if len(finite) == 0:
        return np.zeros(2), np.ones(2), 0
    low, high = finite.min(axis=0), finite.max(axis=0)
    lower, upper = np.quantile(finite, (0.01, 0.99), axis=0)
    cell = float((upper - lower).max()) / CELLS
    if cell > 0:
        at = np.clip((finite - lower) / cell, -1e6, 1e6).astype(np.int64) + 2_000_000
        _, which, counts = np.unique(at[:, 0] * 4_000_001 + at[:, 1], return_inverse=True, return_counts=True)
        crowded = finite[counts[which] >= max(2.0, CROWD * len(finite))]
        if len(crowded):
            near, far = crowded.min(axis=0) - 2 * cell, crowded.max(axis=0) + 2 * cell
            near, far = np.maximum(near, low), np.minimum(far, high)
            if float((high - low).max()) > GAIN * float((far - near).max()):
                low, high = near, far
    middle, half = (low + high) / 2, 0.54 * float((high - low).max()) or 1.0
    low, high = middle - half, middle + half
    return low, high, int(((finite < low) | (finite > high)).any(axis=1).sum())
