"""One panel of a scatter plot: its points or pixels, its legend, the names of its groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, is_color_like, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.data import Groups, Numbers, value_range
from kithkin.plot.look.labels import repel
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.palette import MISSING, colormap, group_colors, to_oklab
from kithkin.plot.look.style import (
    DARK_MISSING,
    DPI,
    INK,
    LIGHT_INK,
    SMALL,
    TEXT,
    color_bar,
    dot_legend,
    inches,
    shorten,
)
from kithkin.plot.points.raster import image_of_groups, image_of_values, pixels
from kithkin.plot.points.shade import USUAL, shade_groups, shade_values

MANY = 200_000  # from this many points on, pixels are coloured instead of drawing points one above the other
CELLS = 150  # along a panel, to see where it is empty
SIDE = USUAL / DPI  # inches of a panel
ZERO, PALER, DARK_ZERO = "#D3D3D3", "#EFEFEF", "#303030"  # of zeros, and of missing values beside them
LEADER = 0.04  # inches from a name to the middle of its group, from which on a line leads there
LED = "leader"


@dataclass(frozen=True)
class Points:
    """Points and settings that all panels of a figure share."""

    at: Array  # n x 2 coordinates
    order: Array  # in which the points are drawn
    area: float  # of a point, in square points
    legend: str  # as in scatter(), like the palette, the groups and what follows
    palette: Any
    groups: list[str] | None
    cmap: Any
    clip: tuple[float, float]
    ends: tuple[float | str | None, float | str | None]  # vmin and vmax
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


def draw_panel(ax: Axes, points: Points, what: Numbers | Groups | None, title: str | None) -> float:
    """Draw one panel and return the inches that its legend takes to the right."""
    heading = title if title is not None else "" if what is None else what.title
    ax.set_title(heading, fontsize=TEXT + 1, color=INK, loc="left", pad=5)
    if what is None:
        shades = group_colors(["all"], points.palette or ["#4C6A92"])
        everything = Groups("", np.zeros(len(points.at), dtype=np.int64), ["all"], shades)
        return _draw_groups(ax, replace(points, legend="none", groups=None), everything)
    return _draw_groups(ax, points, what) if isinstance(what, Groups) else _draw_values(ax, points, what)


def _draw_values(ax: Axes, points: Points, what: Numbers) -> float:
    """Draw values: missing ones first, then zeros in grey, then all others in random order."""
    values = np.where(np.isfinite(what.values), what.values, np.nan)
    seen, means, alpha = values, None, None
    if n_pixels := points.in_pixels:
        pixel = pixels(points.at, *_corners(ax), n_pixels)
        means, alpha = (shade_values if points.shade else image_of_values)(pixel, values, n_pixels)
        if points.shade:  # means vary less than points: the colours are for what is seen
            seen = np.where(pixel >= 0, means.ravel()[pixel], np.nan)
    known = seen[np.isfinite(seen)]
    low, high = value_range(known, points.clip)
    low, high = (_end(end, known, usual) for end, usual in zip(points.ends, (low, high), strict=True))
    check(low <= high, f"vmin must be at most vmax, got {low:.4g} and {high:.4g}")
    half = 0.5 if low == high else 0.0  # one value only: the middle of the scale
    scale = ScalarMappable(Normalize(low - half, high + half), colormap(points.cmap))
    cmap = scale.get_cmap()
    # where nothing is below zero, zero is "none", unless the user has chosen what it looks like
    grey = points.cmap is None and len(known) > 0 and known.min() == 0 and low < high
    zero, missing = (DARK_ZERO if points.dark else ZERO), (PALER if grey and not points.dark else points.missing)
    cmap.set_bad(missing)

    def paint(some: Array) -> Array:
        colors: Array = scale.to_rgba(np.ma.masked_invalid(np.clip(some, low, high)))
        if grey:
            colors[some == 0] = to_rgba(zero)
        return colors

    if means is not None:
        image = paint(means)
        image[..., 3] = alpha
        _show(ax, image)
    else:
        some = values[points.order]
        rank = np.isfinite(some).astype(np.int8) + (np.isfinite(some) & (some != 0))
        under_first = points.order[np.argsort(rank, kind="stable")]
        _dots(ax, points.at[under_first], points.area, color=paint(values[under_first]))
    if points.legend == "none" or not np.isfinite(values).any():
        return 0.0
    below, above = bool(grey or (known < low).any()), bool((known > high).any())
    if grey:
        cmap.set_under(zero)
    bar_ax = ax.inset_axes((1.03, 0.2, 0.035, 0.6))
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    bar = color_bar(scale, bar_ax, rim=False, extend=extend, extendfrac=0.04)
    if low == high:
        bar.set_ticks([low])
    bar.set_label(what.unit, fontsize=SMALL, color=INK)
    box = bar_ax.get_tightbbox()
    return 0.03 * points.side if box is None else float(box.x1 - ax.get_window_extent().x1) / ax.figure.dpi


def _end(end: float | str | None, known: Array, usual: float) -> float:
    """Read an end of the scale: a number, or a percentile such as "p99"."""
    if not isinstance(end, str):
        return usual if end is None else float(end)
    return float(np.percentile(known, float(end[1:]))) if len(known) else usual


def _draw_groups(ax: Axes, points: Points, what: Groups) -> float:
    """Draw groups; where only some are wanted, all others are grey and lie below."""
    colors = np.vstack([own_colors(what, dark=points.dark), group_colors([""], [points.missing])])
    rest = "missing"
    if points.groups is not None:
        wanted = np.isin(what.names, points.groups)
        what, rest = replace(what, codes=np.where(np.append(wanted, False)[what.codes], what.codes, -1)), "other"
    if n_pixels := points.in_pixels:
        draw = shade_groups if points.shade else image_of_groups
        _show(ax, draw(pixels(points.at, *_corners(ax), n_pixels), what.codes, colors, n_pixels))
    else:
        under_first = points.order[np.argsort(what.codes[points.order] >= 0, kind="stable")]
        _dots(ax, points.at[under_first], points.area, color=colors[what.codes[under_first]])
    sizes = what.sizes()
    present = np.flatnonzero(sizes)
    if points.legend == "on data":
        _name_groups(ax, points.at, what, present)
    if points.legend != "right":
        return 0.0
    names, shades = [f"{shorten(what.names[i], 38)} ({sizes[i]:,})" for i in present], [colors[i] for i in present]
    if n_rest := int((what.codes < 0).sum()):
        names, shades = [*names, f"{rest} ({n_rest:,})"], [*shades, colors[-1]]
    return inches(dot_legend(ax, names, shades, height=points.side))[0] + 0.02 * points.side


def _corners(ax: Axes) -> tuple[Array, Array]:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return np.array([left, bottom]), np.array([right, top])


def _show(ax: Axes, image: Array) -> None:
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ax.imshow(image, extent=(left, right, bottom, top), origin="lower", interpolation="nearest", aspect="auto")


def _dots(ax: Axes, points: Array, area: float, color: Array) -> None:
    ax.scatter(points[:, 0], points[:, 1], s=area, c=color, linewidths=0, rasterized=len(points) > 5000)


def _name_groups(ax: Axes, points: Array, what: Groups, present: Array) -> None:
    """Write each name at the median of its group, moved where names would overlap, in a smaller font if need be.

    A line leads from each name that does not stand on that point to it.
    """
    codes = np.where(np.isfinite(points).all(axis=1), what.codes, -1)
    cell = pixels(points, *_corners(ax), CELLS)
    codes[cell < 0] = -1  # outside of the limits
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], [present, present + 1])
    seen = edges[1] > edges[0]
    anchors, samples = np.zeros((seen.sum(), 2)), []
    for i, (first, last) in enumerate(edges.T[seen]):
        members = points[order[first:last]]
        anchors[i] = middle_of(members)
        samples.append(members[:: 1 + len(members) // 500])
    names = [shorten(what.names[i], 30) for i in present[seen]]
    frame, dpi = ax.get_window_extent(), ax.figure.dpi
    low, high = np.array([frame.x0, frame.y0]), np.array([frame.x1, frame.y1])
    scale = (high - low) / np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1)
    corner = np.array([ax.get_xlim()[0], ax.get_ylim()[0]])
    at, samples = low + (anchors - corner) * scale, [low + (some - corner) * scale for some in samples]
    crowd = np.bincount(cell[cell >= 0], minlength=CELLS * CELLS).reshape(CELLS, CELLS)
    # a pale box, not a halo: letters with path effects are outlines in PDF and SVG
    box_style = {"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.6, "linewidth": 0}
    texts = [ax.text(0, 0, name, ha="center", va="center", color=INK, bbox=box_style, zorder=6) for name in names]
    centers, boxes = at, np.zeros((0, 2))
    for font in (TEXT, 8.0, 7.0, 6.0, 5.0, 4.0):
        for text in texts:
            text.set_fontsize(font)
        boxes = np.array([inches(text) for text in texts]).reshape(-1, 2) * dpi
        placed = zip(at, samples, boxes, strict=True)
        beside = [_beside(middle - low, some - low, box, frame.width, crowd) for middle, some, box in placed]
        wanted = low + np.reshape(beside, (-1, 2))
        centers, clear = repel(wanted, boxes + 3, low, high)
        near = len(at) == 0 or np.abs(centers - at).max() < 0.12 * (high - low).max()
        if clear and (near or font <= 6.0):  # smaller rather than far from the group, but not too small to read
            break
    for text, center, box, anchor in zip(texts, centers, boxes, at, strict=True):
        text.set(position=(center - low) / (high - low), transform=ax.transAxes)
        off = np.clip(anchor, center - box / 2, center + box / 2)  # the spot of the box that is nearest
        if np.linalg.norm(anchor - off) > LEADER * dpi:
            (x0, x1), (y0, y1) = ((np.array([off, anchor]) - low) / (high - low)).T
            line = Line2D([x0, x1], [y0, y1], transform=ax.transAxes, color=INK, linewidth=0.6, zorder=5,
                          marker="o", markersize=2.2, markevery=[1], label=LED)  # fmt: skip
            ax.add_line(line)


def middle_of(members: Array) -> Array:
    """Find the point of a group where its name belongs: nearest to the median, inside the group also where it is bent.

    Where the group has parts and the median lies between them, it is the median of the largest part.
    """
    middle = np.median(members, axis=0)
    for _ in range(4):  # the median of the half that is nearest, again and again, ends in the densest part
        distance = ((members - middle) ** 2).sum(axis=1)
        near = members[distance <= np.quantile(distance, 0.5)]
        middle = np.median(near, axis=0)
    out: Array = members[np.argmin(((members - middle) ** 2).sum(axis=1))]
    return out


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


def recolor(figure: Artist, background: Any) -> None:
    """Give a finished figure, or axes of one, another background, with ink that can be read on it."""
    ink = LIGHT_INK if is_dark(background) else INK
    if isinstance(figure, Figure):
        figure.set_facecolor(background)
    for ax in figure.findobj(Axes):
        ax.set_facecolor(background)
    for text in figure.findobj(Text):
        text.set_color(ink)
        if patch := text.get_bbox_patch():
            patch.set_facecolor(background)
    for line in figure.findobj(Line2D):
        if line.get_label() == LED:
            line.set_color(ink)
