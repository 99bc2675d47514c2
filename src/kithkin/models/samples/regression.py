"""Regression of the counts of every gene on one design: dispersions, coefficients and shrunk coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.dispersion import fit_dispersions
from kithkin.kernels.negative_binomial import FAR, RIDGE, find_mode, regress, shrink
from kithkin.models.samples.outliers import cells_of

LEAST_MEAN = 0.5  # by which a count is weighted
TOLERANCE, ROUNDS = 1e-8, 250  # of a regression
TINY = 1e-100
NO_COLUMN = -1  # is shrunk
GENES = 512  # of one task
WIDE = 15.0  # standard deviation of the normal prior of coefficients that are not shrunk


@dataclass(frozen=True)
class GeneRegression:
    """Negative binomial regression of one gene after the other; counts and means are genes x samples here.

    Attributes
    ----------
    size
        Size factor of each sample.
    design
        Samples x coefficients.
    bounds
        Least and largest dispersion.
    execution
        Threads, over runs of genes.

    Examples
    --------
    >>> design = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]])
    >>> fits = GeneRegression(np.ones(4), design, (1e-8, 10.0), Execution(threads=1))
    >>> coefficients, means, _ = fits.coefficients(np.array([[10.0, 20, 30, 60]]), np.array([0.1]))
    >>> coefficients.round(3).tolist(), means.round(3).tolist()
    ([[2.708, 1.099]], [[15.0, 15.0, 45.0, 45.0]])
    """

    size: Array
    design: Array
    bounds: tuple[float, float]
    execution: Execution

    def first_dispersions(self, normed: Array) -> Array:
        """Guess dispersions from counts divided by size factors: the smaller one of two estimates by moments."""
        n, k = self.design.shape
        fitted = np.maximum(normed @ self._hat, 1.0)
        around_design = (((normed - fitted) ** 2 - fitted) / fitted**2).sum(axis=1) / (n - k)
        mean = normed.mean(axis=1)
        overall = (normed.var(axis=1, ddof=1) - (1 / self.size).mean() * mean) / mean**2
        guess: Array = np.clip(np.minimum(np.maximum(around_design, 0), overall), *self.bounds)
        return guess

    def first_means(self, counts: Array, normed: Array, dispersions: Array) -> Array:
        """Fit means: linear where the design is one of groups, else by the regression at guessed dispersions."""
        if len(cells_of(self.design)[1]) == self.design.shape[1]:
            linear: Array = np.maximum(self.size * (normed @ self._hat), LEAST_MEAN)
            return linear
        return self.coefficients(counts, dispersions)[1]

    @property
    def _hat(self) -> Array:
        hat: Array = (self.design @ np.linalg.pinv(self.design)).T
        return hat

    def most_likely(self, counts: Array, means: Array, start: Array) -> Array:
        """Find the most likely dispersions, adjusted for the coefficients (Cox and Reid 1987).

        A gene that varies no more than its mean explains stays at the least dispersion, where its likelihood is flat.
        """
        found, above = start.copy(), start > self.bounds[0]
        found[above] = self.modes(counts[above], means[above], start[above], np.inf)
        return found

    def modes(self, counts: Array, means: Array, center: Array, variance: float) -> Array:
        """Find the modes of dispersions under a log-normal prior around a center, where the descent begins."""
        found, logs, means = np.empty(len(counts)), np.log(center), np.maximum(means, TINY)
        least, most = np.log(self.bounds)

        def work(some: slice) -> None:
            given = counts[some], means[some], self.design, logs[some], logs[some]
            fit_dispersions(*given, 1.0 / variance, least, most, found[some])

        self._over_genes(work, len(counts))
        return np.clip(found, *self.bounds)

    def coefficients(self, counts: Array, dispersions: Array) -> tuple[Array, Array, Array]:
        """Fit coefficients, in natural logarithms; return them, means and leverages."""
        (p, n), k = counts.shape, self.design.shape[1]
        coefficients, means, leverages = np.empty((p, k)), np.empty((p, n)), np.empty((p, n))
        fine, inverse = np.empty(p, bool), np.ascontiguousarray(np.linalg.pinv(self.design))

        def work(some: slice) -> None:
            given = counts[some], np.log(self.size), self.design, inverse, dispersions[some]
            out = coefficients[some], means[some], leverages[some], fine[some]
            regress(*given, LEAST_MEAN, TOLERANCE, ROUNDS, *out)

        self._over_genes(work, p)
        for gene in np.flatnonzero(~fine):
            given = counts[gene], dispersions[gene], inverse @ np.log(counts[gene] / self.size + 0.1)
            coefficients[gene], means[gene], leverages[gene] = self.by_newton(*given)
        return coefficients, means, leverages

    def by_newton(self, counts: Array, dispersion: float, start: Array) -> tuple[Array, Array, Array]:
        """Fit the coefficients of a gene whose reweighted least squares diverge."""
        beta, k = start.copy(), len(start)
        given = beta, counts, np.log(self.size), self.design, 1.0 / dispersion
        find_mode(*given, NO_COLUMN, 1.0, RIDGE**-0.5, TOLERANCE, ROUNDS, np.empty((k, k)))
        means = self.size * np.exp(self.design @ beta)
        weights = np.maximum(means, LEAST_MEAN)
        weights = weights / (1 + weights * dispersion)
        inverse = np.linalg.inv((self.design.T * weights) @ self.design + RIDGE * np.eye(k))
        return beta, means, weights * np.einsum("ij,jk,ik->i", self.design, inverse, self.design)

    def shrunk(
        self, counts: Array, dispersions: Array, coefficients: Array, column: int, scale: float
    ) -> tuple[Array, Array]:
        """Shrink one coefficient under a Cauchy prior of a scale; return its modes and their standard deviations."""
        modes, deviations, start = np.empty(len(counts)), np.empty(len(counts)), np.clip(coefficients, -FAR, FAR)

        def work(some: slice) -> None:
            given = counts[some], np.log(self.size), self.design, dispersions[some], start[some]
            shrink(*given, column, scale, WIDE, TOLERANCE, ROUNDS, modes[some], deviations[some])

        self._over_genes(work, len(counts))
        return modes, deviations

    def _over_genes(self, work: Callable[[slice], None], n_genes: int) -> None:
        """Call the work on runs of genes, which write into parts of arrays."""
        runs = [slice(start, start + GENES) for start in range(0, n_genes, GENES)]
        for _ in map_tasks(work, runs, self.execution):
            pass
