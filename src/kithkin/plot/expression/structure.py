"""Composition of each cell: one thin stacked bar per cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.core.keys import Key
from kithkin.plot.data import Groups, groups
from kithkin.plot.look.palette import group_colors
from kithkin.plot.look.style import DPI, INK, SMALL, TEXT, Picture, dot_legend, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

HEIGHT, BARS, LEGEND = 2.0, 6.5, 0.9  # inches: of the bars, across them, and what the legend takes
BEFORE = 0.6  # inches left of the bars, at least
SLANT = 40  # degrees
GAP = 0.006  # of the width, between groups
LEAST = 0.02  # of the width, that a group gets if it is small


def structure(ds: Dataset, key: str = "obsm/topics", *, by: Any = None, palette: Any = None) -> Figure:
    """Draw the weights of every cell as a stacked bar, cells beside each other that are alike.

    Cells stand in groups, and in each group in the order of their main topic and of its weight; where a picture has
    fewer columns of pixels than there are cells, a column is the mean of its cells.

    Parameters
    ----------
    ds
        The dataset.
    key
        Weights, n x k, such as topics() writes them; rows are scaled to sum to one.
    by
        Groups of cells: a column of obs or an array; none when None. Cells without a group, or without weights, are
        left out.
    palette
        k colours.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the weights are not there.
    ParameterError
        If the weights are not n x k numbers of at least 0, or `by` is not groups.

    References
    ----------
    Rosenberg et al. (2002), doi:10.1126/science.1078311, for structure in populations.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.topics(ds, 3)
    >>> structure(ds, by="obs/group").axes[0].get_ylabel()
    'share of counts'
    """
    weights = np.asarray(ds.read(str(Key.parse(key, "obsm"))), float)
    check(weights.ndim == 2 and bool(np.all(~(weights < 0))), f"{key} must be a table of numbers that are at least 0")
    sums = weights.sum(axis=1)
    grouped = Groups("", np.zeros(len(weights), np.int64), [""]) if by is None else groups(ds, by)
    codes = np.where(np.isfinite(sums) & (sums > 0), grouped.codes, -1)
    check(bool(np.any(codes >= 0)), f"no cell has both weights in {key} and a group")
    weights = weights / np.where(sums > 0, sums, 1.0)[:, None]
    names = [str(k) for k in range(weights.shape[1])]
    colors = group_colors(names, palette)
    sizes = np.bincount(codes[codes >= 0])
    present = np.flatnonzero(sizes)
    room = 1 - GAP * (len(present) - 1)
    widths = np.maximum(sizes[present] / sizes.sum(), min(LEAST, room / len(present)))
    widths *= room / widths.sum()
    start = np.concatenate([[0.0], np.cumsum(widths + GAP)[:-1]])
    edges = np.column_stack([start, start + widths])
    labels = [] if by is None else [shorten(grouped.names[g], 30) for g in present]
    middles = (edges[:, 0] + edges[:, 1]) / 2
    level, before, below = True, BEFORE, 0.32  # inches left of and below the bars, where names fit beside each other
    if labels:
        wide, high = text_inches(labels, SMALL).T
        level = bool(np.all(np.diff(middles) * BARS > (wide[:-1] + wide[1:]) / 2 + 0.08))
        sine, cosine = (0.0, 1.0) if level else (np.sin(np.deg2rad(SLANT)), np.cos(np.deg2rad(SLANT)))
        below += float((sine * wide + high).max())
        if not level:
            before = max(before, 0.05 + float((cosine * wide + sine * high - middles * BARS).max()))
    figure = Picture(before + BARS + LEGEND, HEIGHT + below)
    ax = figure.add_at("", before, below, BARS, HEIGHT - 0.15)
    for group, (left, right) in zip(present, edges, strict=True):
        columns = max(1, int((right - left) * BARS * DPI))
        image = _stack(weights[codes == group], columns, int(HEIGHT * DPI), colors)
        ax.imshow(image, extent=(left, right, 0, 1), origin="lower", aspect="auto", interpolation="nearest")
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[0, 0.5, 1])
    ax.set_ylabel("share of counts", fontsize=TEXT, color=INK)
    number = int((codes >= 0).sum())
    cells = f"{number:,} cells" + (f", by {shorten(grouped.title, 30)}" if grouped.title else "")
    figure.text((before + BARS / 2) / (before + BARS + LEGEND), 0.05 / (HEIGHT + below), cells, ha="center",
                va="bottom", fontsize=TEXT, color=INK)  # fmt: skip
    plain(ax, keep="left")
    for middle, label in zip(middles, labels, strict=False):
        ax.annotate(label, (middle, 0), xytext=(0, -4), textcoords="offset points", va="top",
                    ha="center" if level else "right", rotation=0 if level else SLANT, rotation_mode="anchor",
                    fontsize=SMALL, color=INK, annotation_clip=False)  # fmt: skip
    dot_legend(ax, [f"topic {name}" for name in names], list(colors), height=HEIGHT - 0.15, most_columns=2)
    return figure


def _stack(weights: Array, columns: int, rows: int, colors: Array) -> Array:
    """Paint rows x columns x 4: in each column the topics one above the other, as high as their mean weight there.

    Cells are sorted by their main topic, frequent topics first, and by its weight, falling and rising in turn.
    """
    n, main = len(weights), weights.argmax(axis=1)
    frequent = np.argsort(-np.bincount(main, minlength=weights.shape[1]), kind="stable")
    rank, weight = np.argsort(frequent)[main], weights[np.arange(n), main]
    weights = weights[np.lexsort((np.where(rank % 2 == 0, -weight, weight), rank))]
    sums = np.vstack([np.zeros(weights.shape[1]), np.cumsum(weights, axis=0)])
    first = np.arange(columns) * n // columns
    last = np.maximum(first + 1, (np.arange(columns) + 1) * n // columns)
    heights = np.cumsum((sums[last] - sums[first]) / (last - first)[:, None], axis=1)
    centers = (np.arange(rows) + 0.5) / rows
    topic = (centers[:, None, None] > heights[None]).sum(axis=2)
    image: Array = colors[np.minimum(topic, len(colors) - 1)]
    return image
