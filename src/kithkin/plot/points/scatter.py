"""Observations as points in two dimensions, coloured by groups or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.errors import ParameterError, check, check_choice
from kithkin.core.keys import Key
from kithkin.plot.data import by_name, describe
from kithkin.plot.look.style import DPI, INK, SMALL, Picture, plain
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
    legend: str = "right",
    palette: Sequence[Any] | Mapping[str, Any] | None = None,
    clip: tuple[float, float] = (1.0, 99.0),
    normalize: str | None = "log1p",
    n_columns: int | None = None,
    background: Any = "white",
    seed: int = 0,
) -> Figure:
    """Draw every observation as a point, coloured by groups, values or the expression of a gene.

    Points are drawn in random order, so that no group hides another. From 200,000 points on each pixel takes the
    colour of the group that most of its points belong to, or the mean of their values, and is opaque where points
    are dense. Missing values are light grey.

    Parameters
    ----------
    ds
        The dataset.
    on
        Key of the coordinates, or an array of observations x 2 or more.
    color
        A key such as "obs/leiden", an obs column, the name of a gene, or an array with one entry per observation.
        A list of these draws one panel each. Text and categoricals are groups; numbers are values: make number
        labels a pandas Categorical. A Series goes by the names in its index. None: one colour.
    dims
        The two columns of the coordinates that are drawn.
    size
        Area of a point in square points; chosen from the number of observations when None. Has no effect where
        pixels are coloured, and is refused there.
    shade
        True, or a number of pixels such as 300: each pixel of such a grid mixes the colours of all its points, or
        takes the mean of their values, and is the more opaque the more points it has. Pixels that stand alone are
        spread a little where the grid is fine.
    legend
        Position of the group names: "right", "on data" or "none". Values have their colour bar unless "none".
    palette
        Colours of the groups, in order or by name; colour-blind-safe ones when None.
    clip
        Percentiles of the values that the ends of the colour bar stand for; of the shaded means where there are any.
    normalize
        Normalisation of the counts of a gene: "log1p" or None.
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
    ['B', 'T']
    """
    check_choice("legend", legend, ("right", "on data", "none"))
    check(0 <= clip[0] < clip[1] <= 100, f"clip must be two ascending percentiles, got {clip!r}")
    coords = np.asarray(ds.read(on) if isinstance(on, str) else by_name(ds, on, "on"))
    if coords.ndim != 2 or len(coords) != ds.n_obs or coords.dtype.kind not in "buif":
        got = " x ".join(map(str, coords.shape))
        raise ParameterError(f"on must be numbers, {ds.n_obs} observations x 2 or more, got {got}")
    inside = len(dims) == 2 and all(0 <= d < coords.shape[1] for d in dims)
    check(inside, f"dims must be in 0..{coords.shape[1] - 1}, got {dims!r}")
    points = coords[:, list(dims)].astype(np.float64)
    name = Key.parse(on).name.removeprefix("X_") if isinstance(on, str) else "dimension"
    name = {"umap": "UMAP", "pca": "PC", "tsne": "t-SNE"}.get(name, name)
    n_pixels, side = (None, SIDE) if shade is False else grid_of(shade)
    dots = n_pixels is None and len(points) < MANY
    check(size is None or dots, f"size has no effect on {len(points)} points: pixels are coloured")
    wanted = list(color) if isinstance(color, (list, tuple)) else [color]
    check(len(wanted) > 0, "color must name at least one panel, got an empty list")
    panels = [None if what is None else describe(ds, what, normalize) for what in wanted]

    usual = 2 if len(panels) == 4 else 3
    columns = min(len(panels), usual if n_columns is None else max(1, n_columns))
    figure = Picture(columns * side, side)
    axes = [figure.add_axes((0.0, 0.0, 1.0, 1.0), label=f"panel {i}") for i in range(len(panels))]
    figure.set_size_inches(side, side)  # each panel fills the figure while labels are laid out in it
    finite = points[np.isfinite(points).all(axis=1)]
    middle, half = np.full(2, 0.5), 0.5
    if len(finite):
        low, high = finite.min(axis=0), finite.max(axis=0)
        middle, half = (low + high) / 2, 0.54 * float((high - low).max()) or 1.0
    (left, bottom), (right, top) = middle - half, middle + half
    order = np.random.default_rng(seed).permutation(len(points) if dots else 0)
    area = float(np.clip(20_000 / max(1, len(points)), 0.4, 30)) if size is None else float(size)
    shared = Points(points, order, area, legend, palette, clip, n_pixels, side, is_dark(background))
    widths = []
    for ax, what in zip(axes, panels, strict=True):
        ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
        plain(ax)
        ax.set_xlabel(f"{name} {dims[0] + 1}", fontsize=SMALL, color=INK, loc="left", labelpad=3)
        ax.set_ylabel(f"{name} {dims[1] + 1}", fontsize=SMALL, color=INK, loc="bottom", labelpad=3)
        widths.append(draw_panel(figure, ax, shared, what))
    rows = -(-len(axes) // columns)
    # panels begin at whole pixels of the screen: a coarse grid would look uneven otherwise
    extra = [np.ceil(max(widths[i::columns]) * DPI) / DPI for i in range(columns)]
    step = np.ceil((side + HEAD + FOOT) * DPI) / DPI
    starts = [0.12 + FOOT + sum(extra[:i]) + i * (side + round((GAP + FOOT) * DPI) / DPI) for i in range(columns)]
    figure.set_size_inches(starts[-1] + side + extra[-1] + GAP, rows * step + 0.16)
    for i, ax in enumerate(axes):
        figure.place(ax, starts[i % columns], 0.1 + FOOT + (rows - 1 - i // columns) * step, side, side)
    recolor(figure, background)
    return figure
