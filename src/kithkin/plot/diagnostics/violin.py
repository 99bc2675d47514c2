"""Violins: the distribution of values over the cells, or in each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check
from kithkin.plot.data import Groups, Numbers, describe, groups
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

STEP = 0.42  # inches of a violin
HEIGHT, LOW = 2.9, 1.7  # inches of a panel, and of one that stands above others with the same groups
BROAD = 13.0  # inches that panels take side by side
HEAD, BETWEEN = 0.4, 0.75  # inches above a panel for its title, and beside it


def violin(
    ds: Dataset,
    values: Any,
    by: Any = "obs/leiden",
    *,
    log: bool = False,
    normalize: str | None = "log1p",
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw the distribution of values or of the expression of genes in each group.

    A violin has a line from its lower to its upper quartile and a dot at its median.

    Parameters
    ----------
    ds
        The dataset.
    values
        A key such as "obs/n_genes", an obs column, the name of a gene, or an array with one entry per observation. A
        list of these draws one panel each.
    by
        The groups: a key, or an array with one entry per observation. None: one violin of all observations.
    log
        Whether axes are logarithmic (of 1 + value, so that zeros are seen).
    normalize
        Normalisation of the counts of a gene: "log1p" or None.
    palette
        Colours of the groups, by name or in order, or a colour map such as "tab20"; colour-blind-safe when None.
    seed
        Seed of the random choice of observations that are drawn as points (at most 1,500 in a panel).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If a key is not in the dataset.
    ParameterError
        If values are groups, by is numbers, or log is set and a value is negative.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> figure = violin(SimpleNamespace(n_obs=4), np.array([1.0, 2.0, 2.0, 3.0]), by=list("TBTB"))
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['B', 'T']
    """
    wanted = list(values) if isinstance(values, (list, tuple)) and not np.isscalar(values) else [values]
    if wanted and all(isinstance(value, (int, float, np.number)) for value in wanted):  # one list of numbers
        wanted = [np.asarray(values)]
    check(len(wanted) > 0, "values must name at least one panel, got an empty list")
    panels = {}
    for i, value in enumerate(wanted):
        what = describe(ds, value, normalize, name="values", classes=False)
        if isinstance(what, Groups):
            raise ParameterError(f"values must be numbers, {what.title or 'the array'} holds groups: pass it as by")
        panels[f"panel {i}"] = what
    figure, axes = draw_violins(
        panels, None if by is None else groups(ds, by), set(panels) if log else set(), seed, palette
    )
    for ax, what in zip(axes, panels.values(), strict=True):
        ax.set_title(shorten(what.title), fontsize=TEXT, color=INK, loc="left")
        ax.set_ylabel(what.unit, fontsize=SMALL, color=INK)
    return figure


