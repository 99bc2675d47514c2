"""Placement of labels so that none covers another."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from kithkin.core.blocks import Array
from kithkin.plot.look.style import INK, SMALL, text_inches


def title_room(titles: list[str], widths: Array | float) -> tuple[bool, float]:
    """Tell whether some title is too wide to stand level, and measure the inches that all then take in height."""
    sizes = text_inches(titles, SMALL)
    upright = bool((sizes[:, 0] > widths).any())
    return upright, float(sizes[:, 0 if upright else 1].max())


def write_titles(ax: Axes, centers: Array, height: float, titles: list[str], upright: bool) -> None:
    """Write titles above axes, at a height in units of theirs."""
    for center, title in zip(centers, titles, strict=True):
        ax.text(center, height, title, rotation=90 if upright else 0, ha="center", va="bottom", fontsize=SMALL,
                color=INK, transform=ax.get_xaxis_transform())  # fmt: skip


def spread(positions: Array, sizes: Array, low: float, high: float) -> Array:
    """Move labels along a line as little as possible (least squares), so that none overlaps the next.

    Centres are ascending, sizes include the gap. What does not fit between `low` and `high` starts at `low` and goes
    beyond `high`.

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
    """Compute the overlap of each pair of k x 2 boxes in x and y, k x k x 2; a pair overlaps if both are positive."""
    reach = (sizes[:, None] + sizes[None]) / 2
    out: Array = reach - np.abs(centers[:, None] - centers[None])
    out[np.arange(len(out)), np.arange(len(out))] = 0
    return out


def repel(anchors: Array, sizes: Array, low: Array, high: Array, n_rounds: int = 600) -> tuple[Array, bool]:
    """Push k x 2 boxes apart until none overlaps, staying near their anchors and inside a frame.

    Returned are the centres, and whether no two boxes overlap.
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
