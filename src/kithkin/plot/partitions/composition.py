"""Composition of samples: the share of each cluster in each sample, and how it differs between conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.data import groups
from kithkin.plot.look.legends import groups_entry
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.palette import OKABE_ITO, group_colors
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

BAR, HEIGHT, COLUMN = 0.26, 2.2, 0.5  # inches of a sample, of the bars and of a cluster
LEFT, HEAD, BETWEEN = 0.6, 0.3, 0.4
CONDITIONS = ("#8A8A8A", *OKABE_ITO[:6])  # the reference is grey
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # percent
PARTS = {"counts", "groups", "samples", "used", "group", "level", "pval_adj", "params"}


def composition(
    ds: Dataset,
    key: str = "uns/composition",
    *,
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    threshold: float = 0.05,
) -> Figure:
    """Draw the clusters of each sample as a bar, and the share of each cluster in the samples of each condition.

    Below, each sample is a dot, and a line marks the mean of its condition. The adjusted p of composition() stands
    above each cluster, in bold below the threshold; of several conditions the least.

    Parameters
    ----------
    ds
        The dataset.
    key
        Key of the result of composition().
    palette
        Colours of the clusters, by name or in order, or a colour map; those of other figures by default.
    threshold
        Adjusted p below which it is written in bold.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If composition() has not been run.
    ParameterError
        If the key is that of something else.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 100, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obs/sample": ["a", "b", "c", "d"] * 50, "obs/drug": ["no", "yes"] * 100})
    >>> _ = kk.composition(ds, "drug", sample="sample", on="group")
    >>> figure = composition(ds)
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['a', 'c', 'b', 'd']
    """
    stored = ds.read(key)
    right = isinstance(stored, Mapping) and set(stored) >= PARTS
    check(right, f"key must be that of a result of kithkin.composition, got {key!r}")
    counts, names = np.asarray(stored["counts"], float), [str(name) for name in stored["groups"]]
    by = str(stored["params"]["by"]).partition("/")[2]
    used = np.asarray(stored["used"], bool)
    condition = stored["samples"][by].astype(str).to_numpy()
    levels = [str(level) for level in stored["level"].categories]
    levels = [level for level in levels if (condition[used] == level).any()]
    order = np.concatenate([np.flatnonzero((condition == level) & used) for level in levels])
    shares, condition = 100 * counts[order] / counts[order].sum(axis=1, keepdims=True), condition[order]
    samples = [shorten(str(name), 24) for name in stored["samples"].index[order]]
    colors = colors_of_clusters(ds, str(stored["params"]["on"]), names, palette)

    shown = [shorten(name, 24) for name in names]
    foot, low_foot = (0.25 + float(text_inches(some, SMALL)[:, 0].max()) for some in (samples, shown))
    gaps = np.cumsum([0, *(a != b for a, b in zip(condition[1:], condition[:-1], strict=True))]) * 0.5
    at, wide = np.arange(len(order)) + gaps, BAR * (len(order) + gaps[-1] + 0.2)
    below = COLUMN * len(names)
    legend = 0.3 + max(0.8, float(text_inches([shorten(name) for name in names], SMALL)[:, 0].max())) + 0.3
    width = LEFT + max(wide + legend, below + legend)
    top = low_foot + HEIGHT + BETWEEN + foot
    figure = Picture(width, top + HEIGHT + HEAD)
    bars = figure.add_at("samples", LEFT, top, wide, HEIGHT)
    base = np.zeros(len(order))
    for k in range(len(names)):
        bars.bar(at, shares[:, k], 0.86, base, color=colors[k], linewidth=0)
        base += shares[:, k]
    plain(bars, keep="left")
    bars.set(xlim=(-0.6, at[-1] + 0.6), ylim=(0, 100))
    bars.set_xticks(at, samples, rotation=90, fontsize=SMALL)
    bars.tick_params(axis="x", length=0)
    bars.set_ylabel("cells (%)", fontsize=TEXT, color=INK)
    shades = dict(zip(levels, group_colors(levels, [*CONDITIONS, *OKABE_ITO] * (1 + len(levels) // 15)), strict=True))
    for level in levels:
        own = at[condition == level]
        bars.plot([own[0] - 0.43, own[-1] + 0.43], [103, 103], color=shades[level], linewidth=2.5, clip_on=False,
                  solid_capstyle="butt")  # fmt: skip
    entry = groups_entry(figure, str(stored["params"]["on"]).partition("/")[2], names, list(colors), HEIGHT)
    figure.place(entry.ax, LEFT + wide + 0.15, top + HEIGHT - 0.22, *entry.size)
    dots = figure.add_at("clusters", LEFT, low_foot, below, HEIGHT)
    least = pd.Series(np.asarray(stored["pval_adj"])).groupby(np.asarray(stored["group"]).astype(str)).min()
    draw_dots(dots, shares, condition, shades, 50 / counts[order].sum(axis=1))
    write_pvals(dots, [float(least.get(name, np.nan)) for name in names], threshold)
    dots.set_xticks(range(len(names)), shown, rotation=90, fontsize=SMALL)
    entry = groups_entry(figure, by, levels, [shades[level] for level in levels], HEIGHT)
    figure.place(entry.ax, LEFT + below + 0.15, low_foot + HEIGHT - 0.22, *entry.size)
    return figure


def colors_of_clusters(ds: Dataset, on: str, names: list[str], palette: Any) -> Array:
    """Return the colours that the clusters have in other figures."""
    parts = groups(ds, on)
    found = dict(zip(parts.names, own_colors(parts, palette), strict=True))
    return np.stack([found[name] for name in names])


def draw_dots(ax: Axes, shares: Array, condition: Array, shades: Mapping[str, Array], half_cell: Array) -> None:
    """Draw the shares of each cluster on a logarithmic axis: dots for samples, lines for means; none as half a cell."""
    shown = np.maximum(shares, half_cell[:, None])
    step = min(0.3, 0.8 / len(shades))
    for number, (level, color) in enumerate(shades.items()):
        own = shown[condition == level]
        x = np.arange(shares.shape[1]) + step * (number - (len(shades) - 1) / 2)
        spread = np.linspace(-0.2, 0.2, len(own)) * step if len(own) > 1 else np.zeros(1)
        ax.scatter((x + spread[:, None]).ravel(), own.ravel(), s=14, color=color, linewidths=0, zorder=3)
        means = np.maximum(shares[condition == level].mean(axis=0), half_cell.min())
        ax.hlines(means, x - 0.45 * step, x + 0.45 * step, color=color, linewidth=1.6, zorder=2)
    ax.set_yscale("log")
    low, high = float(shown.min()) / 1.3, float(shown.max()) * 1.3
    ticks = [tick for tick in TICKS if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set(xlim=(-0.5, shares.shape[1] - 0.5), ylim=(low, high))
    for edge in np.arange(shares.shape[1] - 1) + 0.5:
        ax.axvline(edge, color=FAINT, linewidth=0.4, zorder=0)
    plain(ax)
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel("cells (%)", fontsize=TEXT, color=INK)


def write_pvals(ax: Axes, pvals: list[float], threshold: float) -> None:
    """Write the adjusted p of each cluster above its column."""
    ax.annotate("adj. p", (0, 1), (-4, 3), xycoords="axes fraction", textcoords="offset points", ha="right",
                fontsize=SMALL - 1, color=INK)  # fmt: skip
    for place, pval in enumerate(pvals):
        if not np.isfinite(pval):
            continue
        text = f"{pval:.2f}" if pval >= 0.01 else f"{pval:.3f}" if pval >= 0.001 else f"{pval:.0e}".replace("e-0", "e-")
        sure = pval < threshold
        ax.annotate(text, (place, 1), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
                    ha="center", fontsize=SMALL - 1, color=INK if sure else FAINT,
                    fontweight="bold" if sure else "normal")  # fmt: skip
