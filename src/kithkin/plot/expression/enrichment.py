"""Sets of genes against groups: how much a group is enriched in each, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_known, check_range
from kithkin.core.group_tests import SIGNIFICANT
from kithkin.core.keys import Key
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

CELL, SIDE = 0.21, 1.5  # inches between two dots, and for the legends
SHADES = "BuPu"
SUREST = 10.0  # -log10 of an adjusted p from which dots grow no more
LONGEST = 44  # letters of a name


def enrichment(
    ds: Dataset,
    by: str = "obs/leiden",
    sets: Sequence[str] | None = None,
    *,
    n_sets: int = 4,
    on: str | None = None,
) -> Figure:
    """Draw one dot per set of genes and group: its size says how small p is, its colour how rich the group is in it.

    Only dots of an adjusted p up to 0.05 are drawn.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the groups.
    sets
        Names of the sets to draw; the best ones of each group when None.
    n_sets
        Sets of each group when `sets` is None.
    on
        Key of the result of `kithkin.enrich`; that of the groups, such as uns/leiden_enrichment, when None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the result is not there.
    ParameterError
        If a set is unknown, or no group is enriched in any.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rows = {"group": ["0", "0", "1"], "set": ["B cells", "T cells", "T cells"], "ratio": [8.0, 1.0, 4.0]}
    >>> found = pd.DataFrame(rows | {"pval_adj": [1e-9, 0.9, 1e-3]})
    >>> figure = enrichment(SimpleNamespace(read={"uns/leiden_enrichment": found}.get))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['B cells', 'T cells']
    """
    check_range("n_sets", n_sets, 1, 1000)
    key = str(Key.parse(by, "obs", option="by").beside("uns", "_enrichment")) if on is None else on
    table = ds.read(key)
    kind = next((name for name in ("ratio", "auc") if name in getattr(table, "columns", ())), "")
    check(bool(kind), f"on must be a result of kithkin.enrich, got {key!r}")
    groups = list(table["group"].astype("category").cat.categories)
    rows = best_sets(table, groups, n_sets, key) if sets is None else list(sets)
    check_known(rows, [str(name) for name in table["set"].unique()], "sets must be among those that were tested, got")
    check(len(rows) > 0, "sets must name at least one set, got none")
    p, value = (table.pivot_table(index="set", columns="group", values=column, observed=True)
                .reindex(index=rows, columns=groups).to_numpy() for column in ("pval_adj", kind))  # fmt: skip
    sure = np.clip(-np.log10(np.maximum(np.nan_to_num(p, nan=1.0), 1e-300)), 0, SUREST)
    drawn = np.nan_to_num(p, nan=1.0) <= SIGNIFICANT
    return draw_dots([shorten(name, LONGEST) for name in rows], [shorten(str(name), 32) for name in groups], by, kind,
                 np.where(drawn, sure, 0.0), value)  # fmt: skip


def best_sets(table: pd.DataFrame, groups: list[str], n_sets: int, key: str) -> list[str]:
    """List the best sets of each group, in the order of the groups, each once."""
    known = table[table["pval_adj"] <= SIGNIFICANT].sort_values("pval_adj", kind="stable")
    names = [str(name) for group in groups for name in known.loc[known["group"] == group, "set"].head(n_sets)]
    check(bool(names), f"no set has an adjusted p up to {SIGNIFICANT} in {key}: name the sets to draw")
    return list(dict.fromkeys(names))


def draw_dots(rows: list[str], columns: list[str], by: str, kind: str, sure: Array, value: Array) -> Figure:
    """Draw the dots with their names and legends."""
    left = 0.28 + float(text_inches(rows, SMALL)[:, 0].max())
    names = text_inches(columns, SMALL)
    upright = bool((names[:, 0] > CELL - 0.04).any())
    bottom = 0.45 + float(names[:, 0 if upright else 1].max())
    width, height = CELL * len(columns), CELL * len(rows)
    total = max(height + bottom + 0.15, 3.1)
    figure = Picture(left + width + 0.35 + SIDE, total)
    ax = figure.add_at("dots", left, total - 0.15 - height, width, height)
    for row in range(0, len(rows), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="#F6F6F6", linewidth=0, zorder=0)
    shades = shades_of(kind, value[sure > 0])
    y, x = np.nonzero(sure)
    area = _area(sure[y, x])
    ax.scatter(x, y, s=area, c=shades.to_rgba(value[y, x]), edgecolors="#8A8A8A", linewidths=0.3, zorder=2)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticks(range(len(columns)), columns, rotation=90 if upright else 0)
    ax.set_yticks(range(len(rows)), rows)
    plain(ax, keep="")
    ax.tick_params(length=0, labelsize=SMALL)
    ax.set_xlabel(shorten(Key.parse(by, "obs").name), fontsize=TEXT, color=INK)
    beside = left + width + 0.35
    steps = -np.log10([SIGNIFICANT, 1e-3, 1e-6, 1e-10])
    legend = figure.add_at("sizes", beside, total - 0.45 - CELL * 4, SIDE, CELL * 4)
    legend.scatter(np.zeros(4), range(4), s=_area(steps), c="#B9B9B9", edgecolors="#8A8A8A", linewidths=0.3)
    legend.set(xlim=(-0.5, SIDE / CELL - 0.5), ylim=(3.5, -0.5), xticks=[], yticks=[])
    for row, text in enumerate(("0.05", "0.001", "1e-6", "1e-10 or less")):
        legend.text(0.8, row, text, fontsize=SMALL, color=INK, va="center")
    plain(legend, keep="")
    legend.set_title("adjusted p", fontsize=TEXT, color=INK, loc="left", pad=4)
    bar_ax = figure.add_at("colours", beside + 0.04, total - 0.45 - CELL * 4 - 0.85, SIDE - 0.25, 0.11)
    bar = figure.color_bar(shades, bar_ax, orientation="horizontal")
    if kind == "ratio":
        bar.locator, bar.formatter = LogLocator(subs=(1, 2, 5)), FuncFormatter(lambda number, _: f"{number:g}")
        bar.minorformatter = NullFormatter()
        bar.update_ticks()
        bar_ax.minorticks_off()
    said = "found over\nexpected genes" if kind == "ratio" else "probability that\na gene ranks higher"
    bar_ax.set_title(said, fontsize=TEXT, color=INK, loc="left", pad=4)
    return figure


def shades_of(kind: str, values: Array) -> ScalarMappable:
    """Colour ratios by their logarithm from 1 on, and probabilities from one half on."""
    top = float(np.max(values, initial=0.0))
    return ScalarMappable(LogNorm(1.0, max(top, 2.0)) if kind == "ratio" else Normalize(0.5, max(top, 0.6)), SHADES)


def _area(sure: Any) -> Array:
    """Return areas in square points; the largest nearly fills its cell."""
    out: Array = (0.92 * CELL * 72) ** 2 * np.asarray(sure, float) / SUREST
    return out
