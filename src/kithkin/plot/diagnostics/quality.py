"""Distributions of the columns of quality(), with medians and thresholds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.errors import ParameterError, brief, check, check_known
from kithkin.plot.data import Groups, describe, groups
from kithkin.plot.diagnostics.violin import draw_violins
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import INK, SMALL, TEXT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

USUAL = ("n_counts", "n_genes", "pct_mito", "pct_ribo")
NAMES = {
    "n_counts": "counts per cell",
    "n_genes": "genes per cell",
    "pct_mito": "mitochondrial counts (%)",
    "pct_ribo": "ribosomal counts (%)",
}
LINE = OKABE_ITO[3]
CONDITION = r"\b(\w+)\s*(?:>=|<=|>|<)\s*([0-9][0-9_.eE+]*)"


def quality(
    ds: Dataset,
    columns: Sequence[str] | None = None,
    *,
    by: Any = None,
    log: Sequence[str] = ("n_counts", "n_genes"),
    thresholds: Mapping[str, float | Sequence[float]] | Dataset | None = None,
    seed: int = 0,
) -> Figure:
    """Draw the distribution of counts, genes and mitochondrial and ribosomal shares over the cells.

    Parameters
    ----------
    ds
        The dataset.
    columns
        Names of obs columns; None: those of n_counts, n_genes, pct_mito and pct_ribo that are there.
    by
        Groups to draw one violin each; one violin of all cells when None.
    log
        Columns drawn on a logarithmic axis (of 1 + value, so that zeros are seen).
    thresholds
        One or several values per column to mark, or the dataset that subset() made of this one: the values at which it
        was cut. None: those at which this dataset was cut.
    seed
        Seed of the random choice of cells that are drawn as points (at most 1,500).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If quality() has not been run.
    ParameterError
        If a column does not hold numbers, or thresholds name a column that is not drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> class Cells(dict):
    ...     n_obs, obs = 3, pd.DataFrame({"n_counts": [900, 1200, 1500]})
    ...     read = dict.__getitem__
    >>> figure = quality(Cells({"obs/n_counts": Cells.obs["n_counts"]}))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['counts per cell']
    """
    if columns is None:
        columns = [name for name in USUAL if f"obs/{name}" in ds] or ["n_counts"]
    panels = {}
    for name in columns:
        what = describe(ds, f"obs/{name}", name="columns", classes=False)
        if isinstance(what, Groups):
            raise ParameterError(f"columns must hold numbers, obs/{name} holds groups")
        panels[name] = what
    if isinstance(thresholds, Mapping):
        marks = {name: list(np.atleast_1d(values)) for name, values in thresholds.items()}
        check_known(marks, columns, "thresholds must name columns that are drawn, got")
    else:
        other = ds if thresholds is None else thresholds
        check(hasattr(other, "read"), f"thresholds must be a mapping or a dataset, got {brief(thresholds)}")
        marks = cuts_of(other)
    figure, axes = draw_violins(panels, None if by is None else groups(ds, by), set(log), seed)
    for name, ax in zip(columns, axes, strict=True):
        for value in marks.get(name, []):
            ax.axhline(value, color=LINE, linewidth=1, linestyle=(0, (4, 2)))
            forward, back = ax.yaxis.get_transform().transform, ax.yaxis.get_transform().inverted().transform
            low, high = ax.get_ylim()
            floor, ceiling = forward(np.array([min(low, value), max(high, value)]))
            # the number needs room above the line
            roof = max(ceiling, forward(np.array([value]))[0] + 0.09 * (ceiling - floor))
            bottom, top = back(np.array([floor, roof]))
            ax.set_ylim(float(bottom), float(top))
            ax.annotate(f"{value:,.6g}", (0, value), xycoords=("axes fraction", "data"), xytext=(3, 2),
                        textcoords="offset points", fontsize=SMALL, color=LINE)  # fmt: skip
        ax.set_title(NAMES.get(name, name), fontsize=TEXT, color=INK, loc="left")
    return figure


def cuts_of(ds: Dataset) -> dict[str, list[float]]:
    """Read the values at which subset() cut columns of obs to make a dataset; none if it did not."""
    cuts: dict[str, list[float]] = {}
    record = ds.read("uns/subset") if "uns/subset" in ds else None
    if isinstance(record, dict) and isinstance(record.get("cells"), dict):  # as kithkin writes it
        for reason in record["cells"].get("removed", {}):
            for name, value in re.findall(CONDITION, str(reason)):
                cuts.setdefault(name, []).append(float(value))
    return cuts
