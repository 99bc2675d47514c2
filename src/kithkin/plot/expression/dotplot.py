"""Groups against genes: the share of cells that express a gene, and the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from kithkin.core.blocks import Array
from kithkin.plot.data import Genes, choose_genes, gene_slabs, groups
from kithkin.plot.look.labels import spread, title_room, write_titles
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

CELL = 0.21  # inches between two dots
SHADES = "BuPu"
SIDE = 1.4  # inches for the legends


def dotplot(
    ds: Dataset,
    by: Any = "obs/leiden",
    genes: Genes = None,
    *,
    n_genes: int = 3,
    normalize: str | None = "log1p",
    scale: bool = True,
) -> Figure:
    """Draw one dot per group and gene: its size is the share of cells that express it, its colour the mean.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key, or an array with one entry per observation.
    genes
        Names, or names by group; None: the best markers of each group in uns/rank_genes_groups. A gene that several
        groups share is drawn once, where its score is highest.
    n_genes
        Markers per group when `genes` is None.
    normalize
        "log1p": mean of log(1 + counts per 10,000); None: mean of the values as stored.
    scale
        Whether to bring the means of each gene to 0..1 over the groups.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the groups, the markers or obs/n_counts are needed and not there.
    ParameterError
        If a gene is unknown, or the markers belong to other groups.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> X = np.array([[3.0, 0.0], [2.0, 0.0], [0.0, 5.0]])
    >>> names, execution = ["a", "b"], SimpleNamespace(memory=10**9)
    >>> ds = SimpleNamespace(n_obs=3, var_names=names, var_labels=names, execution=execution,
    ...                      genes=lambda names: X[:, [["a", "b"].index(n) for n in names]])
    >>> figure = dotplot(ds, by=["T", "T", "B"], genes=["a", "b"], normalize=None)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['B', 'T']
    """
    labels = groups(ds, by)
    sets = choose_genes(ds, labels, genes, n_genes)
    listed = [gene for names in sets.values() for gene in names]
    mean, fraction = np.zeros((len(labels.names), len(listed))), np.zeros((len(labels.names), len(listed)))
    known = labels.codes >= 0
    codes = labels.codes[known]
    for some, values in gene_slabs(ds, listed, normalize):
        for j in range(values.shape[1]):
            column = values[known, j]
            mean[:, some.start + j] = np.bincount(codes, weights=column, minlength=len(mean))
            fraction[:, some.start + j] = np.bincount(codes, weights=column > 0, minlength=len(mean))
    present = np.flatnonzero(labels.sizes())
    mean, fraction = (table[present] / labels.sizes()[present, None] for table in (mean, fraction))
    if scale:
        low, high = mean.min(axis=0), mean.max(axis=0)
        mean = (mean - low) / np.where(high > low, high - low, 1.0)
    names = [shorten(labels.names[i], 32) for i in present]
    titles, counts = [shorten(name, 32) for name in sets], np.array([len(some) for some in sets.values()])

    left = 0.25 + float(text_inches(names, SMALL)[:, 0].max())
    bottom = 0.2 + float(text_inches(listed, SMALL)[:, 0].max())
    upright, top, bracketed = False, 0.15, list(sets) != [""]
    if bracketed:
        upright, tall = title_room(titles, CELL * counts - 0.04)
        top = 0.3 + tall
    width, height = CELL * len(listed), CELL * len(present)
    total = max(height + bottom + top, 3.1)
    figure = Picture(left + width + 0.35 + SIDE, total)
    ax = figure.add_at("dots", left, total - top - height, width, height)
    shades = ScalarMappable(Normalize(0.0, 1.0 if scale else max(float(mean.max()), 1e-9)), SHADES)
    y, x = np.divmod(np.arange(mean.size), len(listed))
    for row in range(0, len(present), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="#F6F6F6", linewidth=0, zorder=0)
    colors = shades.to_rgba(mean.ravel())
    ax.scatter(x, y, s=_area(fraction.ravel()), c=colors, edgecolors="#8A8A8A", linewidths=0.3, zorder=2)
    ax.set(xlim=(-0.5, len(listed) - 0.5), ylim=(len(present) - 0.5, -0.5))
    ax.set_xticks(range(len(listed)), listed, rotation=90)
    ax.set_yticks(range(len(present)), names)
    plain(ax, keep="")
    ax.tick_params(length=0, labelsize=SMALL)
    if bracketed:  # over the genes of each group; names stand level where all of them fit
        ends = np.cumsum(counts)
        low, high, text = (1 + inches / height for inches in (0.03, 0.08, 0.12))
        centers = ends - (counts + 1) / 2
        for start, end in zip(ends - counts - 0.35, ends - 0.65, strict=True):
            ax.plot([start, start, end, end], [low, high, high, low], color=INK, linewidth=0.8,
                    transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip
        if upright:
            centers = spread(centers, np.full(len(centers), 0.65), -0.5, ends[-1] - 0.5)
        write_titles(ax, centers, text, titles, upright)
    dots = "above 0" if normalize is None else "cells expressing"
    unit = "mean value" if normalize is None else "mean of log(1 +\ncounts per 10,000)"
    unit = f"mean, scaled\nper {'gene' if normalize else 'column'}" if scale else unit
    _draw_legends(figure, left + width + 0.35, total, shades, dots, unit)
    return figure


def _area(fraction: Array) -> Array:
    """Return areas in square points: 1 nearly fills its cell, the smallest is still seen, and 0 is nothing."""
    out: Array = (0.92 * CELL * 72) ** 2 * np.where(fraction > 0, np.maximum(fraction, 0.004), 0.0)
    return out


def _draw_legends(figure: Picture, left: float, total: float, shades: ScalarMappable, dots: str, unit: str) -> None:
    """Draw dots of known size, and the colour bar, from the top right corner down."""
    steps = np.array([1.0, 0.75, 0.5, 0.25])
    height = CELL * len(steps)
    ax = figure.add_at("sizes", left, total - 0.45 - height, SIDE, height)
    y = np.arange(len(steps))
    ax.scatter(0 * y, y, s=_area(steps), c="#B9B9B9", edgecolors="#8A8A8A", linewidths=0.3)
    ax.set(xlim=(-0.5, SIDE / CELL - 0.5), ylim=(len(steps) - 0.5, -0.5), xticks=[], yticks=[])
    for i, step in enumerate(steps):
        ax.text(0.8, i, f"{100 * step:.0f}%", fontsize=SMALL, color=INK, va="center")
    plain(ax, keep="")
    ax.set_title(dots, fontsize=TEXT, color=INK, loc="left", pad=4)
    bar_ax = figure.add_at("colours", left + 0.04, total - 0.45 - height - 0.85, SIDE - 0.25, 0.11)
    figure.color_bar(shades, bar_ax, orientation="horizontal")
    bar_ax.set_title(unit, fontsize=TEXT, color=INK, loc="left", pad=4)
