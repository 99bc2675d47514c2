"""Volcano plots: how much each gene differs between conditions, and how sure that is, one panel for each cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_known, check_range
from kithkin.plot.look.palette import MISSING, OKABE_ITO
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

SIDE, LEFT, BELOW, HEAD, GAP = 2.25, 0.55, 0.5, 0.4, 0.35  # inches of a panel, and around it
BROAD = 11.5  # inches that panels take side by side
UP, DOWN = OKABE_ITO[3], OKABE_ITO[0]
WITHIN = 0.95  # of the genes that are in the panel
LETTERS = 7.0  # points of the names of genes
LEAST_P = 1e-300
DOT, FAR = 0.03, 0.07  # inches: half of a dot, and from a dot to its name from where on a line joins them
# directions in which a name is tried, outwards first, and inches beyond its usual place, near ones first
DIRECTIONS = np.array(
    [(1, 0), (1, 0.5), (1, -0.5), (0.5, 1), (-1, 0), (0, 1), (-1, 0.5), (0, -1), (-1, -0.5), (-0.5, 1)]
)
STEPS = np.array([0.0, 0.06, 0.12, 0.2, 0.3, 0.45, 0.6])
WAYS, REACHES = np.tile(DIRECTIONS, (len(STEPS), 1)), np.repeat(STEPS, len(DIRECTIONS))[:, None]
COLUMNS = {"group", "level", "gene", "pval", "pval_adj", "logfoldchange"}


def volcano(
    ds: Dataset,
    key: str = "uns/contrast",
    *,
    groups: Sequence[str] | None = None,
    n_genes: int = 8,
    threshold: float = 0.05,
) -> Figure:
    """Draw fold change and p of every gene of a contrast, a panel for each cluster and condition.

    Genes with an adjusted p below the threshold are coloured and counted, and those with the least p are named. A gene
    that few counts throw far out, without being found, is drawn at the edge.

    Parameters
    ----------
    ds
        The dataset.
    key
        Key of the result of contrast().
    groups
        Clusters to draw; all by default.
    n_genes
        Most genes to name in each panel; 0 names none.
    threshold
        Adjusted p below which a gene is coloured.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If contrast() has not been run.
    ParameterError
        If the key is that of something else, or a cluster was not tested.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 100, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obs/sample": ["a", "b", "c", "d"] * 50, "obs/drug": ["no", "yes"] * 100})
    >>> _ = kk.contrast(ds, "drug", sample="sample", within="group")
    >>> [ax.get_title(loc="left") for ax in volcano(ds).axes]
    ['0', '1']
    """
    stored = ds.read(key)
    right = isinstance(stored, Mapping) and set(stored) >= COLUMNS
    check(right, f"key must be that of a result of kithkin.contrast, got {key!r}")
    check_range("n_genes", n_genes, 0, 1000)
    check_range("threshold", threshold, 0.0, 1.0)
    table = pd.DataFrame({name: stored[name] for name in COLUMNS})
    tested = [str(name) for name in table["group"].cat.remove_unused_categories().cat.categories]
    if groups is not None:
        check_known(groups, tested, "groups must be clusters that were tested, and there is no")
    chosen = tested if groups is None else [name for name in tested if name in set(groups)]
    levels = [str(name) for name in table["level"].cat.remove_unused_categories().cat.categories]
    panels = [(group, level) for group in chosen for level in levels]
    panels = [pair for pair in panels if ((table["group"] == pair[0]) & (table["level"] == pair[1])).any()]
    check(bool(panels), "groups must name at least one cluster, got none")
    symbols = dict(zip(ds.var_names, ds.var_labels, strict=True))
    per_row = max(1, min(len(panels), int(BROAD / (SIDE + GAP))))
    rows = -(-len(panels) // per_row)
    per_row = -(-len(panels) // rows)  # as many in each row
    figure = Picture(LEFT + per_row * (SIDE + GAP) + 0.05, BELOW + rows * (SIDE + HEAD) + (rows - 1) * 0.25)
    for place, (group, level) in enumerate(panels):
        row, column = divmod(place, per_row)
        bottom = BELOW + (rows - 1 - row) * (SIDE + HEAD + 0.25)
        ax = figure.add_at(f"{group} {level}", LEFT + column * (SIDE + GAP), bottom, SIDE, SIDE)
        some = table[(table["group"] == group) & (table["level"] == level)]
        draw_panel(ax, some, symbols, n_genes, threshold)
        title = group if len(levels) == 1 else f"{group}: {level}"
        ax.set_title(shorten(title, 34), fontsize=TEXT, color=INK, loc="left", pad=12)
        if column == 0:
            ax.set_ylabel(r"-log10 p", fontsize=TEXT, color=INK)
        if place + per_row >= len(panels):
            against = f"log2 fold change, {shorten(level, 12)} / {shorten(str(stored['params']['reference']), 12)}"
            ax.set_xlabel(against, fontsize=TEXT, color=INK)
    return figure


def draw_panel(ax: Axes, table: pd.DataFrame, symbols: Mapping[str, str], n_genes: int, threshold: float) -> None:
    """Draw the genes of one cluster, count those that differ, and name the first."""
    tested = np.isfinite(table["pval"]) & np.isfinite(table["logfoldchange"])
    table = table[tested].sort_values("pval", kind="stable")
    x = table["logfoldchange"].to_numpy(float)
    y = -np.log10(np.maximum(table["pval"].to_numpy(float), LEAST_P))
    found = (table["pval_adj"] < threshold).to_numpy()
    far = 1.1 * max([1.0, *np.abs(x[found]), float(np.quantile(np.abs(x), WITHIN)) if len(x) else 0.0])
    x = np.clip(x, -far, far)
    ax.scatter(x[~found], y[~found], s=4, color=MISSING, linewidths=0, rasterized=len(x) > 5000)
    for sign, color in ((1, UP), (-1, DOWN)):
        some = found & (np.sign(x) == sign)
        ax.scatter(x[some], y[some], s=9, color=color, linewidths=0)
        side, place, arrow = ("right", 1.0, "↑") if sign > 0 else ("left", 0.0, "↓")
        ax.annotate(f"{arrow} {some.sum():,}", (place, 1), (0, 2), xycoords="axes fraction",
                    textcoords="offset points", ha=side, fontsize=SMALL, color=color)  # fmt: skip
    ax.set_xlim(-far, far)
    ax.set_ylim(0, 1.18 * max([1.3, *y]))
    ax.axvline(0, color=FAINT, linewidth=0.6, zorder=0)
    plain(ax)
    first = np.flatnonzero(found)[:n_genes]
    if len(first):
        names = [shorten(symbols.get(str(gene), str(gene)), 14) for gene in table["gene"].astype(str).iloc[first]]
        points = np.stack([x, y], axis=1)
        write_names(ax, points[first], names, points[found])


def write_names(ax: Axes, places: Array, names: list[str], dots: Array) -> None:
    """Write names beside points so that none covers another or a dot, with a line to its point from one farther off.

    A name for which there is no room is left out.

    Parameters
    ----------
    places, names
        Points that are named, the most important first.
    dots
        All points that no name may cover.
    """
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    scale, origin = np.array([SIDE / (right - left), SIDE / (high - low)]), np.array([left, low])
    at, kept_free = (places - origin) * scale, (dots - origin) * scale
    boxes = [np.stack([kept_free - DOT, kept_free + DOT], axis=1)]
    for point, size, name in zip(at, text_inches(names, LETTERS) + np.array([0.03, 0.0]), names, strict=True):
        taken = np.concatenate(boxes)
        side = np.sign(point[0] - SIDE / 2) or 1.0
        middles = point + WAYS * (side, 1) * (size / 2 + DOT) + REACHES * WAYS * (side, 1)
        corners = np.stack([middles - size / 2, middles + size / 2], axis=1)
        inside = np.all((corners >= 0) & (corners <= SIDE), axis=(1, 2))
        apart = (corners[:, None, 0] >= taken[None, :, 1]) | (corners[:, None, 1] <= taken[None, :, 0])
        free = np.flatnonzero(inside & np.all(np.any(apart, axis=2), axis=1))
        if not len(free):
            continue
        first = free[0]
        boxes.append(corners[first][None])
        x, y = middles[first] / scale + origin
        ax.text(x, y, name, fontsize=LETTERS, color=INK, ha="center", va="center", zorder=4)
        near = np.clip(point, *corners[first])
        if np.hypot(*(near - point)) > FAR:
            ends = np.stack([point, near]) / scale + origin
            ax.plot(ends[:, 0], ends[:, 1], color=FAINT, linewidth=0.5, zorder=1)
