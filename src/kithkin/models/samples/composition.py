"""Composition of samples: which clusters change their share between conditions, tested over samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import digamma, polygamma, stdtr

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.models.estimator import Estimator
from kithkin.models.samples.deseq import check_design, sample_counts
from kithkin.models.table.adjustment import adjust

PRIOR_COUNT = 0.5  # cells that are added to each cluster of a sample, so that none is empty
SMALLEST = 1e-5  # variance of a cluster, as a part of the median


@dataclass(frozen=True)
class ShareChanges:
    """Test of one coefficient of each cluster: log2 of an odds ratio, its standard error, t, and p.

    Attributes
    ----------
    odds_ratios, deviations
        Coefficient and its standard error, log2.
    scores, pvals, pvals_adj
        Moderated t, two-sided p, and p adjusted by Benjamini and Hochberg over the clusters.
    """

    odds_ratios: Array
    deviations: Array
    scores: Array
    pvals: Array
    pvals_adj: Array


class Composition(Estimator):
    """Linear model of the logits of the shares of clusters over samples, with moderated variances: propeller.

    With half a cell added to each cluster, y_ij is the logit of the share of cluster j in sample i. Its variance
    around the design is moved to that of the other clusters, s_j^2 = (d0 s0^2 + d s_j^2) / (d0 + d), by an inverse
    chi-squared prior whose d0 and s0 are fitted to all of them. The shares of a sample add up to 1, so that only all
    but one of the clusters count as independent, and where one cluster grows others shrink.

    Attributes
    ----------
    shares_
        Share of each cluster in each sample, n x J.
    coefficients_
        Coefficients in natural logarithms of odds, J x k.
    variances_
        Moderated variance of each cluster, J.
    degrees_
        Degrees of freedom of the t distribution.
    prior_
        d0 and s0 squared of the prior; d0 is infinite where the variances differ no more than by chance, and 0 where
        there are two clusters, which have one variance.

    References
    ----------
    Phipson et al. 2022, doi:10.1093/bioinformatics/btac582. Smyth 2004, doi:10.2202/1544-6115.1027.

    Examples
    --------
    >>> counts = np.array([[50, 30, 20], [55, 27, 18], [48, 33, 19], [20, 52, 28], [25, 46, 29], [18, 53, 29]])
    >>> found = Composition().fit(counts, [[1, 0]] * 3 + [[1, 1]] * 3).test(1)
    >>> found.odds_ratios.round(1).tolist(), (found.pvals < 0.01).tolist()
    ([-2.0, 1.2, 0.8], [True, True, True])
    """

    shares_: Array
    coefficients_: Array
    variances_: Array
    degrees_: float
    prior_: tuple[float, float]

    def __init__(self) -> None:
        pass

    def fit(self, X: Any, design: Any) -> Self:
        """Fit the model of every cluster.

        Parameters
        ----------
        X
            n x J numbers of cells: samples, clusters.
        design
            n x k numbers of full rank, one column for each coefficient, an intercept among them.

        Raises
        ------
        ParameterError
            If a number is negative or no whole number, a sample has no cells, there are fewer than two clusters, the
            columns of the design determine one another, or there are no more samples than columns.
        """
        counts = sample_counts(X)
        columns = check_design(design, len(counts))
        n_clusters = counts.shape[1]
        check(n_clusters >= 2, f"X must have two clusters or more, got {n_clusters}")
        self.shares_ = counts / counts.sum(axis=1, keepdims=True)
        filled = counts + PRIOR_COUNT
        logits = np.log(filled) - np.log(filled.sum(axis=1, keepdims=True) - filled)
        n, k = columns.shape
        self.coefficients_ = (np.linalg.pinv(columns) @ logits).T
        residuals = logits - columns @ self.coefficients_.T
        variances = (residuals**2).sum(axis=0) / (n - k)
        # two clusters are one, seen from both sides: there is no other variance to learn from
        self.prior_ = free, common = variance_prior(variances, n - k) if n_clusters > 2 else (0.0, 1.0)
        moderated = (free * common + (n - k) * variances) / (n - k + free) if np.isfinite(free) else common
        self.variances_ = np.broadcast_to(moderated, n_clusters)
        self.degrees_ = float(min(n - k + free, (n - k) * (n_clusters - 1)))
        self._unscaled = np.linalg.inv(columns.T @ columns)
        return self

    def test(self, column: int) -> ShareChanges:
        """Test whether a coefficient is 0: the log odds of a cluster in a condition against the one without a column.

        Parameters
        ----------
        column
            Position of the coefficient in the design.

        Raises
        ------
        ParameterError
            If the design has no such column.
        """
        check_range("column", column, 0, self.coefficients_.shape[1] - 1)
        errors = np.sqrt(self.variances_ * self._unscaled[column, column])
        scores = self.coefficients_[:, column] / errors
        pvals = 2 * stdtr(self.degrees_, -np.abs(scores))
        by_log2 = self.coefficients_[:, column] / np.log(2), errors / np.log(2)
        return ShareChanges(*by_log2, scores, pvals, adjust(pvals))


def variance_prior(variances: Array, degrees: int) -> tuple[float, float]:
    """Fit degrees of freedom and scale of an inverse chi-squared prior to variances, by moments of their logarithms.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = 0.3 * 8 / rng.chisquare(8, 5000)
    >>> free, common = variance_prior(true * rng.chisquare(4, 5000) / 4, 4)
    >>> round(free), round(common, 1)
    (8, 0.3)
    """
    typical = float(np.median(variances))
    logs = np.log(np.maximum(variances, SMALLEST * (typical if typical > 0 else 1.0)))
    centred = logs - digamma(degrees / 2) + np.log(degrees / 2)
    beyond = float(centred.var(ddof=1)) - float(polygamma(1, degrees / 2))
    if beyond <= 0:
        return np.inf, float(np.exp(centred.mean()))
    free = 2 * inverse_trigamma(beyond)
    return free, float(np.exp(centred.mean() + digamma(free / 2) - np.log(free / 2)))


def inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method on its reciprocal, which is nearly linear.

    Examples
    --------
    >>> round(float(polygamma(1, inverse_trigamma(0.37))), 6)
    0.37
    """
    x = 0.5 + 1 / value
    for _ in range(50):
        step = float(polygamma(1, x) * (1 - polygamma(1, x) / value) / polygamma(2, x))
        x += step
        if abs(step) < 1e-10 * x:
            break
    return x
