"""One panel of a scatter plot: its points or pixels, its legend, the names of its groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke

from kithkin.core.blocks import Array
from kithkin.plot.data import Groups, Numbers
from kithkin.plot.labels import repel
from kithkin.plot.palette import MISSING, SEQUENTIAL, group_colors
from kithkin.plot.raster import image_of_groups, image_of_values, pixels
from kithkin.plot.style import DPI, FAINT, INK, SMALL, TEXT, Picture, dot_legend, shorten

MANY = 200_000  # from this many points on, pixels are coloured instead of drawing points one above the other
SIDE = 4.2  # inches


@dataclass(frozen=True)
class Points:
    """What all panels of a figure share.

    Attributes
    ----------
    at
        n x 2 coordinates.
    order
        In which the points are drawn.
    area
        Of a point, in square points.
    legend, palette, clip
        As in scatter().
    """

    at: Array
    order: Array
    area: float
    legend: str
    palette: Any
    clip: tuple[float, float]


def draw_panel(figure: Picture, ax: Axes, points: Points, what: Numbers | Groups | None) -> float:
    """Draw one panel and return the inches that its legend takes to the right.

    Examples
    --------
    >>> figure = Picture(SIDE, SIDE)
    >>> points = Points(np.eye(2), np.arange(2), 4.0, "right", None, (1, 99))
    >>> draw_panel(figure, figure.add_axes((0, 0, 1, 1)), points, None)
    0.0
    """
    if what is None:
        what, colors = Groups("", np.zeros(len(points.at), dtype=np.int64), ["all"]), points.palette or ["#4C6A92"]
        return _draw_groups(figure, ax, replace(points, legend="none", palette=colors), what)
    ax.set_title(what.title, fontsize=TEXT + 1, color=INK, loc="left", pad=5)
    return (
        _draw_values(figure, ax, points, what) if isinstance(what, Numbers) else _draw_groups(figure, ax, points, what)
    )


def _draw_groups(figure: Picture, ax: Axes, points: Points, what: Groups) -> float:
    colors = np.vstack([group_colors(what.names, points.palette), group_colors([""], [MISSING])])
    if len(points.at) >= MANY:
        grid = _grid(ax)
        _show(ax, image_of_groups(pixels(points.at, *grid), what.codes, colors, grid[2]))
    else:
        under_first = points.order[np.argsort(what.codes[points.order] >= 0, kind="stable")]
        _dots(ax, points.at[under_first], points.area, color=colors[what.codes[under_first]])
    present = np.flatnonzero(what.sizes())
    if points.legend == "on data":
        _name_groups(figure, ax, points.at, what, present)
    if points.legend != "right":
        return 0.0
    names, shades = [what.names[i] for i in present], [colors[i] for i in present]
    if (what.codes < 0).any():
        names, shades = [*names, "missing"], [*shades, colors[-1]]
    return figure.inches(dot_legend(ax, names, shades, height=SIDE))[0] + 0.02 * SIDE


def _draw_values(figure: Picture, ax: Axes, points: Points, what: Numbers) -> float:
    values = np.where(np.isfinite(what.values), what.values, np.nan)
    low, high, extend = _limits(values, points.clip)
    half = 0.5 if low == high else 0.0  # one value only: the middle of the scale
    scale = ScalarMappable(Normalize(low - half, high + half), SEQUENTIAL)
    scale.get_cmap().set_bad(MISSING)
    if len(points.at) >= MANY:
        grid = _grid(ax)
        mean, alpha = image_of_values(pixels(points.at, *grid), values, grid[2])
        image = scale.to_rgba(np.ma.masked_invalid(mean))
        image[..., 3] = alpha
        _show(ax, image)
    else:
        under_first = points.order[np.argsort(np.isfinite(values[points.order]), kind="stable")]
        _dots(ax, points.at[under_first], points.area, color=scale.to_rgba(np.ma.masked_invalid(values[under_first])))
    if points.legend == "none" or not np.isfinite(values).any():
        return 0.0
    bar_ax = ax.inset_axes((1.03, 0.2, 0.035, 0.6))
    bar = figure.colorbar(scale, cax=bar_ax, extend=extend, extendfrac=0.04)
    bar.outline.set_visible(False)
    bar_ax.tick_params(labelsize=SMALL, length=2, color=FAINT, labelcolor=INK)
    if low == high:
        bar.set_ticks([low])
    bar.set_label(what.unit, fontsize=SMALL, color=INK)
    box = bar_ax.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    return 0.03 * SIDE if box is None else float(box.x1 - ax.get_window_extent().x1) / figure.dpi


def _limits(values: Array, clip: tuple[float, float]) -> tuple[float, float, str]:
    """Choose the ends of the colour scale, and say which of them some values lie beyond."""
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return 0.0, 1.0, "neither"
    low, high = (float(q) for q in np.percentile(known, clip))
    if low == high:  # a gene that fewer cells express than are clipped away
        low, high = float(known.min()), float(known.max())
    below, above = bool(known.min() < low), bool(known.max() > high)
    return low, high, {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def _grid(ax: Axes) -> tuple[Array, Array, int]:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return np.array([left, bottom]), np.array([right, top]), int(SIDE * DPI)


def _show(ax: Axes, image: Array) -> None:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ax.imshow(image, extent=(left, right, bottom, top), origin="lower", interpolation="nearest", aspect="auto")


def _dots(ax: Axes, points: Array, area: float, color: Array) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=area, c=color, linewidths=0, rasterized=len(points) > 5000)


def _name_groups(figure: Picture, ax: Axes, points: Array, what: Groups, present: Array) -> None:
    """Write each name at the median of its group, moved where names would overlap, in a smaller font if need be."""
    usable = np.isfinite(points).all(axis=1)
    anchors = np.array([_middle(points[(what.codes == i) & usable]) for i in present]).reshape(-1, 2)
    known = np.isfinite(anchors).all(axis=1)
    anchors, names = anchors[known], [shorten(what.names[i], 30) for i in present[known]]
    frame = ax.get_window_extent()
    low, high = np.array([frame.x0, frame.y0]), np.array([frame.x1, frame.y1])
    at = low + (anchors - [ax.get_xlim()[0], ax.get_ylim()[0]]) / np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1) * (
        high - low
    )
    white = [withStroke(linewidth=2.2, foreground="white", alpha=0.9)]
    texts = [ax.text(0, 0, name, ha="center", va="center", color=INK, path_effects=white, zorder=5) for name in names]
    centers = at
    for font in (TEXT, 8.0, 7.0, 6.0, 5.0, 4.0):
        for text in texts:
            text.set_fontsize(font)
        boxes = np.array([figure.inches(text) for text in texts]).reshape(-1, 2) * figure.dpi
        centers, clear = repel(at, boxes + 3, low, high)
        near = len(at) == 0 or np.abs(centers - at).max() < 0.12 * (high - low).max()
        if clear and (near or font <= 6.0):  # smaller rather than far from the group, but not too small to read
            break
    moved = np.linalg.norm((centers - at) / np.maximum(boxes, 1), axis=1) > 0.75 if len(at) else []
    share = (centers - low) / (high - low)
    for text, place, anchor, far in zip(texts, share, anchors, moved, strict=True):
        text.set(position=place, transform=ax.transAxes)
        if far:
            ax.annotate("", anchor, place, xycoords="data", textcoords="axes fraction", zorder=4,
                        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.5})  # fmt: skip


def _middle(points: Array) -> Array:
    """Find the point of a group that is nearest to its median: inside the group also where that is bent."""
    if len(points) == 0:
        return np.full(2, np.nan)
    nearest: Array = points[np.argmin(((points - np.median(points, axis=0)) ** 2).sum(axis=1))]
    return nearest
