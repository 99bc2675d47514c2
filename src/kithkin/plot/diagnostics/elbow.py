"""Share of the variance that each principal component explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset


def elbow(ds: Dataset, key: str = "uns/pca", *, n_components: int | None = None) -> Figure:
    """Draw the share of variance of each component, and the cumulative share.

    A broken line marks the elbow: the component where the logarithm of the share is farthest below the straight line
    from the first to the last. It is a hint; no step uses it.

    Parameters
    ----------
    ds
        The dataset.
    key
        Key of the variances of pca().
    n_components
        Number of components to draw; all when None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If pca() has not been run.
    ParameterError
        If n_components is not in 1..the number that pca() computed.

    Examples
    --------
    >>> ratio = np.array([0.2, 0.1, 0.05])
    >>> class Cells(dict):
    ...     read = dict.__getitem__
    >>> elbow(Cells({"uns/pca": {"variance_ratio": ratio}})).axes[1].get_xlabel()
    'principal component'
    """
    percent = 100 * np.asarray(ds.read(key)["variance_ratio"], dtype=float)
    if n_components is not None:
        check(1 <= n_components <= len(percent), f"n_components must be in 1..{len(percent)}, got {n_components!r}")
        percent = percent[:n_components]
    figure = Picture(4.6, 4.1)
    ax, sums = figure.add_at("share", 0.75, 1.75, 3.6, 2.2), figure.add_at("sum", 0.75, 0.55, 3.6, 0.95)
    x, total = np.arange(1, len(percent) + 1), np.cumsum(percent)
    ax.plot(x, percent, marker="o", markersize=3.5, linewidth=0.8, color=OKABE_ITO[0])
    sums.plot(x, total, color=OKABE_ITO[0], linewidth=1.5)
    for axes in (ax, sums):
        plain(axes)
        axes.set_xlim(0.3, len(percent) + 0.7)
        axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    positive = percent[percent > 0]
    if len(positive) and positive.max() > 10 * positive.min():  # a large first component would flatten the others
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(10, (1, 2, 5), numticks=12))
        ax.yaxis.set_major_formatter("{x:.3g}")
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(0, 1.08 * max(percent.max(), 1e-9))
    sums.set_ylim(0, 1.25 * max(total[-1], 1e-9))
    ax.set_ylabel("variance explained (%)", fontsize=TEXT, color=INK)
    sums.set_ylabel("cumulative (%)", fontsize=TEXT, color=INK)
    sums.set_xlabel("principal component", fontsize=TEXT, color=INK)
    sums.annotate(f"{total[-1]:.3g}% in {len(percent)}", (x[-1], total[-1]), xytext=(0, 3), textcoords="offset points",
                  ha="right" if len(percent) > 3 else "center", fontsize=SMALL, color=INK)  # fmt: skip
    if len(positive) >= 5:
        cut = elbow_of(percent)
        for axes in (ax, sums):
            axes.axvline(cut, color=OKABE_ITO[3], linewidth=1, linestyle=(0, (4, 2)))
        ax.annotate(f"elbow: {total[cut - 1]:.3g}% in {cut}", (cut, 0.98), xycoords=("data", "axes fraction"),
                    xytext=(4, 0), textcoords="offset points", va="top", fontsize=SMALL,
                    color=OKABE_ITO[3])  # fmt: skip
    return figure


def elbow_of(percent: Array) -> int:
    """Find the number of components at the elbow: where the logarithm of the share is farthest below a straight line.

    The line leads from the first share to the last.
    """
    height = np.log(np.maximum(percent, 1e-9 * percent.max()))
    line = np.linspace(height[0], height[-1], len(height))
    return int(np.argmax(line - height)) + 1
