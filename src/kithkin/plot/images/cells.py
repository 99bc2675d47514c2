"""The tissue with its cells, coloured by cluster or by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check
from kithkin.plot.data import Groups, Numbers, describe
from kithkin.plot.look.palette import MISSING, SEQUENTIAL, group_colors
from kithkin.plot.look.scale_bar import bar_of, draw_bar, pixel_size
from kithkin.plot.look.style import DPI, FAINT, INK, SMALL, TEXT, Picture, dot_legend, plain, shorten
from kithkin.plot.points.raster import image_of_groups, image_of_values, pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

MANY = 200_000  # cells from which on pixels are coloured instead of drawing dots
SIDE, GAP, MARGIN, HEAD, FOOT, BAR = 5.0, 0.25, 0.15, 0.32, 0.36, 0.75  # inches
FILL = 0.9  # of a cell that a dot is wide
EDGE = 4  # screen pixels that a cell must be wide for its border to be drawn
NARROW = 0.35  # of the longer side, below which a panel does not become


@dataclass(frozen=True)
class Look:
    """Colours of cells, and the groups or values behind them.

    Attributes
    ----------
    colors
        RGBA of each cell of the dataset.
    what
        Groups or values behind them; None: one colour.
    scale
        Of values.
    groups
        RGBA of each group, then of cells without one.
    area
        Of a typical cell, in square pixels of the image.
    """

    colors: Array
    what: Numbers | Groups | None
    scale: ScalarMappable | None
    groups: Array
    area: float = 1.0


def cells(
    ds: Dataset,
    color: Any = "obs/leiden",
    *,
    mask: Any = None,
    region: str | None = None,
    size: float | None = None,
    palette: Sequence[Any] | Mapping[str, Any] | None = None,
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
    dense.

    Parameters
    ----------
    ds
        The dataset.
    color
        A key such as "obs/leiden", an obs column, the name of a channel, or an array with one entry per cell. Text and
        categoricals are groups; numbers are values. None: one colour.
    mask
        Label image, rows x columns: an array in memory or in Zarr; with several images, a mapping from names to these.
        None: centroids are drawn.
    region
        Name of the only image to draw.
    size
        Area of a dot in square points; None: by obs/area if it is there, else by the distance of the cells. It has no
        effect on masks and pixels, and is refused there.
    palette
        Colours of the groups, in order or by name.
    clip
        Percentiles of the values that the ends of the colour bar stand for.
    normalize
        What is done to the values of a channel: "log1p" (of counts) or None.
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
        If there is no such image, or the mask is none.

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
    look = _look(None if color is None else describe(ds, color, normalize), ds.n_obs, palette, clip)
    panels = _panels(ds, by, region)
    masks = mask if isinstance(mask, Mapping) else {name: mask for name, _ in panels}
    check(mask is None or isinstance(mask, Mapping) or len(panels) == 1, "mask must name the mask of each image")
    names = np.asarray(ds.read(ids)) if mask is not None else np.empty(0, np.int64)
    frames = [_frame(places[rows], masks.get(name), ds, name) for name, rows in panels]
    figure, axes, side = _page(frames, n_columns)
    look = replace(look, area=_usual_area(ds, frames, sum(len(rows) for _, rows in panels)))
    for k, (ax, (name, rows), frame) in enumerate(zip(axes, panels, frames, strict=True)):
        if masks.get(name) is not None:
            _shapes(ax, masks[name], (names[rows], look.colors[rows]), frame, side)
        else:
            _points(ax, places[rows], rows, (look, size), frame, side)
        _finish(ax, frame, name if len(panels) > 1 else "", side, pixel_size(ds, name or None))
        if k == 0 and look.what is not None and look.what.title:
            title = look.what.title if len(panels) == 1 else f"{name}, {look.what.title}"
            ax.set_title(title, fontsize=TEXT + 1, color=INK, loc="left", pad=5)
    _legend(figure, axes, look)
    return figure


def _look(what: Numbers | Groups | None, n: int, palette: Any, clip: tuple[float, float]) -> Look:
    if what is None:
        one = group_colors(["all", ""], palette or ["#4C6A92", MISSING])
        return Look(np.tile(one[0], (n, 1)), None, None, one)
    if isinstance(what, Groups):
        colors = np.vstack([group_colors(what.names, palette), group_colors([""], [MISSING])])
        return Look(colors[what.codes], what, None, colors)
    finite = what.values[np.isfinite(what.values)]
    low, high = (float(v) for v in np.percentile(finite, clip)) if len(finite) else (0.0, 1.0)
    half = 0.5 if low == high else 0.0
    scale = ScalarMappable(Normalize(low - half, high + half), SEQUENTIAL)
    scale.get_cmap().set_bad(MISSING)
    colors = np.asarray(scale.to_rgba(np.ma.masked_invalid(what.values)), float)
    return Look(colors, what, scale, colors[:0])


def _panels(ds: Dataset, by: str, region: str | None) -> list[tuple[str, Array]]:
    """Name and cells of each image to draw."""
    if by not in ds:
        check(region is None, f"region has no effect: {by} is not in the dataset")
        return [("", np.arange(ds.n_obs))]
    column = ds.read(by).astype("category")
    names = [str(name) for name in column.cat.categories]
    check(region is None or region in names, f"region must be one of {', '.join(names[:10])}, got {region!r}")
    codes = column.cat.codes.to_numpy()
    panels = [(name, np.flatnonzero(codes == k)) for k, name in enumerate(names) if region in (None, name)]
    return [panel for panel in panels if len(panel[1])]


def _frame(places: Array, mask: Any, ds: Dataset, name: str) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of what is drawn, in pixels of the image."""
    if mask is not None:
        shape: tuple[int, ...] = tuple(getattr(mask, "shape", ()))
        if len(shape) != 2 or np.dtype(mask.dtype).kind not in "iub":
            raise ParameterError(f"mask must be whole numbers, rows x columns, got {type(mask).__name__} of {shape}")
        furthest = np.nan_to_num(places[:, :2]).max(axis=0, initial=0)
        beyond = f"mask has {shape[0]:,} rows x {shape[1]:,} columns, but cells lie as far as row {furthest[1]:,.0f}, "
        check(furthest[0] <= shape[1] and furthest[1] <= shape[0], beyond + f"column {furthest[0]:,.0f}")
        return 0.0, float(shape[1]), float(shape[0]), 0.0
    about = ds.read("uns/spatial").get(name, {}).get("metadata", {}) if "uns/spatial" in ds else {}
    if "width" in about and "height" in about:
        return 0.0, float(about["width"]), float(about["height"]), 0.0
    finite = places[np.isfinite(places[:, :2]).all(axis=1), :2]
    if not len(finite):
        return 0.0, 1.0, 1.0, 0.0
    low, high = finite.min(axis=0), finite.max(axis=0)
    edge = 0.03 * max(float((high - low).max()), 1.0)
    return float(low[0] - edge), float(high[0] + edge), float(high[1] + edge), float(low[1] - edge)


