"""Placement of labels so that none covers another."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from kithkin.core.blocks import Array


def spread(positions: Array, sizes: Array, low: float, high: float) -> Array:
    """Move labels along a line as little as possible (least squares), so that none overlaps the next.

    Parameters
    ----------
    positions
        Wanted centres, k, ascending.
    sizes
        Extents along the line, k, gap included.
    low, high
        Ends of the line. If the labels do not fit between them, they start at `low` and go beyond `high`.

    Returns
    -------
    k centres.

    Examples
    --------
    >>> spread(np.array([5.0, 5.0, 20.0]), np.array([2.0, 2.0, 2.0]), 0, 30).tolist()
    [4.0, 6.0, 20.0]
    """
    if len(positions) == 0:
        return np.zeros(0)
    gaps = np.concatenate([[0.0], np.cumsum((sizes[1:] + sizes[:-1]) / 2)])
    free = np.asarray(isotonic_regression(np.asarray(positions, float) - gaps).x)
    first = low + sizes[0] / 2
    last = max(first, high - sizes[-1] / 2 - gaps[-1])
    out: Array = np.clip(free, first, last) + gaps
    return out


def overlaps(centers: Array, sizes: Array) -> Array:
    """Compute the overlap of each pair of boxes in x and y; a pair overlaps where both are positive.

    Parameters
    ----------
    centers, sizes
        k x 2, in the same unit.

    Returns
    -------
    k x k x 2; the diagonal is zero.

    Examples
    --------
    >>> overlaps(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[2.0, 1.0], [2.0, 1.0]]))[0, 1].tolist()
    [1.0, 1.0]
    """
    reach = (sizes[:, None] + sizes[None]) / 2
    out: Array = reach - np.abs(centers[:, None] - centers[None])
    out[np.arange(len(out)), np.arange(len(out))] = 0
    return out


def repel(anchors: Array, sizes: Array, low: Array, high: Array, n_rounds: int = 600) -> tuple[Array, bool]:
    """Push boxes apart until none overlaps, staying near their anchors and inside a frame.

    Parameters
    ----------
    anchors
        Wanted centres, k x 2.
    sizes
        k x 2 width and height of each box, gap included.
    low, high
        Corners of the frame.
    n_rounds
        Largest number of rounds of pushing.

    Returns
    -------
    The k x 2 centres, and whether no two boxes overlap.

    Examples
    --------
    >>> box = np.full((2, 2), 10.0)
    >>> centers, clear = repel(np.array([[50.0, 50.0], [51.0, 50.0]]), box, np.zeros(2), np.full(2, 100.0))
    >>> clear, bool(abs(centers[0] - centers[1]).max() >= 10)
    (True, True)
    """
    low, high = low + sizes / 2, np.maximum(low + sizes / 2, high - sizes / 2)
    # equal anchors need some direction in which to part
    turn = 2.4 * np.arange(len(anchors))[:, None]
    centers = np.clip(anchors + 0.01 * sizes * np.hstack([np.cos(turn), np.sin(turn)]), low, high)
    for i in range(n_rounds):
        over = overlaps(centers, sizes)
        hit = np.all(over > 1e-6, axis=2)
        if i < n_rounds // 2:
            centers = centers + (0.05 * (1 - 2 * i / n_rounds)) * (anchors - centers) * ~hit.any(axis=1)[:, None]
        elif not hit.any():
            return centers, True
        axis = over.argmin(axis=2)
        sign = np.where(centers[:, None] >= centers[None], 1.0, -1.0)
        push = np.zeros_like(centers)
        # a little too far: halving an overlap again and again never ends
        step = 0.55 * over + 0.03 * sizes.mean(axis=0)
        for dim in (0, 1):
            push[:, dim] = (step[:, :, dim] * sign[:, :, dim] * (hit & (axis == dim))).sum(axis=1)
        centers = np.clip(centers + np.clip(push, -sizes, sizes), low, high)
    return centers, not np.all(overlaps(centers, sizes) > 1e-6, axis=2).any()
