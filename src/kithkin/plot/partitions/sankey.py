"""Flows of observations between partitions: bars for groups, ribbons for those that two groups share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.patheffects import withStroke

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.metrics.partition import contingency as count_pairs
from kithkin.plot.data import Groups, describe
from kithkin.plot.look.matching import color_together, own_colors
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, shorten, text_inches
from kithkin.plot.partitions.contingency import partition
from kithkin.plot.partitions.crossings import uncross
from kithkin.plot.points.raster import majority

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

BAR, BETWEEN = 0.13, 2.3  # inches: width of a bar, and from one column of bars to the next
LINE, LEAST_GAP, MOST_GAP = 0.15, 0.05, 0.3  # inches: of a name, and between two bars
SHORTEST, PER_GROUP, TALLEST = 2.4, 0.16, 4.5  # inches that all bars of a column have together
STEPS = 40  # points along the edge of a ribbon


@dataclass(frozen=True)
class Layout:
    """Positions of the bars, in inches from the upper left corner."""

    orders: list[Array]  # groups of each column from top to bottom
    tops: list[Array]  # upper end of each group's bar, per column
    sizes: list[Array]  # height of each group's bar, per column
    height: float  # of all columns
    scale: float  # inches of one observation


def sankey(
    ds: Dataset,
    *columns: Any,
    color: Any = None,
    sort: bool = True,
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
) -> Figure:
    """Draw partitions side by side, and between them ribbons as wide as the number of observations two groups share.

    Bars stand such that ribbons cross little. Every flow is drawn with its true width, so that ribbons fill their
    bars; thin ones lie over wide ones. Observations without a group are a group of their own, "missing".

    Parameters
    ----------
    ds
        The dataset.
    *columns
        Two or more partitions: keys such as "obs/leiden", or arrays with one group per observation.
    color
        A partition whose colours are used, one of the columns or any other: each bar and ribbon takes the colour of
        the group most of its observations belong to. When None, bars have the colours of their groups as in other
        figures, alike where they hold mostly the same observations, and ribbons those of the clusters.
    sort
        Whether to move bars so that ribbons cross less; otherwise groups stand in their own order.
    palette
        Colours of the groups of that partition, in order or by name; colour-blind-safe ones when None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If a key is not in the dataset.
    ParameterError
        If there are fewer than two columns, one of them holds numbers, more than 300 groups, or not one entry
        per observation.

    References
    ----------
    Sugiyama, Tagawa and Toda (1981), doi:10.1109/TSMC.1981.4308636, for the order of the bars.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> figure = sankey(SimpleNamespace(n_obs=4), ["b", "a", "a", "b"], ["x", "y", "y", "x"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['a', 'b', 'y', 'x']
    """
    # Long: the figure in one place: bars, ribbons and names share their measures
    check(len(columns) >= 2, f"columns must be two or more partitions, got {len(columns)}")
    given = [describe(ds, column, name="columns") for column in columns]
    wanted = None if color is None else describe(ds, color, name="color")
    own = [part for part in given if isinstance(part, Groups)]
    if wanted is None and palette is None:  # groups have the colours of other figures, and ribbons those of clusters
        own = color_together(own)
        wanted = next((part for part in own if part.computed), own[0] if own else None)
    parts = [partition(ds, part, "columns") for part in (own if len(own) == len(given) else given)]
    flows = [count_pairs(a.codes, b.codes) for a, b in pairwise(parts)]
    if wanted is None:
        wanted = given[min(range(len(parts)), key=lambda i: len(parts[i].names))]
    if isinstance(wanted, Groups) and (palette is not None or wanted.colors is None):
        wanted = replace(wanted, colors=own_colors(wanted, palette))
    guide = partition(ds, wanted, "columns" if color is None else "color")
    orders = uncross(flows) if sort else [np.arange(len(part.names)) for part in parts]

    names = [[shorten(name, 36) for name in part.names] for part in parts]
    titles = [shorten(part.title, 26) for part in parts]
    layout = lay_out(orders, [part.sizes() for part in parts])
    # inches beside the outer bars: for their names, and for half of a title
    for_names = [0.32 + float(text_inches(names[i], SMALL)[:, 0].max()) for i in (0, -1)]
    for_title = 0.1 + text_inches([titles[0], titles[-1]], TEXT)[:, 0] / 2
    left, right = (float(inches) for inches in np.maximum(for_names, for_title))
    across = BETWEEN * (len(parts) - 1) + BAR
    figure = Picture(left + across + right, layout.height + 0.55)
    ax = figure.add_at("flows", left, 0.15, across, layout.height)
    ax.set(xlim=(0, across), ylim=(layout.height, 0))
    ax.set_axis_off()
    shades = np.asarray(guide.colors)
    if guide.names[-1] == "missing" and isinstance(palette, Mapping) and "missing" in palette:
        shades[-1] = to_rgba(palette["missing"])
    along = np.linspace(0, 1, STEPS)
    smooth = along**3 * (10 - 15 * along + 6 * along * along)
    for i, flow in enumerate(flows):
        # the most common group of the guide in each flow that is not empty, in the order of the table's cells
        _, group = majority(parts[i].codes * flow.shape[1] + parts[i + 1].codes, guide.codes, len(guide.names))
        start, end = _ends(flow, layout, i, i + 1), _ends(flow.T, layout, i + 1, i)
        a, b = np.nonzero(flow)
        wide_first = np.argsort(-flow[a, b], kind="stable")
        a, b = a[wide_first], b[wide_first]
        ahead = i * BETWEEN + BAR + (BETWEEN - BAR) * along
        upper = start[a, b][:, None] * (1 - smooth) + end[b, a][:, None] * smooth
        lower = upper + layout.scale * flow[a, b][:, None]
        edges = np.concatenate([upper, lower[:, ::-1]], axis=1)
        outlines = [np.column_stack([np.concatenate([ahead, ahead[::-1]]), edge]) for edge in edges]
        ribbons = PolyCollection(outlines, facecolors=shades[group][wide_first], alpha=0.42, linewidths=0,
                                 clip_on=False)  # fmt: skip
        ribbons.set_snap(False)  # snapping to whole pixels would dent level edges
        ax.add_collection(ribbons)
    for i, part in enumerate(parts):
        _, group = majority(part.codes, guide.codes, len(guide.names))
        bars = part.colors if color is None and palette is None else shades[group]
        ax.bar(i * BETWEEN, layout.sizes[i], BAR, layout.tops[i], align="edge", color=bars, linewidth=0)
        first, last = i == 0, i == len(parts) - 1  # names stand left of the first column, right of all others
        x = i * BETWEEN + (-0.06 if first else BAR + 0.06)
        halo = [] if first or last else [withStroke(linewidth=2, foreground="white", alpha=0.8)]
        for k in orders[i]:
            ax.text(x, layout.tops[i][k] + layout.sizes[i][k] / 2, names[i][k], ha="right" if first else "left",
                    va="center_baseline", fontsize=SMALL, color=INK, path_effects=halo)  # fmt: skip
        if titles[i]:
            ax.text(i * BETWEEN + BAR / 2, -0.1, titles[i], ha="center", va="bottom", fontsize=TEXT, color=INK)
    return figure


def lay_out(orders: list[Array], sizes: list[Array]) -> Layout:
    """Stack the bars of each column so far apart that their names fit, all columns about equally tall."""
    inches = float(np.clip(PER_GROUP * max(map(len, orders)), SHORTEST, TALLEST))
    scale = inches / sizes[0].sum()
    bars = [size * scale for size in sizes]
    slots = [np.maximum(bar + LEAST_GAP, LINE) for bar in bars]
    height = max(float(slot.sum()) for slot in slots) - LEAST_GAP
    tops = []
    for order, bar, slot in zip(orders, bars, slots, strict=True):
        taken = slot.sum() - LEAST_GAP
        more = min((height - taken) / max(1, len(order) - 1), MOST_GAP)
        first = (height - taken - more * (len(order) - 1)) / 2
        top = np.empty(len(order))
        top[order] = first + np.cumsum(slot[order]) - slot[order] + more * np.arange(len(order))
        tops.append(top + (slot - LEAST_GAP - bar) / 2)
    return Layout(orders, tops, bars, height, scale)


def _ends(flow: Array, layout: Layout, i: int, beside: int) -> Array:
    """Return the upper end of each ribbon at the bars of column i; ends lie in the order of the other column."""
    order = layout.orders[beside]
    stacked = layout.scale * flow[:, order]
    out = np.empty(flow.shape)
    out[:, order] = layout.tops[i][:, None] + np.cumsum(stacked, axis=1) - stacked
    return out
