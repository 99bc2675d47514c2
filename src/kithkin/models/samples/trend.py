"""Trend of the dispersion over the mean, and the spread of the genes around it: the prior of a dispersion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtri, polygamma

from kithkin.core.blocks import Array
from kithkin.models.samples.outliers import trimmed

LEAST = 1e-10  # of a coefficient of the trend
CLOSE = 1e-6  # sum of squared log ratios of the coefficients at which they no longer change
NARROWEST = 0.25  # variance of the prior of the log dispersion


@dataclass(frozen=True)
class DispersionTrend:
    """Dispersion that is expected of a mean, a0 + a1 / mean, and the prior of the log dispersion around it.

    Attributes
    ----------
    a0, a1
        Coefficients of the trend; a1 is 0 where only the mean of the dispersions could be fitted.
    spread
        Standard deviation of the log dispersions of the genes around the trend, from the median absolute deviation.
    prior_variance
        Variance of the prior: the squared spread less what sampling explains, and 0.25 at least.
    """

    a0: float
    a1: float
    spread: float
    prior_variance: float

    def at(self, means: Array) -> Array:
        """Return the dispersion that is expected of each mean."""
        return self.a0 + (self.a1 / means if self.a1 else np.zeros(len(means)))


def fit_trend(means: Array, dispersions: Array, degrees: int, least: float) -> DispersionTrend:
    """Fit the trend of the dispersions of genes by a gamma regression without outliers, and the prior around it.

    Parameters
    ----------
    means
        Mean of the normalised counts of each gene, above 0.
    dispersions
        Most likely dispersion of each gene.
    degrees
        Residual degrees of freedom of the regression of each gene.
    least
        Smallest dispersion: genes below 100 times as much say nothing of the spread.

    References
    ----------
    Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8.

    Examples
    --------
    >>> means = np.geomspace(1, 1e4, 400)
    >>> around = np.exp(np.random.default_rng(0).normal(0, 0.3, 400))
    >>> trend = fit_trend(means, (0.1 + 2 / means) * around, 6, 1e-8)
    >>> round(trend.a0, 1), round(trend.a1), trend.prior_variance
    (0.1, 2, 0.25)
    """
    a0, a1 = coefficients_of(means, dispersions)
    if min(a0, a1) <= LEAST:
        some = dispersions[dispersions > 10 * least]
        a0, a1 = float(trimmed(some[None], 0.001)[0]) if len(some) else least, 0.0
    trend = DispersionTrend(a0, a1, 0.0, NARROWEST)
    known = dispersions >= 100 * least
    if not known.any():
        return trend
    residuals = np.log(dispersions[known]) - np.log(trend.at(means[known]))
    spread = float(np.median(np.abs(residuals - np.median(residuals))) / ndtri(0.75))
    variance = max(spread**2 - float(polygamma(1, degrees / 2)), NARROWEST)
    return DispersionTrend(a0, a1, spread, variance)


def coefficients_of(means: Array, dispersions: Array) -> tuple[float, float]:
    """Fit a0 and a1, leaving out genes far from the curve until it stays; zeros where it does not."""
    columns, targets = np.stack([np.ones(len(means)), 1.0 / means], axis=1), dispersions
    before, now = np.full(2, 0.1), np.ones(2)
    while (np.log(now / before) ** 2).sum() >= CLOSE:
        before = now
        found = minimize(
            gamma_loss, [1.0, 1.0], (columns, targets), jac=True, method="L-BFGS-B", bounds=[(1e-12, np.inf)] * 2
        )
        if not found.success or (found.x <= LEAST).any():
            return 0.0, 0.0
        now = found.x
        ratio = targets / (columns @ now)
        near = (ratio >= 1e-4) & (ratio < 15)
        columns, targets = columns[near], targets[near]
    return float(now[0]), float(now[1])


def gamma_loss(coefficients: Array, columns: Array, targets: Array) -> tuple[float, Array]:
    """Compute the mean negative log-likelihood of targets under exponential distributions, and its gradient."""
    mean = columns @ coefficients
    ratio = targets / mean
    gradient: Array = ((1 - ratio) / mean) @ columns / len(targets)
    return float((ratio + np.log(mean)).mean()), gradient
