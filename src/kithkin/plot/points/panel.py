"""One panel of a scatter plot: its points or pixels, its legend, the names of its groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, is_color_like, to_rgba
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.data import Groups, Numbers, value_range
from kithkin.plot.look.labels import repel
from kithkin.plot.look.palette import MISSING, SEQUENTIAL, categorical, group_colors, to_oklab
from kithkin.plot.look.style import DARK_MISSING, DPI, INK, LIGHT_INK, SMALL, TEXT, Picture, dot_legend, shorten
from kithkin.plot.points.raster import image_of_groups, image_of_values, pixels
from kithkin.plot.points.shade import USUAL, shade_groups, shade_values

MANY = 200_000  # from this many points on, pixels are coloured instead of drawing points one above the other
CELLS = 150  # along a panel, to see where it is empty
SIDE = USUAL / DPI  # inches of a panel


@dataclass(frozen=True)
class Points:
    """Points and settings that all panels of a figure share."""

    at: Array  # n x 2 coordinates
    order: Array  # in which the points are drawn
    area: float  # of a point, in square points
    legend: str  # as in scatter(), like the palette and clip
    palette: Any
    clip: tuple[float, float]
    shade: int | None = None  # pixels along a side of which each mixes the colours of its points; None: no shading
    side: float = SIDE  # of the panel, in inches
    dark: bool = False  # whether the background is

    @property
    def missing(self) -> str:
        """Colour of points without a value: close to the background."""
        return DARK_MISSING if self.dark else MISSING

    @property
    def in_pixels(self) -> int | None:
        """Pixels per side where points are drawn as pixels, None where they are dots."""
        return self.shade or (round(self.side * DPI) if len(self.at) >= MANY else None)


def draw_panel(figure: Picture, ax: Axes, points: Points, what: Numbers | Groups | None) -> float:
    """Draw one panel and return the inches that its legend takes to the right."""
    if what is None:
        what, colors = Groups("", np.zeros(len(points.at), dtype=np.int64), ["all"]), points.palette or ["#4C6A92"]
        return _draw_groups(figure, ax, replace(points, legend="none", palette=colors), what)
    ax.set_title(what.title, fontsize=TEXT + 1, color=INK, loc="left", pad=5)
    if isinstance(what, Groups):
        return _draw_groups(figure, ax, points, what)
    values = np.where(np.isfinite(what.values), what.values, np.nan)
    seen, means, alpha = values, None, None
    if n_pixels := points.in_pixels:
        pixel = pixels(points.at, *_corners(ax), n_pixels)
        means, alpha = (shade_values if points.shade else image_of_values)(pixel, values, n_pixels)
        if points.shade:  # means vary less than points: the colours are for what is seen
            seen = np.where(pixel >= 0, means.ravel()[pixel], np.nan)
    known = seen[np.isfinite(seen)]
    low, high = value_range(known, points.clip)
    below, above = bool((known < low).any()), bool((known > high).any())
    half = 0.5 if low == high else 0.0  # one value only: the middle of the scale
    scale = ScalarMappable(Normalize(low - half, high + half), SEQUENTIAL)
    scale.get_cmap().set_bad(points.missing)
    if means is not None:
        image = scale.to_rgba(np.ma.masked_invalid(means))
        image[..., 3] = alpha
        _show(ax, image)
    else:
        under_first = points.order[np.argsort(np.isfinite(values[points.order]), kind="stable")]
        _dots(ax, points.at[under_first], points.area, color=scale.to_rgba(np.ma.masked_invalid(values[under_first])))
    if points.legend == "none" or not np.isfinite(values).any():
        return 0.0
    bar_ax = ax.inset_axes((1.03, 0.2, 0.035, 0.6))
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    bar = figure.color_bar(scale, bar_ax, rim=False, extend=extend, extendfrac=0.04)
    if low == high:
        bar.set_ticks([low])
    bar.set_label(what.unit, fontsize=SMALL, color=INK)
    box = bar_ax.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    return 0.03 * points.side if box is None else float(box.x1 - ax.get_window_extent().x1) / figure.dpi


def _draw_groups(figure: Picture, ax: Axes, points: Points, what: Groups) -> float:
    palette = points.palette
    if palette is None and points.dark:  # the colours of few groups end with black
        palette = categorical(max(9, len(what.names)))
    colors = np.vstack([group_colors(what.names, palette), group_colors([""], [points.missing])])
    if n_pixels := points.in_pixels:
        draw = shade_groups if points.shade else image_of_groups
        _show(ax, draw(pixels(points.at, *_corners(ax), n_pixels), what.codes, colors, n_pixels))
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
    return figure.inches(dot_legend(ax, names, shades, height=points.side))[0] + 0.02 * points.side


def _corners(ax: Axes) -> tuple[Array, Array]:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return np.array([left, bottom]), np.array([right, top])


def _show(ax: Axes, image: Array) -> None:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ax.imshow(image, extent=(left, right, bottom, top), origin="lower", interpolation="nearest", aspect="auto")


def _dots(ax: Axes, points: Array, area: float, color: Array) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=area, c=color, linewidths=0, rasterized=len(points) > 5000)


def _name_groups(figure: Picture, ax: Axes, points: Array, what: Groups, present: Array) -> None:
    """Write each name at the median of its group, moved where names would overlap, in a smaller font if need be."""
    codes = np.where(np.isfinite(points).all(axis=1), what.codes, -1)
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], [present, present + 1])
    seen = edges[1] > edges[0]
    anchors, samples = np.zeros((seen.sum(), 2)), []
    for i, (first, last) in enumerate(edges.T[seen]):
        members = points[order[first:last]]
        # the point nearest to the median: inside the group also where that is bent
        anchors[i] = members[np.argmin(((members - np.median(members, axis=0)) ** 2).sum(axis=1))]
        samples.append(members[:: 1 + len(members) // 500])
    names = [shorten(what.names[i], 30) for i in present[seen]]
    frame = ax.get_window_extent()
    low, high = np.array([frame.x0, frame.y0]), np.array([frame.x1, frame.y1])
    scale = (high - low) / np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1)
    corner = np.array([ax.get_xlim()[0], ax.get_ylim()[0]])
    at, samples = low + (anchors - corner) * scale, [low + (some - corner) * scale for some in samples]
    cell = pixels(points, *_corners(ax), CELLS)
    crowd = np.bincount(cell[cell >= 0], minlength=CELLS * CELLS).reshape(CELLS, CELLS)
    halo = [_halo("white")]
    texts = [ax.text(0, 0, name, ha="center", va="center", color=INK, path_effects=halo, zorder=5) for name in names]
    centers = at
    for font in (TEXT, 8.0, 7.0, 6.0, 5.0, 4.0):
        for text in texts:
            text.set_fontsize(font)
        boxes = np.array([figure.inches(text) for text in texts]).reshape(-1, 2) * figure.dpi
        placed = zip(at, samples, boxes, strict=True)
        beside = [_beside(middle - low, some - low, box, frame.width, crowd) for middle, some, box in placed]
        wanted = low + np.reshape(beside, (-1, 2))
        centers, clear = repel(wanted, boxes + 3, low, high)
        near = len(at) == 0 or np.abs(centers - at).max() < 0.12 * (high - low).max()
        if clear and (near or font <= 6.0):  # smaller rather than far from the group, but not too small to read
            break
    moved = np.linalg.norm((centers - wanted) / np.maximum(boxes, 1), axis=1) > 0.75 if len(at) else []
    fractions = (centers - low) / (high - low)
    for text, position, anchor, far in zip(texts, fractions, anchors, moved, strict=True):
        text.set(position=position, transform=ax.transAxes)
        if far:
            ax.annotate("", anchor, position, xycoords="data", textcoords="axes fraction", zorder=4,
                        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.5})  # fmt: skip


def _beside(middle: Array, members: Array, box: Array, side: float, crowd: Array) -> Array:
    """Place a name in the middle of its group, or on the emptiest side if it would hide most of the group."""
    if (np.abs(members - middle) <= box / 2).all(axis=1).mean() <= 0.5:
        return middle
    (left, bottom), (right, top) = np.quantile(members, 0.03, axis=0), np.quantile(members, 0.97, axis=0)
    (x, y), (dx, dy) = middle, 0.6 * box
    sides = np.array([(x, top + dy), (x, bottom - dy), (right + dx, y), (left - dx, y)])
    first = np.clip((sides - box / 2) * CELLS / side, 0, CELLS).astype(int)
    last = np.clip(np.ceil((sides + box / 2) * CELLS / side), 0, CELLS).astype(int)
    covered = [crowd[a[1] : b[1], a[0] : b[0]].sum() for a, b in zip(first, last, strict=True)]
    few = 2 + 1e-5 * crowd.sum()  # stray points do not count
    out: Array = sides[int(np.argmin(np.maximum(covered, few)))]
    return out


def is_dark(background: Any) -> bool:
    """Tell whether letters on a background must be light; a transparent one counts as lying on white.

    Raises
    ------
    ParameterError
        If it is not a colour.
    """
    check(is_color_like(background), f"background must be a colour, got {background!r}")
    *rgb, alpha = to_rgba(background)
    return bool(to_oklab(np.array([rgb]) * alpha + 1 - alpha)[0, 0] < 0.6)


def recolor(figure: Picture, background: Any) -> None:
    """Give a finished figure another background, with ink that can be read on it."""
    ink = LIGHT_INK if is_dark(background) else INK
    figure.set_facecolor(background)
    for ax in figure.findobj(Axes):
        ax.set_facecolor(background)
    for text in figure.findobj(Text):
        text.set_color(ink)
        if text.get_path_effects():
            text.set_path_effects([_halo(background)])
    for arrow in figure.findobj(FancyArrowPatch):
        arrow.set_color(ink)


def _halo(color: Any) -> withStroke:
    return withStroke(linewidth=2.2, foreground=color, alpha=0.9)