def draw_violins(
    panels: Mapping[str, Numbers], parts: Groups | None, log: set[str], seed: int, palette: Any = None
) -> tuple[Picture, list[Axes]]:
    """Draw a panel of violins for each of some values, side by side or, where groups are many, one above the other.

    Names of groups stand below the lowest panel only. `parts` None is one violin of all; `log` holds the names of the
    panels on a logarithmic axis.
    """
    single = parts is None
    n = len(next(iter(panels.values())).values)
    parts = Groups("", np.zeros(n, dtype=np.int64), ["all"]) if parts is None else parts
    present = np.flatnonzero(parts.sizes())
    names = [shorten(parts.names[i], 24) for i in present]
    longest = float(text_inches(names, SMALL)[:, 0].max())
    level = single or longest < STEP - 0.05
    tail = 0.3 if level else 0.25 + longest
    width = max(1.7, STEP * len(present))
    per_row = max(1, min(len(panels), int(BROAD / (width + BETWEEN))))
    rows = -(-len(panels) // per_row)
    stacked = rows > 1 and not single
    height, step = (LOW, LOW + HEAD) if stacked else (HEIGHT, HEIGHT + HEAD + tail)
    figure = Picture(per_row * (width + BETWEEN) + 0.1, rows * step + (tail if stacked else 0.0))
    rng = np.random.default_rng(seed)
    colors, axes = own_colors(parts, palette)[present], []
    for i, (name, what) in enumerate(panels.items()):
        floor = (rows - 1 - i // per_row) * step + tail
        ax = figure.add_at(name, 0.6 + i % per_row * (width + BETWEEN), floor, width, height)
        _draw_panel(ax, [what.values[parts.codes == k] for k in present], colors, name in log, rng)
        ax.spines["left"].set_color(FAINT)
        below, known = names, what.values[np.isfinite(what.values)]
        if single:
            median = float(np.median(known)) if len(known) else np.nan
            short = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"
            below = [f"median {short}" if len(known) else "no values"]
        elif i + per_row < len(panels):  # the same groups stand below
            below = []
        ax.set_xticks(range(len(below)), below, rotation=0 if level else 90, fontsize=SMALL)
        ax.tick_params(axis="x", length=0)
        axes.append(ax)
    return figure, axes


def _draw_panel(ax: Axes, samples: list[Array], colors: Array, log: bool, rng: np.random.Generator) -> None:
    """Draw one violin per sample: its density, at most 1,500 of its points, its quartiles and its median."""
    samples = [values[np.isfinite(values)] for values in samples]
    everything = np.concatenate(samples)
    plain(ax, keep="left")
    ax.set_xlim(-0.6, len(samples) - 0.4)
    if len(everything) == 0:
        return
    if log:
        check(bool(everything.min() >= 0), "log is for columns without negative values")
        ax.set_yscale("function", functions=(np.log1p, np.expm1))
    for i, (values, color) in enumerate(zip(samples, colors, strict=True)):
        if len(values) == 0:
            continue
        at, width = violin_outline(np.log1p(values) if log else values)
        heights = np.expm1(at) if log else at
        ax.fill_betweenx(heights, i - 0.4 * width, i + 0.4 * width, color=color, alpha=0.35, linewidth=0)
        some = rng.choice(values, min(len(values), 1500 // len(samples) + 1), replace=False)
        widths = 0.4 * np.interp(np.log1p(some) if log else some, at, width)
        ax.scatter(i + widths * rng.uniform(-1, 1, len(some)), some, s=1.2, color=color, linewidths=0, rasterized=True)
        lower, median, upper = np.percentile(values, (25, 50, 75))
        ax.plot([i, i], [lower, upper], color=INK, linewidth=2.5, solid_capstyle="butt")
        ax.plot(i, median, marker="o", markersize=4.5, color="white", markeredgecolor=INK, markeredgewidth=0.8)
    top, bottom = float(everything.max()), float(everything.min()) if log else min(0.0, float(everything.min()))
    if log:
        steps = [0.0, *(float(d * 10**k) for k in range(9) for d in (1, 2, 5))]
        low, high = np.expm1(max(0.0, np.log1p(bottom) - 0.15)), np.expm1(np.log1p(top) + 0.1)
        inside = [step for step in steps if low <= step <= high]
        if len(inside) > 7:
            inside = [step for step in inside if step == 0 or f"{step:.0e}".startswith("1")]
        ax.set_yticks(inside, [f"{step:,.0f}" for step in inside])
        ax.set_ylim(low, max(high, low + 1))
    elif top > bottom:
        room = 0.05 * (top - bottom)
        ax.set_ylim(bottom - room if bottom < 0 else 0.0, top + room)


def violin_outline(values: Array) -> tuple[Array, Array]:
    """Compute heights and widths of a violin: a Gaussian kernel (Silverman's width) on a histogram, widest 1."""
    low, high = float(values.min()), float(values.max())
    spread = min(float(values.std()), float(np.subtract(*np.percentile(values, (75, 25)))) / 1.34 or np.inf)
    width = 0.9 * (spread or 0.0) * len(values) ** -0.2
    if high == low or width == 0:
        half = 0.02 * abs(low) or 0.02
        return np.array([low - half, low, high + half]), np.array([0.0, 1.0, 0.0])
    edges = np.linspace(low, high, 257)
    counts = np.histogram(values, edges)[0].astype(float)
    step = edges[1] - edges[0]
    reach = min(128, max(1, int(4 * width / step)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    density = np.convolve(counts, kernel, mode="full")[reach : reach + 256]
    return (edges[1:] + edges[:-1]) / 2, density / density.max()
