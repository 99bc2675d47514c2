"""Legends that stand one below the other in a column beside a figure."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Circle

from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, dot_legend, plain, shorten

TITLE, BETWEEN, BAR = 0.22, 0.22, 1.1  # inches: of a title, from one legend to the next, and of a colour bar
DISC, RIM = "#DDDDDD", "#5A5A5A"


@dataclass(frozen=True)
class Entry:
    """One legend that is not yet in its place."""

    ax: Axes  # on which it is drawn
    width: float  # inches that it takes with its title and letters
    height: float
    size: tuple[float, float]  # width and height in inches of the axes alone, below the title


def stack(figure: Picture, entries: list[Entry], left: float, top: float) -> None:
    """Put legends below each other, from a point on that is given in inches."""
    for entry in entries:
        figure.place(entry.ax, left, top - TITLE - entry.size[1], *entry.size)
        top -= entry.height + BETWEEN


def column_size(entries: list[Entry]) -> tuple[float, float]:
    """Measure the width and height in inches that some legends take below each other."""
    return max(e.width for e in entries), sum(e.height for e in entries) + BETWEEN * (len(entries) - 1)


def groups_entry(figure: Picture, title: str, names: list[str], colors: list[Any], height: float) -> Entry:
    """Draw coloured dots with the names of groups, at most so high."""
    ax = figure.add_at("groups", 0, 0, 0.01, 0.01)
    ax.set_axis_off()
    legend = dot_legend(ax, names, colors, height=height - TITLE)
    width, tall = (float(side) for side in figure.inches(legend))
    heading = ax.annotate(shorten(title, 30), (0, 1), xycoords="axes fraction", xytext=(0, 4), va="bottom",
                          textcoords="offset points", fontsize=TEXT, color=INK, annotation_clip=False)  # fmt: skip
    return Entry(ax, max(width, figure.inches(heading)[0]), tall + TITLE, (0.01, 0.01))


def values_entry(figure: Picture, title: str, scale: ScalarMappable, unit: str = "") -> Entry:
    """Draw the colour bar of some values."""
    ax = figure.add_at("colours", 0, 0, 0.13, BAR)
    bar = figure.color_bar(scale, ax)
    known = np.ma.masked_invalid(np.asarray(scale.get_array(), float)).compressed()
    if len(known) and known.min() == known.max():
        bar.set_ticks([float(known[0])])
    bar.set_label(fill(unit, 16), fontsize=SMALL, color=INK)
    box = ax.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    width = 0.13 if box is None else float(box.x1) / figure.dpi
    heading = _title(ax, title)
    return Entry(ax, max(width, figure.inches(heading)[0]), BAR + TITLE, (0.13, BAR))


def sizes_entry(figure: Picture, title: str, examples: list[tuple[str, float]]) -> Entry:
    """Draw discs of known size, small above large: names, and radii in inches."""
    radii = np.array([radius for _, radius in examples])
    rows = np.maximum(0.16, 2 * radii + 0.05)
    middles, widest, height = np.cumsum(rows) - rows / 2, float(radii.max()), float(rows.sum())
    ax = figure.add_axes((0, 0, 1, 1), label="sizes")
    texts = []
    for (name, radius), y in zip(examples, middles, strict=True):
        ax.add_patch(Circle((widest + 0.01, y), radius, facecolor=DISC, edgecolor=RIM, linewidth=0.5))
        texts.append(ax.text(2 * widest + 0.1, y, name, fontsize=SMALL, color=INK, va="center_baseline"))
    width = 2 * widest + 0.1 + max(figure.inches(text)[0] for text in texts)
    ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    plain(ax, keep="")
    heading = _title(ax, title)
    return Entry(ax, max(width, figure.inches(heading)[0]), height + TITLE, (width, height))


def _title(ax: Axes, title: str) -> Any:
    return ax.set_title(shorten(title, 30), fontsize=TEXT, color=INK, loc="left", pad=4)
