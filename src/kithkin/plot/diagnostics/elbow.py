"""Share of the variance that each principal component explains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kithkin.core.errors import check
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset


def elbow(ds: Dataset, key: str = "uns/pca", *, n_components: int | None = None) -> Figure:
    """Draw the share of variance of each component, and the cumulative share.

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
    >>> elbow(Cells({"uns/pca": {"variance_ratio": ratio}})).axes[0].get_xlabel()
    'principal component'
    """
    percent = 100 * np.asarray(ds.read(key)["variance_ratio"], dtype=float)
    if n_components is not None:
        check(1 <= n_components <= len(percent), f"n_components must be in 1..{len(percent)}, got {n_components!r}")
        percent = percent[:n_components]
    figure = Picture(4.8, 3.2)
    ax = figure.add_axes((0, 0, 1, 1), label="share")
    sums = ax.twinx()
    for axes in (ax, sums):
        figure.place(axes, 0.65, 0.55, 3.45, 2.35)
    x, total = np.arange(1, len(percent) + 1), np.cumsum(percent)
    first, second = OKABE_ITO[0], OKABE_ITO[3]
    ax.vlines(x, 0, percent, color=first, linewidth=1, alpha=0.35)
    ax.plot(x, percent, marker="o", markersize=3.5, linestyle="", color=first)
    sums.plot(x, total, color=second, linewidth=1.5)
    plain(ax)
    plain(sums, keep="right")
    ax.set(xlim=(0.3, len(percent) + 0.7), ylim=(0, 1.08 * max(percent.max(), 1e-9)))
    sums.set_ylim(0, 1.08 * max(total[-1], 1e-9))
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    ax.set_xlabel("principal component", fontsize=TEXT, color=INK)
    ax.set_ylabel("variance explained (%)", fontsize=TEXT, color=first)
    sums.set_ylabel("together (%)", fontsize=TEXT, color=second)
    sums.spines["right"].set_color(FAINT)
    sums.annotate(f"{total[-1]:.3g}% in {len(percent)}", (x[-1], total[-1]), xytext=(0, 3), textcoords="offset points",
                  ha="right" if len(percent) > 3 else "center", fontsize=SMALL, color=second)  # fmt: skip
    return figure
