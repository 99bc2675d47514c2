"""Fit of distributions to the counts of one gene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from kithkin.core.alignment import align
from kithkin.core.blocks import Array
from kithkin.core.errors import brief, check
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, name_entries, plain, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BARS = 40  # counts that have a bar each; beyond, a bar stands for several
MOST_SIZES = 500  # size factors over which a curve is averaged


class Fitted(Protocol):
    """A distribution of counts, such as `models.CountDistribution`."""

    def pmf(self, x: Array, size: Array) -> Array:
        """Probability of counts for given size factors."""
        ...


def count_fit(
    x: Array | pd.Series[Any], fits: Mapping[str, Fitted], *, size: Array | None = None, title: str = ""
) -> Figure:
    """Draw the number of cells with each count of a gene, and the number that a fitted distribution expects.

    Parameters
    ----------
    x
        Counts of the gene, n.
    fits
        Fitted distributions by the name that the legend gives them, such as `models.fit_count_distribution`.
    size
        Size factor of each cell, as in the fit; 1 when None. The expected number is the sum over the cells; of more
        than 500, over 500 quantiles of the size factors.
    title
        Title above the figure, such as the name of the gene.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ParameterError
        If there are no counts, or size has another length.

    Examples
    --------
    >>> class Even:
    ...     def pmf(self, x, size):
    ...         return np.full(np.broadcast_shapes(np.shape(x), np.shape(size)), 0.25)
    >>> figure = count_fit(np.array([0, 1, 2, 3]), {"even": Even()}, title="CD74")
    >>> figure.axes[0].get_title(), figure.axes[0].get_ylabel()
    ('CD74', 'cells')
    """
    if isinstance(x, pd.Series):
        size = align(size, x.index.astype(str), "size")
    x = np.asarray(x)
    check(x.ndim == 1 and len(x) > 0, f"x must hold counts in one dimension, got shape {x.shape}")
    check(x.dtype.kind in "buif" and bool(np.all(x >= 0)), "x must hold counts")
    check(all(hasattr(fit, "pmf") for fit in fits.values()), f"fits must be fitted models by name, got {brief(fits)}")
    size = np.ones(len(x)) if size is None else np.asarray(size, float)
    check(size.shape == x.shape, f"size must hold {len(x)} numbers, got {size.shape}")
    largest = int(x.max())
    width = -(-(largest + 1) // MOST_BARS)
    edges = np.arange(0, largest + 1 + width, width)
    figure = Picture(5.2, 3.4)
    ax = figure.add_at("counts", 0.7, 0.55, 4.3, 2.4)
    middle = edges[:-1] + (width - 1) / 2
    curves: list[Any] = []
    bars = ax.bar(middle, np.histogram(x, edges)[0], width=0.9 * width, color=FAINT)
    if len(x) > MOST_SIZES:
        size = np.quantile(size, (np.arange(MOST_SIZES) + 0.5) / MOST_SIZES)
    counts = np.arange(edges[-1])
    for number, fit in enumerate(fits.values()):
        color, chance = OKABE_ITO[number % len(OKABE_ITO)], np.zeros(len(counts))
        for first in range(0, len(counts), 256):
            some = counts[first : first + 256, None]
            chance[first : first + 256] = np.asarray(fit.pmf(some, size[None, :])).mean(axis=1)
        expected = len(x) * np.add.reduceat(chance, edges[:-1])
        curves += ax.plot(middle, expected, "o-", color=color, markersize=3, linewidth=1.2)
    plain(ax)
    ax.set_xlim(-0.5 - 0.1 * width, edges[-1] - 0.5 + 0.1 * width)
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
    counted = "count" if width == 1 else f"count, in steps of {width}"
    ax.set_xlabel(counted, fontsize=TEXT, color=INK)
    ax.set_ylabel("cells", fontsize=TEXT, color=INK)
    ax.set_title(title, fontsize=TEXT, color=INK, loc="center")
    numbers = [str(k) for k in range(1 + len(fits))]
    legend = ax.legend([*curves, bars], numbers, frameon=False, fontsize=SMALL, labelcolor=INK, loc="upper right")
    name_entries(legend, [*map(shorten, fits), "observed"])
    return figure
