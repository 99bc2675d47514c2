"""Adjustment of p for the number of tests."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array


def adjust(pvals: Array) -> Array:
    """Adjust p by Benjamini and Hochberg over the last axis; NaN, of what is not tested, stays NaN and does not count.

    As scipy.stats.false_discovery_control, whose import alone would take 44 MB.

    Source: Benjamini, Hochberg (1995), Journal of the Royal Statistical Society B 57:289,
        doi:10.1111/j.2517-6161.1995.tb02031.x.

    >>> adjust(np.array([[0.01, 0.5, 0.02, 0.03], [0.2, np.nan, 0.1, np.nan]])).round(4).tolist()
    [[0.04, 0.5, 0.04, 0.04], [0.2, nan, 0.2, nan]]
    """
    out = np.full(pvals.shape, np.nan)
    for row, adjusted in zip(np.atleast_2d(pvals), np.atleast_2d(out), strict=True):  # one by one, for memory
        order = np.argsort(row)[: np.count_nonzero(~np.isnan(row))]  # NaN is sorted last
        factors = len(order) / np.arange(1, len(order) + 1)
        least = np.minimum.accumulate((row[order] * factors)[::-1])[::-1]
        adjusted[order] = np.minimum(least, 1.0)
    return out
