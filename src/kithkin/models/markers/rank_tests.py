"""Two-sample statistics from sums: Wilcoxon's rank sum with ties, Welch's t, effect, fold change."""

from __future__ import annotations

import numpy as np
from scipy import special

from kithkin.core.blocks import Array


def wilcoxon(wins: Array, ties: Array, n: Array, m: Array) -> tuple[Array, Array]:
    r"""Compute score z and area under the curve of the Wilcoxon rank-sum test with tie correction.

    .. math:: z = \frac{U - nm/2}{\sqrt{(1 - T / (N^3 - N)) \, nm (N + 1) / 12}}, \quad T = \sum_{runs} t^3 - t

    wins: twice the Mann-Whitney U: pairs in which the group has the higher value, ties as one half.
    ties: T: the sum over runs of t equal values.
    n, m: cells in the group and in the rest; N is their sum.
    Returns z, 0 where all values are equal; U / nm, NaN where a side is empty.
    Source: Mann, Whitney (1947), Annals of Mathematical Statistics 18:50, doi:10.1214/aoms/1177730491.
    """
    total = n + m
    with np.errstate(invalid="ignore", divide="ignore"):
        correction = 1.0 - ties / (total**3 - total)
        z = (wins - n * m) / 2 / np.sqrt(correction * n * m * (total + 1) / 12)
        auc = wins / (2.0 * n * m)
    return np.where(np.isfinite(z), z, 0.0), auc


def welch(mean: Array, other: Array, variance: Array, other_variance: Array, n: Array, m: Array) -> tuple[Array, Array]:
    """Compute Welch's t and its two-sided p; 0 and 1 where neither side varies or one side is a single cell.

    mean, other: means of the group and of the rest.
    variance, other_variance: their variances, with n - 1.
    n, m: cells in the group and in the rest.
    Source: Welch (1947), Biometrika 34:28, doi:10.1093/biomet/34.1-2.28.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        a, b = variance / n, other_variance / m
        t = (mean - other) / np.sqrt(a + b)
        freedom = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
        p = 2 * special.stdtr(freedom, -np.abs(t))
    return np.where(np.isnan(t), 0.0, t), np.where(np.isnan(p), 1.0, p)


def effect_size(difference: Array, spread: Array, other_spread: Array, n: Array, m: Array) -> Array:
    r"""Compute Cohen's d: the difference of two means over the pooled standard deviation.

    .. math:: d = (\bar x - \bar y) / \sqrt{(n s_x^2 + m s_y^2) / (n + m - 2)}

    difference: mean of the group less that of the rest.
    spread, other_spread: mean squared deviations, divided by n and by m.
    n, m: values in the group and in the rest.
    Returns d; 0 where nothing varies, infinite where values vary between the two only, NaN where there are none.
    Source: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, doi:10.4324/9780203771587.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        d = difference / np.sqrt((n * spread + m * other_spread) / (n + m - 2))
    return np.where(difference == 0, 0.0, d)


def two_sided(z: Array) -> Array:
    """Compute the two-sided p of a standard normal score; 0 beyond what a float holds (|z| above 38)."""
    with np.errstate(under="ignore"):
        p: Array = 2 * special.ndtr(-np.abs(z))
    return p


def log_fold_change(mean: Array, other: Array) -> Array:
    """Compute log2 of the ratio of expm1(mean), with 1e-9 added to both: the means are of log1p values.

    NaN where a mean is negative, which no mean of log1p counts is.
    """
    change: Array = (_log_expm1(mean) - _log_expm1(other)) / np.log(2)
    return change


def _log_expm1(mean: Array) -> Array:
    """Compute log(expm1(mean) + 1e-9) without overflow."""
    with np.errstate(invalid="ignore", divide="ignore"):
        small: Array = np.log(np.expm1(np.minimum(mean, 30.0)) + 1e-9)
    return np.where(mean > 30.0, mean, small)
