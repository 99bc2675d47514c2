"""The first features of each cluster: how open their gates are, and their means inside and outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kithkin.core.errors import check
from kithkin.core.keys import Key
from kithkin.plot.look.palette import group_colors
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

ROW, WIDE, GATE, GAP = 0.17, 1.5, 0.3, 0.35  # inches of a feature, of its values, of its gate, and between panels
HEAD = 0.3  # inches of a panel's title
OUTSIDE, OPENED, CLOSED = "#9A9A9A", "#5B7DA8", "#E6EAF0"


def draw_values(ds: Dataset, by: str, n_features: int, threshold: float, n_columns: int | None = None) -> Figure:
    """Draw a panel for each cluster: a row per feature with its gate, and dots at its means inside and outside.

    Features are in the order of the table that explain() stored.

    Raises
    ------
    MissingResultError
        If explain() has stored no table for these clusters.
    ParameterError
        If no gate is open.
    """
    clusters = Key.parse(by, "obs", option="by")
    table = ds.read(str(clusters.beside("uns", "_explanation")))
    table = table[table["gate"] > threshold]
    check(len(table) > 0, f"no gate of {clusters} is above {threshold:g}")
    labels = dict(zip(map(str, ds.var_names), map(str, ds.var_labels), strict=True))
    parts = [(str(group), part.head(n_features)) for group, part in table.groupby("group", observed=True, sort=True)]
    known = table["group"].astype("category").cat.categories
    colors = dict(zip(map(str, known), group_colors([str(name) for name in known]), strict=True))
    names = [[shorten(labels.get(str(name), str(name)), 24) for name in part["feature"]] for _, part in parts]
    room = 0.1 + float(text_inches([name for some in names for name in some], SMALL - 0.5)[:, 0].max())
    columns = min(len(parts), n_columns or max(1, min(4, int(np.ceil(np.sqrt(len(parts)))))))
    down, height = -(-len(parts) // columns), ROW * max(map(len, names))
    panel = room + GATE + WIDE + GAP
    figure = Picture(0.15 + columns * panel, down * (HEAD + height + 0.3) + 0.55)
    top = float(figure.get_size_inches()[1]) - 0.4
    # the same scale for all, so that values can be compared between clusters
    means = pd.concat([part for _, part in parts])[["mean", "mean_rest"]].to_numpy(float)
    low, high = min(0.0, float(np.nanmin(means))), max(0.0, float(np.nanmax(means)))
    extra = 0.06 * ((high - low) or 1.0)
    for i, ((group, part), listed) in enumerate(zip(parts, names, strict=True)):
        row, column = divmod(i, columns)
        left, tall = 0.15 + column * panel + room + GATE, ROW * len(part)
        bottom = top - row * (HEAD + height + 0.3) - HEAD - height
        ax = figure.add_at(group, left, bottom + height - tall, WIDE, tall)
        y = np.arange(len(part))
        inside, outside = part["mean"].to_numpy(float), part["mean_rest"].to_numpy(float)
        ax.hlines(y, np.fmin(inside, outside), np.fmax(inside, outside), color=FAINT, linewidth=1.2, zorder=1)
        ax.scatter(outside, y, s=16, facecolor="white", edgecolor=OUTSIDE, linewidth=1.0, zorder=2)
        ax.scatter(inside, y, s=20, color=[colors[group]], linewidth=0, zorder=3)
        ax.set(xlim=(low - extra, high + extra), ylim=(len(part) - 0.5, -0.5))
        plain(ax, keep="bottom")
        ax.grid(axis="x", color="#EEEEEE", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.xaxis.get_major_locator().set_params(nbins=4)  # type: ignore[call-arg]
        ax.tick_params(axis="x", labelsize=SMALL - 1.5)
        ax.set_yticks(y, listed)
        ax.tick_params(axis="y", length=0, labelsize=SMALL - 0.5, pad=5 + 72 * GATE)
        box, page = ax.get_position(), float(figure.get_size_inches()[0])
        wide = (GATE - 0.06) / page
        beside = figure.add_axes((box.x0 - wide - 0.06 / page, box.y0, wide, box.height))
        beside.barh(y, np.ones(len(y)), height=0.42, color=CLOSED)
        beside.barh(y, part["gate"].to_numpy(float), height=0.42, color=OPENED)
        beside.set(xlim=(0, 1), ylim=ax.get_ylim())
        beside.set_axis_off()
        ax.text(0, 1 + 0.06 / (ROW * len(part)), shorten(group, 30), transform=ax.transAxes, fontsize=TEXT, color=INK)
    ax = figure.add_at("legend", 0.15, top + 0.05, float(figure.get_size_inches()[0]) - 0.3, 0.25)
    marks = [
        Patch(color=OPENED, linewidth=0),
        Line2D([], [], marker="o", linestyle="", markersize=4.5, markeredgewidth=0, color="#555555"),
        Line2D([], [], marker="o", linestyle="", markersize=4, markerfacecolor="white", color=OUTSIDE),
    ]
    ax.legend(marks, ["gate, 0 to 1", "mean inside", "mean outside"], loc="center left", ncols=3, frameon=False,
              fontsize=SMALL - 0.5, labelcolor=INK, handlelength=1.4, handleheight=0.6, handletextpad=0.5,
              columnspacing=1.3, borderpad=0, borderaxespad=0)  # fmt: skip
    ax.set_axis_off()
    return figure
