"""Violins of the columns of quality(), with medians and thresholds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check
from kithkin.plot.data import Groups, describe, groups
from kithkin.plot.look.palette import OKABE_ITO, group_colors
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

USUAL = ("n_counts", "n_genes", "pct_mito", "pct_ribo")
NAMES = {
    "n_counts": "counts per cell",
    "n_genes": "genes per cell",
    "pct_mito": "mitochondrial counts (%)",
    "pct_ribo": "ribosomal counts (%)",
}
LINE = OKABE_ITO[3]
HEIGHT = 2.9  # inches of a panel
CONDITION = r"\b(\w+)\s*(?:>=|<=|>|<)\s*([0-9][0-9_.eE+]*)"


def quality(
    ds: Dataset,
    columns: Sequence[str] | None = None,
    *,
    by: Any = None,
    log: Sequence[str] = ("n_counts", "n_genes"),
    thresholds: Mapping[str, float | Sequence[float]] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw the distribution of counts, genes and mitochondrial and ribosomal shares over the cells.

    Parameters
    ----------
    ds
        The dataset.
    columns
        Names of obs columns; None: those of n_counts, n_genes, pct_mito and pct_ribo that are there.
    by
        Groups to draw one violin each; one violin of all cells when None.
    log
        Columns drawn on a logarithmic axis (of 1 + value, so that zeros are seen).
    thresholds
        One or several values per column to mark; None: those that subset() used to make this dataset.
    seed
        Seed of the random choice of cells that are drawn as points (at most 1,500).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If quality() has not been run.
    ParameterError
        If a column does not hold numbers, or thresholds name a column that is not drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> class Cells(dict):
    ...     n_obs, obs = 3, pd.DataFrame({"n_counts": [900, 1200, 1500]})
    ...     read = dict.__getitem__
    >>> figure = quality(Cells({"obs/n_counts": Cells.obs["n_counts"]}))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['counts per cell']
    """
    if columns is None:
        columns = [name for name in USUAL if f"obs/{name}" in ds] or ["n_counts"]
    panels = [describe(ds, f"obs/{name}", name="columns") for name in columns]
    marks: dict[str, list[float]] = {}
    if thresholds is not None:
        marks = {name: list(np.atleast_1d(values)) for name, values in thresholds.items()}
        unknown = [name for name in marks if name not in columns]
        check(not unknown, f"thresholds must name drawn columns ({', '.join(columns)}), got {unknown}")
    elif "uns/subset" in ds:  # the conditions on cells that made this dataset
        for reason in ds.read("uns/subset").get("cells", {}).get("removed", {}):
            for name, value in re.findall(CONDITION, str(reason)):
                marks.setdefault(name, []).append(float(value))
    parts = Groups("", np.zeros(ds.n_obs, dtype=np.int64), [""]) if by is None else groups(ds, by)
    present = np.flatnonzero(parts.sizes())
    names = [shorten(parts.names[i], 24) for i in present]
    tail = 0.3 if by is None else 0.25 + float(text_inches(names, SMALL)[:, 0].max())
    width = max(1.7, 0.42 * len(present))
    per_row = max(1, min(len(panels), int(13 / (width + 0.75))))
    rows = -(-len(panels) // per_row)
    figure = Picture(per_row * (width + 0.75) + 0.1, rows * (HEIGHT + 0.4 + tail))
    rng = np.random.default_rng(seed)
    colors = group_colors(["all"]) if by is None else group_colors(parts.names)[present]
    for i, (name, what) in enumerate(zip(columns, panels, strict=True)):
        if isinstance(what, Groups):
            raise ParameterError(f"columns must hold numbers, obs/{name} holds groups")
        floor = (rows - 1 - i // per_row) * (HEIGHT + 0.4 + tail) + tail
        ax = figure.add_at(name, 0.6 + i % per_row * (width + 0.75), floor, width, HEIGHT)
        _draw_violins(ax, [what.values[parts.codes == k] for k in present], colors, name in log, rng)
        for value in marks.get(name, []):
            ax.axhline(value, color=LINE, linewidth=1, linestyle=(0, (4, 2)))
            forward, back = ax.yaxis.get_transform().transform, ax.yaxis.get_transform().inverted().transform
            low, high = ax.get_ylim()
            floor, ceiling = forward(np.array([min(low, value), max(high, value)]))
            # the number needs room above the line
            roof = max(ceiling, forward(np.array([value]))[0] + 0.09 * (ceiling - floor))
            bottom, top = back(np.array([floor, roof]))
            ax.set_ylim(float(bottom), float(top))
            ax.annotate(f"{value:,.6g}", (0, value), xycoords=("axes fraction", "data"), xytext=(3, 2),
                        textcoords="offset points", fontsize=SMALL, color=LINE)  # fmt: skip
        ax.spines["left"].set_color(FAINT)
        ax.set_title(NAMES.get(name, name), fontsize=TEXT, color=INK, loc="left")
        below, known = names, what.values[np.isfinite(what.values)]
        if by is None:
            median = float(np.median(known)) if len(known) else np.nan
            below = (
                [f"median {median:,.0f}" if median >= 100 else f"median {median:.3g}"] if len(known) else ["no values"]
            )
        ax.set_xticks(range(len(present)), below, rotation=0 if by is None else 90, fontsize=SMALL)
        ax.tick_params(axis="x", length=0)
    return figure


def _draw_violins(ax: Axes, samples: list[Array], colors: Array, log: bool, rng: np.random.Generator) -> None:
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
    top, bottom = float(everything.max()), 0.0 if not log else float(everything.min())
    if log:
        steps = [0.0, *(float(d * 10**k) for k in range(9) for d in (1, 2, 5))]
        low, high = np.expm1(max(0.0, np.log1p(bottom) - 0.15)), np.expm1(np.log1p(top) + 0.1)
        inside = [step for step in steps if low <= step <= high]
        if len(inside) > 7:
            inside = [step for step in inside if step == 0 or f"{step:.0e}".startswith("1")]
        ax.set_yticks(inside, [f"{step:,.0f}" for step in inside])
        ax.set_ylim(low, max(high, low + 1))
    elif top > bottom:
        ax.set_ylim(bottom, top + 0.05 * (top - bottom))


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
