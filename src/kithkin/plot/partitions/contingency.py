"""Agreement of two partitions of the same observations: one cell per pair of groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm, to_rgba_array

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check, check_choice
from kithkin.metrics.partition import contingency as count_pairs
from kithkin.plot.data import Groups, Numbers, describe
from kithkin.plot.look.palette import MISSING
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

SHADES = "BuPu"
LONGEST = 9.0  # inches that the longer side takes if its cells are not too small then
SMALLEST, LARGEST = 0.17, 0.46  # inches of a cell
UNRELATED = 0.15  # Cramer's V
MOST = 300  # groups of one partition: nobody reads a page with more
PALE = "#D2D2D2"
BAR, GAP = 0.32, 0.05  # inches of the bars with the sizes of groups, and between them and the table


def contingency(
    ds: Dataset,
    rows: Any,
    columns: Any,
    *,
    normalize: str | None = None,
    sort: bool = True,
) -> Figure:
    """Draw how many observations each pair of groups of two partitions has, and how large each group is.

    Counts or percentages are written into the cells where all of them can be read; empty cells, and percentages
    that round to nothing, stay blank. Observations without a group are a group of their own, "missing".

    Parameters
    ----------
    ds
        The dataset.
    rows, columns
        The two partitions: keys such as "obs/leiden", or arrays with one group per observation.
    normalize
        None: counts; "rows": percentages of each row; "columns": percentages of each column.
    sort
        Whether the side with more groups is ordered such that the diagonal is heavy; the other keeps its order, and
        both do where they have nothing to do with each other.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If a key is not in the dataset.
    ParameterError
        If a partition holds numbers, more than 300 groups, or not one entry per observation.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> figure = contingency(SimpleNamespace(n_obs=4), ["b", "a", "a", "c"], ["x", "y", "y", "x"])
    >>> figure.axes[0].images[0].get_array().tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]
    """
    check_choice("normalize", normalize, (None, "rows", "columns"))
    across, along = partition(ds, rows, "rows"), partition(ds, columns, "columns")
    table = count_pairs(across.codes, along.codes).astype(float)
    row_order, column_order = heavy_diagonal(table) if sort else (np.arange(n) for n in table.shape)
    table = table[np.ix_(row_order, column_order)]
    down = [shorten(across.names[i], 40) for i in row_order]
    right = [shorten(along.names[i], 40) for i in column_order]
    axis = {None: None, "rows": 1, "columns": 0}[normalize]
    values = table if axis is None else 100 * table / table.sum(axis=axis, keepdims=True)

    cell = float(np.clip(LONGEST / max(table.shape), SMALLEST, LARGEST))
    font = min(SMALL, 72 * cell * 0.75)
    level = bool(text_inches(right, font)[:, 0].max() < cell - 0.06)
    names = text_inches(down, font)[:, 0].max(), text_inches(right, font)[:, 1 if level else 0].max()
    left, below = 0.45 + float(names[0]), 0.45 + float(names[1])
    width, height = cell * len(right), cell * len(down)
    figure = Picture(left + width + 1.35, max(below + height, 1.5) + BAR + GAP + 0.15)
    bottom = float(figure.get_size_inches()[1]) - 0.15 - BAR - GAP - height
    ax = figure.add_at("table", left, bottom, width, height)
    top = float(values.max())
    norm = Normalize(0, 100) if axis is not None else PowerNorm(0.5, 0, top)  # small groups are seen beside large
    shades = ScalarMappable(norm, SHADES)
    ax.imshow(values, cmap=SHADES, norm=norm, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(down)), down)
    ax.set_xticks(range(len(right)), right, rotation=0 if level else 90)
    plain(ax, keep="")
    ax.tick_params(length=0, labelsize=font)
    ax.set_ylabel(shorten(across.title), fontsize=TEXT, color=INK)
    ax.set_xlabel(shorten(along.title), fontsize=TEXT, color=INK)
    for n, line in ((len(right), ax.axvline), (len(down), ax.axhline)):
        for edge in np.arange(n - 1) + 0.5:
            line(edge, color="white", linewidth=0.6)
    _write(ax, values, np.asarray(norm(values)) > 0.55, cell, percent=axis is not None)

    above = figure.add_at("sizes of columns", left, bottom + height + GAP, width, BAR)
    beside = figure.add_at("sizes of rows", left + width + GAP, bottom, BAR, height)
    above.bar(range(len(right)), table.sum(axis=0), width=0.8, color=PALE)
    beside.barh(range(len(down)), table.sum(axis=1), height=0.8, color=PALE)
    above.set(xlim=(-0.5, len(right) - 0.5))
    beside.set(ylim=(len(down) - 0.5, -0.5))
    above.set_axis_off()
    beside.set_axis_off()
    scale = figure.add_at("colours", left + width + BAR + 2 * GAP + 0.12, max(0.1, bottom + height - 1.2), 0.11, 1.1)
    bar = figure.color_bar(shades, scale, size=SMALL - 1)
    steps = [0.0, 25.0, 50.0, 75.0, 100.0]
    if axis is None:  # round numbers that are not close to each other under a square root
        top, steps = top or 1.0, [0.0]
        for step in (a * 10.0**k for k in range(int(np.log10(top)), -1, -1) for a in (5, 2, 1)):
            last = np.sqrt(steps[-1] / top) if len(steps) > 1 else np.inf
            if step <= top and 0.15 < np.sqrt(step / top) < last - 0.15:
                steps.append(step)
    bar.set_ticks(steps, labels=[compact(step) for step in steps])
    bar.ax.minorticks_off()
    unit = "observations" if normalize is None else f"% of each {normalize[:-1]}"
    bar.set_label(unit, fontsize=SMALL, color=INK)
    return figure


def partition(ds: Dataset, of: Any, name: str) -> Groups:
    """Read groups, without empty ones; observations without a group are the last one, "missing".

    Raises
    ------
    ParameterError
        If there are numbers instead of groups, or too many groups.
    """
    labels = of if isinstance(of, (Groups, Numbers)) else describe(ds, of, name=name)
    if isinstance(labels, Numbers):
        raise ParameterError(f"{name} must be groups, got numbers: make them a pandas Categorical if they are labels")
    check(len(labels.codes) > 0, f"{name} must have at least one observation, got none")
    present = np.flatnonzero(labels.sizes())
    check(len(present) <= MOST, f"{name} must have at most {MOST} groups to be drawn, got {len(present)}")
    names, missing = [labels.names[i] for i in present], labels.codes < 0
    codes = np.searchsorted(present, labels.codes)
    codes[missing] = len(names)
    colors = None if labels.colors is None else labels.colors[present]
    if colors is not None and missing.any():
        colors = np.vstack([colors, to_rgba_array([MISSING])])
    return replace(labels, codes=codes, names=[*names, "missing"] if missing.any() else names, colors=colors)


def heavy_diagonal(table: Array) -> tuple[Array, Array]:
    """Order the longer side of a table by the position in the shorter one where each of its groups mostly lies.

    Where the sides have nothing to do with each other (Cramer's V below 0.15), both keep their order. No row or column
    is empty. Of the order of the rows and that of the columns one is 0, 1, 2, ...

    Examples
    --------
    >>> rows, columns = heavy_diagonal(np.array([[0, 5], [4, 1], [0, 9]]))
    >>> rows.tolist(), columns.tolist()
    ([1, 0, 2], [0, 1])
    """
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    least = min(table.shape) - 1
    if least > 0 and ((table - expected) ** 2 / expected).sum() / n / least < UNRELATED**2:
        return np.arange(table.shape[0]), np.arange(table.shape[1])
    if table.shape[0] < table.shape[1]:
        return tuple(reversed(heavy_diagonal(table.T)))  # type: ignore[return-value]
    center = table @ np.arange(table.shape[1]) / table.sum(axis=1)
    return np.lexsort((center, table.argmax(axis=1))), np.arange(table.shape[1])


def _write(ax: Axes, values: Array, dark: Array, cell: float, *, percent: bool) -> None:
    """Write every value, in the largest letters and the longest form in which all of them fit, or none."""
    shown = np.argwhere(values >= 0.5)
    full = [f"{values[i, j]:,.0f}" for i, j in shown]
    short = full if percent else [compact(values[i, j]) for i, j in shown]
    for font in (SMALL, 7.0, 6.0, 5.0):
        for texts in (full, short):
            longest = sorted(set(texts), key=len)[-30:]
            if text_inches(longest, font)[:, 0].max() < cell - 0.04 and font < 72 * cell * 0.8:
                for (i, j), text in zip(shown, texts, strict=True):
                    color = "white" if dark[i, j] else INK
                    ax.text(j, i, text, ha="center", va="center", fontsize=font, color=color)
                return


def compact(value: float) -> str:
    """Write a count in at most four letters.

    Examples
    --------
    >>> [compact(v) for v in (950, 1234, 4000, 45678, 2_300_000)]
    ['950', '1.2k', '4k', '46k', '2.3M']
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            digits = 1 if value < 9.95 * size else 0
            return f"{value / size:.{digits}f}".removesuffix(".0") + letter
    return f"{value:.0f}"
