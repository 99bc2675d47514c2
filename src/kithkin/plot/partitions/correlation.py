"""Correlation of weights, such as those of topics, with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check
from kithkin.core.keys import Key
from kithkin.plot.data import Groups, describe
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

SHADES = "RdBu_r"
CELL = 0.42  # inches
MOST = 100  # rows, and columns: nobody reads a figure with more
DARK = 0.6  # correlation from which on numbers are white


def correlation(ds: Dataset, by: Any, on: str = "obsm/topics") -> Figure:
    """Draw the correlation of weights with labels as a heat map: which topic goes with which kind of cell.

    Each value is Pearson's correlation of the weights of a column with 1 in the cells of a label and 0 in the others.
    Labels are ordered such that the diagonal is heavy. Cells without a label or without weights are left out.

    Parameters
    ----------
    ds
        The dataset.
    by
        Labels: a column of obs or an array.
    on
        Weights, n x k, such as those of topics() or the probabilities of count_mixture().

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the weights are not there.
    ParameterError
        If the weights are no table of numbers, `by` holds numbers, or there are more than 100 of either.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.topics(ds, 2)
    >>> values = correlation(ds, "obs/group").axes[0].images[0].get_array()
    >>> values.shape, bool(values.diagonal().min() > 0.9)
    ((2, 2), True)
    """
    key = Key.parse(on, "obsm", option="on")
    weights = np.asarray(ds.read(str(key)), float)
    check(weights.ndim == 2, f"{key} must be a table of numbers, got {weights.ndim} dimensions")
    labels = describe(ds, by, name="by")
    if not isinstance(labels, Groups):
        raise ParameterError("by must hold labels, got numbers")
    known = (labels.codes >= 0) & np.isfinite(weights).all(axis=1)
    check(bool(known.any()), f"no cell has both weights in {key} and a label")
    present = np.unique(labels.codes[known])
    shape = weights.shape[1], len(present)
    check(max(shape) <= MOST, f"weights and labels must be at most {MOST} each, got {shape[0]} and {shape[1]}")
    table = correlations(weights[known], (labels.codes[known][:, None] == present).astype(float))
    order = np.argsort(np.nan_to_num(table, nan=-1.0).argmax(axis=0), kind="stable")
    table = table[:, order]
    across = [shorten(labels.names[i], 32) for i in present[order]]
    down = [f"{key.name} {k}" for k in range(shape[0])]
    rooms = text_inches(down, SMALL)[:, 0].max(), text_inches(across, SMALL)[:, 0].max()
    left, below = 0.25 + float(rooms[0]), 0.35 + float(rooms[1])
    width, height = CELL * shape[1], CELL * shape[0]
    figure = Picture(left + width + 1.1, max(below + height, 1.6) + 0.2)
    bottom = float(figure.get_size_inches()[1]) - 0.15 - height
    ax = figure.add_at("correlations", left, bottom, width, height)
    norm = Normalize(-1, 1)
    shades = ScalarMappable(norm, SHADES)
    ax.imshow(np.ma.masked_invalid(table), cmap=SHADES, norm=norm, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(shape[0]), down)
    ax.set_xticks(range(shape[1]), across, rotation=90)
    plain(ax, keep="")
    ax.tick_params(length=0, labelsize=SMALL)
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            color = "white" if abs(value) > DARK else INK
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=SMALL - 1, color=color)
    bar = figure.color_bar(shades, figure.add_at("colours", left + width + 0.15, bottom + height - 1.1, 0.11, 1.1))
    bar.set_label("correlation", fontsize=TEXT - 1, color=INK)
    return figure


def correlations(weights: Array, members: Array) -> Array:
    """Compute Pearson's correlation of each column of one table with each of another; NaN where one is constant.

    >>> correlations(np.array([[0.0], [1.0], [2.0]]), np.array([[0.0, 1], [1, 1], [2, 1]])).round(6).tolist()
    [[1.0, nan]]
    """
    a, b = weights - weights.mean(axis=0), members - members.mean(axis=0)
    lengths = np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
    out: Array = np.divide(a.T @ b, lengths, out=np.full(lengths.shape, np.nan), where=lengths > 1e-12)
    return out
