"""Legends that stand one below the other in a column beside a figure."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Circle

from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, dot_legend, plain, shorten

TITLE, BETWEEN, BAR = 0.22, 0.22, 1.1  # inches: of a title, from one legend to the next, and of a colour bar
DISC, RIM = "#DDDDDD", "#5A5A5A"


@dataclass(frozen=True)
class Entry:
    """One legend that is not yet in its place.

    Attributes
    ----------
    ax
        Axes on which it is drawn.
    width, height
        Inches that it takes with its title and letters.
    size
        Inches of the axes alone, width and height, below the title.

    Examples
    --------
    >>> figure = Picture(2, 2)
    >>> entry = Entry(figure.add_axes((0, 0, 1, 1)), 1.0, 0.72, (1.0, 0.5))
    >>> stack(figure, [entry], 0.0, 2.0)
    >>> [round(float(side), 2) for side in entry.ax.get_position().bounds]
    [0.0, 0.64, 0.5, 0.25]
    """

    ax: Axes
    width: float
    height: float
    size: tuple[float, float]


def stack(figure: Picture, entries: list[Entry], left: float, top: float) -> None:
    """Put legends below each other, from a point on that is given in inches.

    Examples
    --------
    >>> stack(Picture(1, 1), [], 0.0, 1.0)
    """
    for entry in entries:
        figure.place(entry.ax, left, top - TITLE - entry.size[1], *entry.size)
        top -= entry.height + BETWEEN


def column_size(entries: list[Entry]) -> tuple[float, float]:
    """Measure the width and height in inches that some legends take below each other.

    Examples
    --------
    >>> ax = Picture(1, 1).add_subplot()
    >>> column_size([Entry(ax, 1.0, 0.5, (1, 0.3)), Entry(ax, 2.0, 0.5, (1, 0.3))])
    (2.0, 1.22)
    """
    return max(e.width for e in entries), sum(e.height for e in entries) + BETWEEN * (len(entries) - 1)


def groups_entry(figure: Picture, title: str, names: list[str], colors: list[Any], height: float) -> Entry:
    """Draw coloured dots with the names of groups, at most so high.

    Examples
    --------
    >>> entry = groups_entry(Picture(3, 3), "kind", ["B", "T"], ["red", "blue"], 2.0)
    >>> 0.3 < entry.height < 1.0
    True
    """
    ax = figure.add_axes((0, 0, 1, 1), label="groups")
    ax.set_axis_off()
    figure.place(ax, 0, 0, 0.01, 0.01)
    legend = dot_legend(ax, names, colors, height=height - TITLE)
    width, tall = (float(side) for side in figure.inches(legend))
    heading = ax.annotate(shorten(title, 30), (0, 1), xycoords="axes fraction", xytext=(0, 4), va="bottom",
                          textcoords="offset points", fontsize=TEXT, color=INK, annotation_clip=False)  # fmt: skip
    return Entry(ax, max(width, figure.inches(heading)[0]), tall + TITLE, (0.01, 0.01))


def values_entry(figure: Picture, title: str, scale: ScalarMappable, unit: str = "") -> Entry:
    """Draw the colour bar of some values.

    Examples
    --------
    >>> scale = ScalarMappable(cmap="viridis")
    >>> scale.set_array(np.array([1.0, 2.0]))
    >>> values_entry(Picture(3, 3), "age", scale).size
    (0.13, 1.1)
    """
    ax = figure.add_axes((0, 0, 1, 1), label="colours")
    figure.place(ax, 0, 0, 0.13, BAR)
    bar = figure.colorbar(scale, cax=ax)
    bar.outline.set_edgecolor(FAINT)
    ax.tick_params(labelsize=SMALL, length=2, color=FAINT, labelcolor=INK)
    known = np.ma.masked_invalid(np.asarray(scale.get_array(), float)).compressed()
    if len(known) and known.min() == known.max():
        bar.set_ticks([float(known[0])])
    bar.set_label(fill(unit, 16), fontsize=SMALL, color=INK)
    box = ax.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    width = 0.13 if box is None else float(box.x1) / figure.dpi
    heading = _title(ax, title)
    return Entry(ax, max(width, figure.inches(heading)[0]), BAR + TITLE, (0.13, BAR))


def sizes_entry(figure: Picture, title: str, examples: list[tuple[str, float]]) -> Entry:
    """Draw discs of known size, small above large.

    Parameters
    ----------
    figure
        The figure.
    title
        Name of what the areas count.
    examples
        Names, and radii in inches.

    Examples
    --------
    >>> entry = sizes_entry(Picture(3, 3), "cells", [("10", 0.1), ("100 or more", 0.3)])
    >>> [text.get_text() for text in entry.ax.texts]
    ['10', '100 or more']
    """
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
