"""Observations as points in two dimensions, coloured by groups or values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, brief, check, check_choice, check_known, check_range
from kithkin.core.keys import Key
from kithkin.plot.data import Groups, Numbers, by_name, describe
from kithkin.plot.look.matching import color_together
from kithkin.plot.look.palette import colormap
from kithkin.plot.look.style import DPI, INK, SMALL, Picture, plain, take_literally
from kithkin.plot.points.limits import limits_of
from kithkin.plot.points.panel import MANY, SIDE, Points, draw_panel, is_dark, recolor
from kithkin.plot.points.shade import grid_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

GAP, HEAD, FOOT = 0.25, 0.35, 0.30  # inches around a panel: beside it, for its title, for its axis names


def scatter(
    ds: Dataset,
    on: Any = "obsm/X_umap",
    color: Any = None,
    *,
    dims: tuple[int, int] = (0, 1),
    size: float | None = None,
    shade: bool | int = False,
    groups: str | Sequence[str] | None = None,
    legend: str = "right",
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    cmap: Any = None,
    vmin: float | str | None = None,
    vmax: float | str | None = None,
    clip: tuple[float, float] = (1.0, 99.0),
    normalize: str | None = "log1p",
    title: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    n_columns: int | None = None,
    background: Any = "white",
    seed: int = 0,
) -> Figure:
    """Draw every observation as a point, coloured by groups, values or the expression of a gene.

    Points are drawn in random order, so that no group hides another. From 200,000 points on each pixel takes the
    colour of the group that most of its points belong to, or the mean of their values, and is opaque where points
    are dense. Missing values are light grey, and lie below. Of values that are nowhere negative, zeros are grey and
    lie below the others. Limits are those of the places where points are: a note counts single ones that lie outside.

    A cluster has the same colour in every figure. Where several partitions are drawn, groups that hold mostly the
    same observations have the same colour. Colours in uns/<name>_colors are used, as scanpy stores them.

    Parameters
    ----------
    ds
        The dataset.
    on
        Key of the coordinates, or an array of observations x 2 or more.
    color
        A key such as "obs/leiden" or "obsm/Antibody Capture/CD3", a column of obs or of a table in obsm, the name of
        a gene, or an array with one entry per observation.
        A list of these draws one panel each. Text, categoricals and whole numbers that are classes, as
        `kithkin.annotate` says, are groups; other numbers are values. A Series goes by the names in its index. None:
        one colour.
    dims
        The two columns of the coordinates that are drawn.
    size
        Area of a point in square points; the smaller the more points there are when None. Has no effect where pixels
        are coloured, and is refused there.
    shade
        True, or a number of pixels such as 300: each pixel of such a grid mixes the colours of all its points, or
        takes the mean of their values, and is the more opaque the more points it has. Pixels that stand alone are
        spread a little where the grid is fine.
    groups
        Names of the groups to colour; all others are grey. All when None.
    legend
        Position of the group names: "right" (with their sizes), "on data" or "none". Values have their colour bar
        unless "none".
    palette
        Colours of the groups, by name or in order, or a colour map such as "tab20", which all panels share;
        colour-blind-safe when None.
    cmap
        Colour map of the values: a name of matplotlib or a Colormap; "viridis", with zeros in grey, when None.
    vmin, vmax
        Ends of the colour bar: numbers, or percentiles such as "p1" and "p99"; those of `clip` when None.
    clip
        Percentiles of the values that the ends of the colour bar stand for; of the shaded means where there are any.
    normalize
        Normalisation of the counts of a gene: "log1p" or None.
    title
        Title in place of the name of what is drawn, or one for each panel.
    ax
        Axes of a figure of yours to draw one panel into; a new figure when None.
    n_columns
        Panels side by side; at most three when None.
    background
        A colour; letters are light on a dark one.
    seed
        Seed of the random order in which points are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If a key is not in the dataset.
    ParameterError
        If an array has the wrong length, a name is neither a key nor a gene, or shade is no number of pixels.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ds = SimpleNamespace(n_obs=4)
    >>> figure = scatter(ds, on=np.eye(4), color=np.array(["B", "T", "T", "B"]))
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['B (2)', 'T (2)']
    """
    # Long: the figure in one place: points, names, legend and bar share their measures
    colormap(cmap)
    if size is not None:
        check_range("size", size, 0.001, 1e6)
    _check_end("vmin", vmin)
    _check_end("vmax", vmax)
    check_choice("legend", legend, ("right", "on data", "none"))
    check(0 <= clip[0] < clip[1] <= 100, f"clip must be two ascending percentiles, got {clip!r}")
    points = coordinates(ds, on, dims)
    name = Key.parse(on).name.removeprefix("X_") if isinstance(on, str) else "dimension"
    name = {"umap": "UMAP", "pca": "PC", "tsne": "t-SNE"}.get(name, name)
    n_pixels, side = (None, SIDE) if shade is False else grid_of(shade)
    dots = n_pixels is None and len(points) < MANY
    check(size is None or dots, f"size has no effect on {len(points)} points: pixels are coloured")
    wanted = list(color) if isinstance(color, (list, tuple)) else [color]
    check(len(wanted) > 0, "color must name at least one panel, got an empty list")
    check(ax is None or isinstance(ax, Axes), f"ax must be axes of matplotlib, got {brief(ax)}")
    check(ax is None or len(wanted) == 1, f"ax takes one panel, got {len(wanted)} colors: draw each into its own axes")
    titles = [title] * len(wanted) if title is None or isinstance(title, str) else list(title)
    check(len(titles) == len(wanted), f"title must be one for each of {len(wanted)} panels, got {len(titles)}")
    panels = [None if what is None else describe(ds, what, normalize) for what in wanted]
    chosen = [groups] if isinstance(groups, str) else None if groups is None else [str(name) for name in groups]
    dark = is_dark(background)
    parts = [what for what in panels if isinstance(what, Groups)]
    known = list(dict.fromkeys(group for part in parts for group in part.names))
    check_known(chosen or [], known, "groups must be among those of color, got")
    colored = iter(color_together(parts, palette, dark=dark))
    panels = [next(colored) if isinstance(what, Groups) else what for what in panels]

    low, high, outside = limits_of(points)
    order = np.random.default_rng(seed).permutation(len(points) if dots else 0)
    area = float(np.clip(2500 * max(1, len(points)) ** -0.8, 0.4, 16)) if size is None else float(size)
    usual = 2 if len(panels) == 4 else 3
    columns = min(len(panels), usual if n_columns is None else max(1, n_columns))
    figure = Picture(columns * side, side)
    axes = [ax] if ax is not None else [figure.add_axes((0, 0, 1, 1), label=f"panel {i}") for i in range(len(panels))]
    if ax is not None:
        ax.set_box_aspect(1)
        ax.apply_aspect()
        side = float(ax.get_window_extent().width) / ax.figure.dpi
    figure.set_size_inches(side, side)  # each panel fills the figure while labels are laid out in it
    shared = Points(points, order, area, legend, palette, chosen, cmap, clip, (vmin, vmax), n_pixels, side, dark)
    widths = []
    for panel, what, heading in zip(axes, panels, titles, strict=True):
        panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        plain(panel)
        panel.set_xlabel(f"{name} {dims[0] + 1}", fontsize=SMALL, color=INK, loc="left", labelpad=3)
        panel.set_ylabel(f"{name} {dims[1] + 1}", fontsize=SMALL, color=INK, loc="bottom", labelpad=3)
        if outside:
            panel.annotate(f"{outside:,} of {len(points):,} lie outside", (1, 0), xycoords="axes fraction",
                           xytext=(0, -4), textcoords="offset points", ha="right", va="top", fontsize=SMALL - 1,
                           color=INK)  # fmt: skip
        widths.append(draw_panel(panel, shared, what, heading))
    if ax is not None:
        take_literally(ax)
        recolor(ax, background)
        return ax.figure  # type: ignore[return-value]
    rows = -(-len(axes) // columns)
    # colour bars stand at the same distance everywhere; panels begin at whole pixels of the screen, or a coarse grid
    # would look uneven
    bars = max((w for w, what in zip(widths, panels, strict=True) if isinstance(what, Numbers)), default=0.0)
    extra = [np.ceil(max([bars, *widths[i::columns]]) * DPI) / DPI for i in range(columns)]
    step = np.ceil((side + HEAD + FOOT) * DPI) / DPI
    starts = [0.12 + FOOT + sum(extra[:i]) + i * (side + round((GAP + FOOT) * DPI) / DPI) for i in range(columns)]
    figure.set_size_inches(starts[-1] + side + extra[-1] + GAP, rows * step + 0.16)
    for i, panel in enumerate(axes):
        figure.place(panel, starts[i % columns], 0.1 + FOOT + (rows - 1 - i // columns) * step, side, side)
    recolor(figure, background)
    return figure


def coordinates(ds: Dataset, on: Any, dims: tuple[int, int]) -> Array:
    """Read two columns of coordinates, n x 2.

    Raises
    ------
    ParameterError
        If they are not numbers, one row for each observation, or have no such columns.
    """
    coords = np.asarray(ds.read(on) if isinstance(on, str) else by_name(ds, on, "on"))
    if coords.ndim != 2 or len(coords) != ds.n_obs or coords.dtype.kind not in "buif":
        got = " x ".join(map(str, coords.shape)) or brief(on)
        raise ParameterError(f"on must be numbers, {ds.n_obs} observations x 2 or more, got {got}")
    inside = len(dims) == 2 and all(0 <= d < coords.shape[1] for d in dims)
    check(inside, f"dims must be in 0..{coords.shape[1] - 1}, got {dims!r}")
    out: Array = coords[:, list(dims)].astype(np.float64)
    return out


def _check_end(name: str, value: float | str | None) -> None:
    """Check an end of the colour bar: a number, or a percentile as scanpy writes it.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    text = isinstance(value, str) and re.fullmatch(r"p\d+(\.\d+)?", value) and float(value[1:]) <= 100
    number = value is None or (isinstance(value, (int, float, np.number)) and math.isfinite(value))
    check(bool(text or number), f'{name} must be a number or a percentile such as "p99", got {value!r}')