def _page(
    frames: Sequence[tuple[float, float, float, float]], n_columns: int | None
) -> tuple[Picture, list[Axes], float]:
    """A page with one panel for each frame, and inches of a pixel of the images, which is the same in all."""
    columns = min(len(frames), 3 if n_columns is None else max(1, n_columns))
    sizes = np.array([[right - left, bottom - top] for left, right, bottom, top in frames])
    inch = SIDE / (1 if columns == 1 else 1.4) / float(sizes.max())
    floor = NARROW * inch * float(sizes.max())
    wide, high = np.maximum(sizes[:, 0] * inch, floor).max(), np.maximum(sizes[:, 1] * inch, floor).max()
    down = -(-len(frames) // columns)
    width = 2 * MARGIN + columns * (wide + GAP) - GAP
    figure = Picture(width, down * (high + HEAD + FOOT))
    axes = []
    for k, size in enumerate(sizes):
        row, column = divmod(k, columns)
        ax = figure.add_axes((0, 0, 1, 1), label=f"panel {k}")
        bottom = (down - 1 - row) * (high + HEAD + FOOT) + FOOT + high - size[1] * inch
        figure.place(ax, MARGIN + column * (wide + GAP), bottom, size[0] * inch, size[1] * inch)
        axes.append(ax)
    return figure, axes, inch


def _usual_area(ds: Dataset, frames: Sequence[tuple[float, float, float, float]], n_cells: int) -> float:
    if "obs/area" in ds:
        return 4 / np.pi * float(np.median(ds.read("obs/area")))  # of the square about a dot
    whole = sum((right - left) * (bottom - top) for left, right, bottom, top in frames)
    return whole / max(1, n_cells)


def _points(ax: Axes, places: Array, rows: Array, look: tuple[Look, float | None], frame: Any, inch: float) -> None:
    (how, size), (left, right, bottom, top) = look, frame
    if len(places) < MANY:
        area = float(np.clip(how.area * (FILL * inch * 72) ** 2, 0.3, 400)) if size is None else float(size)
        known = isinstance(how.what, Groups)
        order = np.argsort(how.what.codes[rows] >= 0, kind="stable") if known else np.arange(len(rows))  # type: ignore[union-attr]
        ax.scatter(places[order, 0], places[order, 1], s=area, c=how.colors[rows[order]], linewidths=0, rasterized=True)
        return
    check(size is None, f"size has no effect on {len(places)} cells: pixels are coloured")
    longest = max(right - left, bottom - top)
    n_pixels = max(1, round(longest * inch * DPI))
    corner = np.array([left, top])
    place = pixels(places[:, :2], corner, corner + longest, n_pixels)
    if isinstance(how.what, Numbers) and how.scale is not None:
        mean, alpha = image_of_values(place, how.what.values[rows], n_pixels)
        image = np.asarray(how.scale.to_rgba(np.ma.masked_invalid(mean)))
        image[..., 3] = alpha
    else:
        codes = how.what.codes[rows] if isinstance(how.what, Groups) else np.zeros(len(rows), np.int64)
        image = image_of_groups(place, codes, how.groups, n_pixels)
    ax.imshow(image, extent=(left, left + longest, top + longest, top), interpolation="nearest", aspect="auto")


def _shapes(ax: Axes, mask: Any, cells_: tuple[Array, Array], frame: Any, inch: float) -> None:
    """Every cell in its shape; between cells that are wide enough on the screen a thin white line."""
    ids, colors = cells_
    step = max(1, int(1 / (inch * DPI)))
    labels = np.asarray(mask[::step, ::step]).astype(np.int64)
    order = np.argsort(ids)
    found = np.minimum(np.searchsorted(ids[order], labels), len(ids) - 1)
    known = (ids[order][found] == labels) & (labels != 0)
    image = np.ones((*labels.shape, 4))
    image[labels != 0] = group_colors([""], [MISSING])[0]  # cells of the mask that the dataset does not have
    image[known] = colors[order][found[known]]
    if np.sqrt(known.mean() * labels.size / max(1, len(ids))) >= EDGE:
        border = np.zeros(labels.shape, bool)  # where two cells touch
        border[1:] |= (labels[1:] != labels[:-1]) & (labels[:-1] != 0)
        border[:, 1:] |= (labels[:, 1:] != labels[:, :-1]) & (labels[:, :-1] != 0)
        border &= labels != 0
        image[border, :3] += 0.6 * (1 - image[border, :3])
    left, right, bottom, top = frame
    ax.imshow(image, extent=(left, right, bottom, top), interpolation="nearest", aspect="auto")


def _finish(ax: Axes, frame: Any, name: str, inch: float, size: float | None) -> None:
    left, right, bottom, top = frame
    ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    plain(ax, keep="left right top bottom")
    ax.set_title(shorten(name), fontsize=TEXT + 1, color=INK, loc="left", pad=5)
    length, text = bar_of(right - left, size)
    draw_bar(ax, left, bottom + 0.08 / inch, length, text)


def _legend(figure: Picture, axes: list[Axes], look: Look) -> None:
    """Groups or a colour bar right of all panels; the page becomes wider by what it needs."""
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
        bar_ax = figure.add_axes((0, 0, 1, 1), label="colours")
        figure.place(bar_ax, (left + width) * wide + 0.12, bottom * high, 0.1, height * high)
        bar = figure.colorbar(look.scale, cax=bar_ax)
        bar.outline.set_edgecolor(FAINT)
        bar_ax.tick_params(labelsize=SMALL - 1, length=2, color=FAINT, labelcolor=INK)
