"""Groups against genes: the share of cells that express a gene, and the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

from kithkin.core.blocks import Array
from kithkin.plot.data import Genes, Groups, choose_genes, gene_slabs, groups, is_plain
from kithkin.plot.look.labels import spread, title_room, write_titles
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

CELL = 0.21  # inches between two dots
SHADES = "BuPu"
SIDE = 1.4  # inches for the legends
PAGE, NARROW, LOWEST = 9.0, 0.1, 0.13  # inches that all columns or rows should take, and of one column and row at least
BRIEF = 16  # letters of a name above its genes where names stand upright


def dotplot(
    ds: Dataset,
    by: Any = "obs/leiden",
    genes: Genes = None,
    *,
    n_genes: int = 3,
    normalize: str | None = "log1p",
    scale: bool = True,
    sort: bool = True,
) -> Figure:
    """Draw one dot per group and gene: its size is the share of cells that express it, its colour the mean.

    Of a table of values, whose columns are no genes, the size is the share of rows above the mean of the column.
    Missing values are left out.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key, or an array with one entry per observation.
    genes
        Names, or names by group; None: the best markers of each group in uns/rank_genes_groups. A gene that several
        groups share is drawn once, where its score is highest, and the others show their next ones.
    n_genes
        Markers per group when `genes` is None.
    normalize
        "log1p": mean of log(1 + counts per 10,000); None: mean of the values as stored, as always of a table of values.
    scale
        Whether to bring the means of each gene to 0..1 over the groups.
    sort
        Whether groups, and their markers with them, stand by similarity: in the order of the leaves of a tree of their
        means (average linkage of correlations). Otherwise in their own order.

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
    # Long: the figure in one place: sizes, colours, brackets and legend share their measures
    labels = groups(ds, by)
    sets = choose_genes(ds, labels, genes, n_genes)
    listed = [gene for names in sets.values() for gene in names]
    values_kind = is_plain(ds)
    normalize = None if values_kind else normalize
    mean, fraction = means_and_shares(ds, labels, listed, normalize, above_mean=values_kind)
    present = np.flatnonzero(labels.sizes())
    if sort and len(present) > 2 and len(listed) > 1:
        present = present[similar(mean[present])]
        by_name = {labels.names[i]: sets[labels.names[i]] for i in present if labels.names[i] in sets}
        if len(by_name) == len(sets):  # markers go with their groups
            columns = [listed.index(gene) for names in by_name.values() for gene in names]
            sets, listed = by_name, [listed[column] for column in columns]
            mean, fraction = mean[:, columns], fraction[:, columns]
    mean, fraction = mean[present], fraction[present]
    if scale:
        low, high = mean.min(axis=0), mean.max(axis=0)
        mean = (mean - low) / np.where(high > low, high - low, 1.0)
    names = [shorten(labels.names[i], 32) for i in present]
    titles, counts = [shorten(name, 32) for name in sets], np.array([len(some) for some in sets.values()])
    # many genes: narrower columns with smaller letters, on one page
    wide, tall = np.clip(PAGE / np.array([len(listed), len(present)]), (NARROW, LOWEST), CELL).tolist()
    cell, font = min(wide, tall), min(SMALL, 72 * wide * 0.8)

    left, bottom = (0.2 + float(text_inches(some, size)[:, 0].max()) for some, size in ((names, SMALL), (listed, font)))
    upright, top, bracketed = False, 0.15, list(sets) != [""]
    if bracketed:
        upright, high = title_room(titles, wide * counts - 0.04)
        if upright:  # long names once, beside the rows
            titles = [shorten(name, BRIEF) for name in titles]
            upright, high = title_room(titles, wide * counts - 0.04)
        top = 0.3 + high
    width, height = wide * len(listed), tall * len(present)
    total = max(height + bottom + top, 3.1)
    figure = Picture(left + width + 0.35 + SIDE, total)
    ax = figure.add_at("dots", left, total - top - height, width, height)
    shades = ScalarMappable(Normalize(0.0, 1.0 if scale else max(float(mean.max()), 1e-9)), SHADES)
    y, x = np.divmod(np.arange(mean.size), len(listed))
    for row in range(0, len(present), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="#F6F6F6", linewidth=0, zorder=0)
    colors = shades.to_rgba(mean.ravel())
    ax.scatter(x, y, s=_area(fraction.ravel(), cell), c=colors, edgecolors="#8A8A8A", linewidths=0.3, zorder=2)
    ax.set(xlim=(-0.5, len(listed) - 0.5), ylim=(len(present) - 0.5, -0.5))
    ax.set_xticks(range(len(listed)), listed, rotation=90)
    ax.set_yticks(range(len(present)), names)
    plain(ax, keep="")
    ax.tick_params(length=0, labelsize=SMALL)
    ax.tick_params(axis="x", labelsize=font)
    if bracketed:  # over the genes of each group; names stand level where all of them fit
        ends = np.cumsum(counts)
        low, high, text = (1 + inches / height for inches in (0.03, 0.08, 0.12))
        centers = ends - (counts + 1) / 2
        for start, end in zip(ends - counts - 0.35, ends - 0.65, strict=True):
            ax.plot([start, start, end, end], [low, high, high, low], color=INK, linewidth=0.8,
                    transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip
        if upright:
            centers = spread(centers, np.full(len(centers), 0.137 / wide), -0.5, ends[-1] - 0.5)
        write_titles(ax, centers, text, titles, upright)
    dots = "above 0" if normalize is None else "cells expressing"
    unit = "mean value" if normalize is None else "mean of log(1 +\ncounts per 10,000)"
    if values_kind:
        dots = "rows above the\nmean of the column"
    unit = f"mean, scaled\nper {'gene' if normalize else 'column'}" if scale else unit
    _draw_legends(figure, left + width + 0.35, total, shades, dots, unit, cell)
    return figure


def means_and_shares(
    ds: Dataset, labels: Groups, genes: list[str], normalize: str | None, *, above_mean: bool
) -> tuple[Array, Array]:
    """Compute the mean of each gene in each group, and the share of values above 0 or above the mean of all, k x g.

    Missing values are left out. A group without a value has a share of 0, which draws nothing, and the mean of the
    others, which changes no scale.
    """
    shape = (len(labels.names), len(genes))
    mean, fraction, seen = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for some, values in gene_slabs(ds, genes, normalize):
        for j in range(values.shape[1]):
            there = (labels.codes >= 0) & np.isfinite(values[:, j])
            column, codes = values[there, j], labels.codes[there]
            least = float(column.mean()) if above_mean and len(column) else 0.0
            at = (slice(None), some.start + j)
            mean[at] = np.bincount(codes, weights=column, minlength=len(mean))
            fraction[at] = np.bincount(codes, weights=column > least, minlength=len(mean))
            seen[at] = np.bincount(codes, minlength=len(mean))
    means, known = mean / np.maximum(seen, 1), np.maximum((seen > 0).sum(axis=0), 1)
    return np.where(seen > 0, means, means.sum(axis=0) / known), fraction / np.maximum(seen, 1)


def similar(means: Array) -> Array:
    """Order rows such that neighbours are alike: the leaves of a tree of average linkage, the first row rather on top.

    Columns are standardised, and rows that are constant then have no correlation with any other.
    """
    deviation = means.std(axis=0)
    standard = (means - means.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    distance = 1 - np.nan_to_num(np.corrcoef(standard + 1e-12 * np.arange(means.shape[1])))
    pairs = np.clip(distance[np.triu_indices(len(means), 1)], 0, 2)
    order: Array = leaves_list(optimal_leaf_ordering(linkage(pairs, "average"), pairs))
    return order if np.corrcoef(order, np.arange(len(order)))[0, 1] >= 0 else order[::-1]


def _area(fraction: Array, cell: float) -> Array:
    """Return areas in square points: 1 nearly fills its cell, the smallest is still seen, and 0 is nothing."""
    out: Array = (0.92 * cell * 72) ** 2 * np.where(fraction > 0, np.maximum(fraction, 0.004), 0.0)
    return out


def _draw_legends(
    figure: Picture, left: float, total: float, shades: ScalarMappable, dots: str, unit: str, cell: float
) -> None:
    """Draw dots of known size, and the colour bar, from the top right corner down."""
    steps = np.array([1.0, 0.75, 0.5, 0.25])
    height = CELL * len(steps)
    below = 0.45 + 0.15 * dots.count("\n")
    ax = figure.add_at("sizes", left, total - below - height, SIDE, height)
    y = np.arange(len(steps))
    ax.scatter(0 * y, y, s=_area(steps, cell), c="#B9B9B9", edgecolors="#8A8A8A", linewidths=0.3)
    ax.set(xlim=(-0.5, SIDE / CELL - 0.5), ylim=(len(steps) - 0.5, -0.5), xticks=[], yticks=[])
    for i, step in enumerate(steps):
        ax.text(0.8, i, f"{100 * step:.0f}%", fontsize=SMALL, color=INK, va="center")
    plain(ax, keep="")
    ax.set_title(dots, fontsize=TEXT, color=INK, loc="left", pad=4)
    bar_ax = figure.add_at("colours", left + 0.04, total - below - height - 0.85, SIDE - 0.25, 0.11)
    figure.color_bar(shades, bar_ax, orientation="horizontal")
    bar_ax.set_title(unit, fontsize=TEXT, color=INK, loc="left", pad=4)
