"""Genes against cells, the cells side by side with their group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.data import Genes, Groups, choose_genes, gene_slabs, groups, is_plain
from kithkin.plot.look.labels import spread, title_room, write_titles
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.palette import DIVERGING
from kithkin.plot.look.style import ABSENT, FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

ROW = 0.125  # inches of a gene
BAR = 0.12  # inches of the bars with group colours
WIDE = 7.0  # inches of all cells: 1,050 pixels, so that none of 1,000 cells falls between them
LIMIT = 2.5  # standard deviations at which colours end


def heatmap(
    ds: Dataset,
    by: Any = "obs/leiden",
    genes: Genes = None,
    *,
    n_genes: int = 3,
    n_cells: int = 1000,
    normalize: str | None = "log1p",
    seed: int = 0,
) -> Figure:
    """Draw the expression of genes in cells that are sorted by group, each gene scaled to mean 0 and deviation 1.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key, or an array with one entry per observation.
    genes
        Names, or names by group; None: the best markers of each group in uns/rank_genes_groups.
    n_genes
        Markers per group when `genes` is None.
    n_cells
        Most cells to draw: of each group an equal share of them, or all its cells where it has fewer.
    normalize
        "log1p": log(1 + counts per 10,000) before scaling; None: the values as stored.
    seed
        Seed of the random draw of cells.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the groups, the markers or obs/n_counts are needed and not there.
    ParameterError
        If a gene is unknown, or n_cells is less than the number of groups.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> X = np.array([[3.0, 0.0], [2.0, 0.0], [0.0, 5.0]])
    >>> names, execution = ["a", "b"], SimpleNamespace(memory=10**9)
    >>> ds = SimpleNamespace(n_obs=3, var_names=names, var_labels=names, execution=execution,
    ...                      genes=lambda names: X[:, [["a", "b"].index(n) for n in names]])
    >>> figure = heatmap(ds, by=["T", "T", "B"], genes=["a", "b"], normalize=None)
    >>> figure.axes[0].images[0].get_array().shape
    (2, 3)
    """
    labels = groups(ds, by)
    present = np.flatnonzero(labels.sizes())
    check(n_cells >= len(present), f"n_cells must be at least the {len(present)} groups, got {n_cells!r}")
    sets = choose_genes(ds, labels, genes, n_genes)
    listed = [gene for names in sets.values() for gene in names]
    rows = sample_cells(labels, n_cells, seed)
    codes = labels.codes[rows]
    values = np.concatenate([part for _, part in gene_slabs(ds, listed, normalize, rows)], axis=1).T
    values = np.ma.masked_invalid(values)  # what is missing shows the ground, and counts for nothing
    deviation = values.std(axis=1, keepdims=True).filled(0)
    values = (values - values.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)

    names = [shorten(labels.names[i], 32) for i in present]
    left = 0.3 + BAR + float(text_inches(listed, SMALL - 1)[:, 0].max())
    upright, tall = title_room(names, WIDE * np.array([(codes == i).mean() for i in present]) - 0.05)
    top = BAR + (0.35 if upright else 0.25) + tall
    height = max(ROW * len(listed), 0.5)
    figure = Picture(left + WIDE + 1.15, max(height + top + 0.2, 1.9))
    bottom = float(figure.get_size_inches()[1]) - top - height
    ax = figure.add_at("values", left, bottom, WIDE, height)
    ax.set_facecolor(ABSENT)
    ax.imshow(values, cmap=DIVERGING, vmin=-LIMIT, vmax=LIMIT, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(listed)), listed)
    ax.set_xticks([])
    plain(ax, keep="")
    ax.tick_params(axis="y", length=0, labelsize=SMALL - 1, pad=2 + 72 * (BAR + 0.03))
    colors = own_colors(labels)
    above = figure.add_at("groups of cells", left, bottom + height + 0.03, WIDE, BAR)
    above.imshow(colors[codes][None], aspect="auto", interpolation="nearest")
    above.set_axis_off()
    shades = dict(zip(labels.names, colors, strict=True))
    if not isinstance(genes, Sequence) and set(sets) <= set(shades):
        beside = figure.add_at("groups of genes", left - 0.03 - BAR, bottom, BAR, height)
        column = np.array([[shades[name]] for name, some in sets.items() for _ in some])
        beside.imshow(column, aspect="auto", interpolation="nearest")
        beside.set_axis_off()
    middles = centers = np.array([np.flatnonzero(codes == i).mean() for i in present])
    if upright:
        centers = spread(middles, np.full(len(names), 0.145 * (len(codes) / WIDE)), -0.5, len(codes) - 0.5)
        low, high = (1 + (BAR + gap) / height for gap in (0.05, 0.15))
        for middle, center in zip(middles, centers, strict=True):
            ax.plot([middle, center], [low, high], color=FAINT, linewidth=0.8, transform=ax.get_xaxis_transform(),
                    clip_on=False)  # fmt: skip
    write_titles(ax, centers, 1 + (BAR + (0.18 if upright else 0.08)) / height, names, upright)
    for edge in np.flatnonzero(np.diff(codes)) + 0.5:
        ax.axvline(edge, color="white", linewidth=0.6)
    bar_ax = figure.add_at("colours", left + WIDE + 0.15, max(0.4, bottom + height - 1.3), 0.12, 1.1)
    scale = ScalarMappable(Normalize(-LIMIT, LIMIT), DIVERGING)
    bar = figure.color_bar(scale, bar_ax, rim=False, extend="both", extendfrac=0.04)
    what = "column" if normalize is None or is_plain(ds) else "gene"
    bar.set_label(f"standard deviations\nfrom the mean of the {what}", fontsize=TEXT - 1, color=INK)
    return figure


def sample_cells(labels: Groups, n_cells: int, seed: int = 0) -> Array:
    """Draw the numbers of the cells to show, sorted by group: of each group an equal share, or all that it has."""
    sizes = labels.sizes()
    quota = np.minimum(sizes, n_cells // max(1, int(np.count_nonzero(sizes))))
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.flatnonzero(labels.codes == i), quota[i], replace=False) for i in range(len(sizes))]
    return np.concatenate([np.sort(part) for part in drawn])
