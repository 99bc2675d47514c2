"""The tissue with its cells, coloured by cluster or by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.ticker import LogLocator, MaxNLocator
from scipy.spatial import cKDTree

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_known
from kithkin.plot.data import Groups, Numbers, describe, value_range
from kithkin.plot.images.channels import name_channel
from kithkin.plot.images.label_image import draw_shapes, open_labels
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.palette import MISSING, SEQUENTIAL, group_colors
from kithkin.plot.look.scale_bar import bar_of, draw_bar, pixel_sides, pixel_size
from kithkin.plot.look.style import DPI, INK, SMALL, TEXT, Picture, dot_legend, plain, shorten
from kithkin.plot.points.raster import image_of_groups, image_of_values, pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

MANY = 200_000  # cells from which on pixels are coloured instead of drawing dots
SIDE, GAP, MARGIN, HEAD, FOOT, BAR = 5.0, 0.25, 0.15, 0.32, 0.36, 0.75  # inches
USUAL, LARGEST = 5_000, 2.0  # cells of a panel of that side; with more it grows by their root, at most so many times
FILL, APART = 0.9, 0.75  # width of a dot: of the cell, and of the way to the nearest other
SEEN = 6  # screen pixels: a narrower dot is made so wide, if it does not reach its neighbours then
SAMPLE = 2_000  # cells of which the nearest one is looked for
FAR, MOST = 3.0, 0.6  # values so many times a range above it get colours of their own; share of the range's colours
NARROW = 0.35  # of the longer side, below which a panel does not become


@dataclass(frozen=True)
class Look:
    """Colours of cells, and the groups or values behind them."""

    colors: Array  # RGBA of each cell of the dataset
    priority: Array  # a number for each cell; of cells that cover each other the highest is on top
    what: Numbers | Groups | None  # None: one colour
    scale: ScalarMappable | None  # colours of values
    extend: str  # ends of the scale that some values lie beyond, as a colour bar takes them
    groups: Array  # RGBA of each group, then of cells without one
    ticks: list[float] | None = None  # values to name at the colour bar; None: evenly spaced ones

    @classmethod
    def of(cls, what: Numbers | Groups | None, n: int, palette: Any, clip: tuple[float, float]) -> Look:
        """Choose the colours of n cells."""
        if what is None:
            one = group_colors(["all", ""], palette or ["#4C6A92", MISSING])
            return cls(np.tile(one[0], (n, 1)), np.zeros(n), None, None, "neither", one)
        if isinstance(what, Groups):
            colors = np.vstack([own_colors(what, palette), group_colors([""], [MISSING])])
            return cls(colors[what.codes], (what.codes >= 0).astype(int), what, None, "neither", colors)
        known = np.isfinite(what.values)
        finite = what.values[known] if known.any() else np.array([0.0, 1.0])
        low, high = value_range(finite, clip)
        ticks: list[float] | None = None
        norm: Normalize = Normalize(low - 0.5 * (low == high), high + 0.5 * (low == high))
        top, width = float(finite.max()), high - low
        if top > high + FAR * width > low:  # rare bright cells: beyond the others the scale is logarithmic
            rest = (1 - MOST) / np.log((top - low) / width)

            def bend(values: Array) -> Array:
                part = (np.asarray(values, float) - low) / width
                return np.where(part <= 1, MOST * part, MOST + rest * np.log(np.maximum(part, 1)))

            def unbend(levels: Array) -> Array:
                levels = np.asarray(levels, float)
                return low + width * np.where(levels <= MOST, levels / MOST, np.exp((levels - MOST) / rest))

            inner, outer = MaxNLocator(4).tick_values(low, high), LogLocator(subs=(1, 2, 5)).tick_values(high, top)
            ticks = [float(t) for t in inner if low <= t <= high] + [float(t) for t in outer if 1.3 * high < t <= top]
            high, norm = top, FuncNorm((bend, unbend), low, top)
        scale = ScalarMappable(norm, SEQUENTIAL)
        scale.get_cmap().set_bad(MISSING)
        colors = np.asarray(scale.to_rgba(np.ma.masked_invalid(what.values)), float)
        priority = np.argsort(np.argsort(np.where(known, what.values, -np.inf), kind="stable"), kind="stable")
        beyond = bool((finite < low).any()), bool((finite > high).any())
        extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[beyond]
        return cls(colors, priority, what, scale, extend, colors[:0], ticks)


def cells(
    ds: Dataset,
    color: Any = "obs/leiden",
    *,
    mask: Any = None,
    region: str | None = None,
    size: float | None = None,
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    clip: tuple[float, float] = (1.0, 99.0),
    normalize: str | None = None,
    by: str = "obs/region",
    ids: str = "obs/cell_id",
    on: str = "obsm/spatial",
    n_columns: int | None = None,
) -> Figure:
    """Draw the tissue: every cell at its place, coloured by groups, values or a channel; one panel for each image.

    Rows of the image run downwards. With a mask every cell has its shape. From 200,000 cells on each pixel takes the
    colour of the group that most of its cells belong to, or the mean of their values, and is opaque where they are
    dense. Panels of more than 5,000 cells are larger. Of cells that cover each other the one with the highest value is
    on top.

    Parameters
    ----------
    ds
        The dataset.
    color
        A key such as "obs/leiden", an obs column, the name of a channel or its number from 1, or an array with one
        entry per cell. Text and categoricals are groups; numbers are values. None: one colour.
    mask
        Label image, rows x columns: a path (TIFF, Zarr and others), or an array in memory or in Zarr; with several
        images, a mapping from names to these. None: centroids are drawn.
    region
        Name of the only image to draw.
    size
        Area of a dot in square points; None: by obs/area and the distance of the cells. It has no effect on masks and
        pixels, and is refused there.
    palette
        Colours of the groups, in order or by name, or the name of a colour map.
    clip
        Percentiles of the values that the ends of the colour bar stand for. Where a few values lie far beyond the upper
        one, the bar goes on to the largest, evenly in its logarithm.
    normalize
        Normalisation of the values of a channel: "log1p" (of counts) or None.
    by
        Column of obs with the image of each cell, if it is there.
    ids
        Column of obs with the label of each cell in the mask.
    on
        Centroids x, y in pixels, n x 2.
    n_columns
        Panels side by side; at most three when None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If a key is not in the dataset.
    ParameterError
        If there is no such image or channel, or the mask is none.
    FormatError
        If the file of a mask cannot be read, or does not hold whole numbers.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(4), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obsm/spatial": np.array([[0.0, 0], [5, 0], [0, 5], [5, 5]])})
    >>> figure = cells(ds, ["T", "B", "T", "B"])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['B', 'T']
    """
    check(0 <= clip[0] < clip[1] <= 100, f"clip must be two ascending percentiles, got {clip!r}")
    check(mask is None or size is None, "size has no effect on a mask: cells have their shapes")
    places = np.asarray(ds.read(on), dtype=np.float64)
    check(places.ndim == 2 and places.shape[1] >= 2, f"{on} must have two columns")
    color = name_channel(ds, color)
    look = Look.of(None if color is None else describe(ds, color, normalize), ds.n_obs, palette, clip)
    if by in ds:
        column = ds.read(by).astype("category")
        images = [str(name) for name in column.cat.categories]
        check_known([] if region is None else [region], images, f"region must be an image of {by}, got")
        wanted = [(k, name) for k, name in enumerate(images) if region in (None, name)]
        found = [(name, np.flatnonzero(column.cat.codes.to_numpy() == k)) for k, name in wanted]
        panels = [(name, rows) for name, rows in found if len(rows)]
    else:
        check(region is None, f"region has no effect: {by} is not in the dataset")
        panels = [("", np.arange(ds.n_obs))]
    masks = mask if isinstance(mask, Mapping) else {name: mask for name, _ in panels}
    check(mask is None or isinstance(mask, Mapping) or len(panels) == 1, "mask must name the mask of each image")
    names = np.asarray(ds.read(ids)) if mask is not None else np.empty(0, np.int64)
    with ExitStack() as stack:
        opened = {name: open_labels(masks[name], stack) for name, _ in panels if masks.get(name) is not None}
        frames = [_frame(places[rows], opened.get(name), ds, name) for name, rows in panels]
        sides = [pixel_sides(ds, name or None) or (1.0, 1.0) for name, _ in panels]
        aspects = [height / width for height, width in sides]  # pixels that are not square are drawn as they are
        figure, axes, side = _lay_page(frames, aspects, n_columns, max(len(rows) for _, rows in panels))
        if "obs/area" in ds:
            usual = 4 / np.pi * float(np.median(ds.read("obs/area")))  # square pixels of the square about a dot
        else:
            whole = sum((right - left) * (bottom - top) for left, right, bottom, top in frames)
            usual = whole / max(1, sum(len(rows) for _, rows in panels))
        for ax, (name, rows), frame, aspect in zip(axes, panels, frames, aspects, strict=True):
            if name in opened:
                draw_shapes(ax, opened[name], names[rows], places[rows], look.colors[rows], look.priority[rows],
                            frame=frame, inch=side)  # fmt: skip
            else:
                check(size is None or len(rows) < MANY, f"size has no effect on {len(rows)} cells: pixels are coloured")
                _draw_points(ax, places[rows], look, rows, size=size, usual=usual, frame=frame, inch=side)
            left, right, bottom, top = frame
            ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
            plain(ax, keep="left right top bottom")
            title = name if len(panels) > 1 else ""
            if ax is axes[0] and look.what is not None and look.what.title:
                title = f"{name}, {look.what.title}" if title else look.what.title
            ax.set_title(shorten(title), fontsize=TEXT + 1, color=INK, loc="left", pad=5)
            length, text = bar_of(right - left, pixel_size(ds, name or None))
            draw_bar(ax, left, bottom + 0.08 / side / aspect, length, text)
    _draw_legend(figure, axes, look)
    return figure


def _frame(places: Array, mask: Any, ds: Dataset, name: str) -> tuple[float, float, float, float]:
    """Choose the left, right, bottom and top of the panel, in pixels of the image."""
    if mask is not None:
        shape = mask.shape
        furthest = np.nan_to_num(places[:, :2]).max(axis=0, initial=0)
        beyond = f"mask has {shape[0]:,} rows x {shape[1]:,} columns, but cells lie as far as row {furthest[1]:,.0f}, "
        check(furthest[0] <= shape[1] and furthest[1] <= shape[0], beyond + f"column {furthest[0]:,.0f}")
        return 0.0, float(shape[1]), float(shape[0]), 0.0
    metadata = ds.read("uns/spatial").get(name, {}).get("metadata", {}) if "uns/spatial" in ds else {}
    if "width" in metadata and "height" in metadata:
        return 0.0, float(metadata["width"]), float(metadata["height"]), 0.0
    finite = places[np.isfinite(places[:, :2]).all(axis=1), :2]
    if not len(finite):
        return 0.0, 1.0, 1.0, 0.0
    low, high = finite.min(axis=0), finite.max(axis=0)
    edge = 0.03 * max(float((high - low).max()), 1.0)
    return float(low[0] - edge), float(high[0] + edge), float(high[1] + edge), float(low[1] - edge)


def _lay_page(
    frames: Sequence[tuple[float, float, float, float]], aspects: Sequence[float], n_columns: int | None, most: int
) -> tuple[Picture, list[Axes], float]:
    """Make a page with one panel for each frame, and return inches of a pixel of the images, the same in all."""
    columns = min(len(frames), 3 if n_columns is None else max(1, n_columns))
    framed = zip(frames, aspects, strict=True)
    sizes = np.array([[right - left, (bottom - top) * aspect] for (left, right, bottom, top), aspect in framed])
    largest = LARGEST if columns == 1 else 1.4
    inch = SIDE * float(np.clip(np.sqrt(most / USUAL), 1, largest)) / (1 if columns == 1 else 1.4) / float(sizes.max())
    floor = NARROW * inch * float(sizes.max())
    wide, high = np.maximum(sizes[:, 0] * inch, floor).max(), np.maximum(sizes[:, 1] * inch, floor).max()
    down = -(-len(frames) // columns)
    width = 2 * MARGIN + columns * (wide + GAP) - GAP
    figure = Picture(width, down * (high + HEAD + FOOT))
    axes = []
    for k, size in enumerate(sizes):
        row, column = divmod(k, columns)
        bottom = (down - 1 - row) * (high + HEAD + FOOT) + FOOT + high - size[1] * inch
        left = MARGIN + column * (wide + GAP)
        axes.append(figure.add_at(f"panel {k}", left, bottom, size[0] * inch, size[1] * inch))
    return figure, axes, inch


def _draw_points(
    ax: Axes,
    places: Array,
    look: Look,
    rows: Array,
    *,
    size: float | None,
    usual: float,
    frame: tuple[float, float, float, float],
    inch: float,
) -> None:
    """Draw a dot for each cell, by default as wide as a usual cell; of very many cells, pixels."""
    if len(places) < MANY:
        if size is None:  # as wide as a cell, and wide enough to be seen if there is room
            finite, apart = places[np.isfinite(places[:, :2]).all(axis=1), :2], 0.0
            if len(finite) > 1:
                some = finite[:: 1 + len(finite) // SAMPLE]
                apart = float(np.median(cKDTree(finite).query(some, 2)[0][:, 1]))
            width = max(FILL * np.sqrt(usual), min(APART * apart, SEEN / (inch * DPI)))
            size = float(np.clip((width * inch * 72) ** 2, 0.3, 400))
        order = np.argsort(look.priority[rows], kind="stable")
        ax.scatter(places[order, 0], places[order, 1], s=size, c=look.colors[rows[order]], linewidths=0,
                   rasterized=True)  # fmt: skip
        return
    left, right, bottom, top = frame
    longest = max(right - left, bottom - top)
    n_pixels = max(1, round(longest * inch * DPI))
    corner = np.array([left, top])
    pixel = pixels(places[:, :2], corner, corner + longest, n_pixels)
    if isinstance(look.what, Numbers) and look.scale is not None:
        mean, alpha = image_of_values(pixel, look.what.values[rows], n_pixels)
        image = np.asarray(look.scale.to_rgba(np.ma.masked_invalid(mean)))
        image[..., 3] = alpha
    else:
        codes = look.what.codes[rows] if isinstance(look.what, Groups) else np.zeros(len(rows), np.int64)
        image = image_of_groups(pixel, codes, look.groups, n_pixels)
    ax.imshow(image, extent=(left, left + longest, top + longest, top), interpolation="nearest", aspect="auto")


def _draw_legend(figure: Picture, axes: list[Axes], look: Look) -> None:
    """Draw groups or a colour bar right of all panels; the page becomes wider by what it needs."""
    if look.what is None:
        return
    wide, high = figure.get_size_inches()
    boxes = [ax.get_position().bounds for ax in axes]
    last = max(range(len(axes)), key=lambda k: (round(boxes[k][1] + boxes[k][3], 6), boxes[k][0]))
    extra = BAR
    if isinstance(look.what, Groups):
        present = np.flatnonzero(look.what.sizes())
        names, colors = [look.what.names[k] for k in present], [look.groups[k] for k in present]
        if (look.what.codes < 0).any():
            names, colors = [*names, "missing"], [*colors, look.groups[-1]]
        legend = dot_legend(axes[last], names, colors, height=boxes[last][3] * high)
        extra = figure.inches(legend)[0] + 0.02 * boxes[last][2] * wide + MARGIN
    figure.set_size_inches(wide + extra, high)
    for ax, (left, bottom, width, height) in zip(axes, boxes, strict=True):
        figure.place(ax, left * wide, bottom * high, width * wide, height * high)
    if look.scale is not None:
        left, bottom, width, height = boxes[last]
        bar_ax = figure.add_at("colours", (left + width) * wide + 0.12, bottom * high, 0.1, height * high)
        bar = figure.color_bar(look.scale, bar_ax, size=SMALL - 1, extend=look.extend, extendfrac=0.04)
        if look.ticks is not None:
            bar.set_ticks(look.ticks, labels=[f"{tick:,g}" for tick in look.ticks])
