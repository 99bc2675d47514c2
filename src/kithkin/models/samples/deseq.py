"""DESeq2: which genes differ between the samples of two conditions, by negative binomial regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import ndtr

from kithkin.core.blocks import Array, as_numbers
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.kernels.negative_binomial import RIDGE
from kithkin.models.estimator import Estimator
from kithkin.models.samples.filtering import filtered_adjustment
from kithkin.models.samples.outliers import cooks_distances, cutoff_of, is_outlying, with_replacements
from kithkin.models.samples.regression import GeneRegression
from kithkin.models.samples.size_factors import size_factors
from kithkin.models.samples.trend import DispersionTrend, fit_trend
from kithkin.models.table.blas import single_threaded

EXACT = 2.0**53  # up to which floating-point numbers count
LEAST_DISPERSION, MOST_DISPERSION = 1e-8, 10.0
PRIOR_VARIANCES = (1e-6, 400.0)  # of coefficients, between which that of the Cauchy prior is sought


@dataclass(frozen=True)
class FoldChanges:
    """Test of one coefficient of each gene: p values, log2. NaN of a gene without a count.

    Attributes
    ----------
    logfoldchanges, deviations
        Coefficient and its standard error.
    scores, pvals, pvals_adj
        Wald statistic, two-sided p (NaN of a gene that a single count decides), and p adjusted by Benjamini and
        Hochberg over the genes with enough counts (NaN of those without).
    shrunk, shrunk_deviations
        Coefficient under a Cauchy prior, which is close to 0 where the counts say little, and its posterior standard
        deviation.
    """

    logfoldchanges: Array
    deviations: Array
    scores: Array
    pvals: Array
    pvals_adj: Array
    shrunk: Array
    shrunk_deviations: Array


class DESeq(Estimator):
    """Negative binomial regression of the counts of each gene over samples, with shrunk dispersions: DESeq2.

    A count of gene j in sample i has mean s_i exp(x_i b_j) and variance mean + a_j mean^2. The size factors s are
    medians of ratios. The dispersion a_j is the mode between its own likelihood, with the adjustment of Cox and Reid,
    and a trend over all genes, a0 + a1 / mean; a gene far above the trend keeps its own. Coefficients are tested by
    Wald's test. An outlier among seven samples alike or more is replaced, and a gene that a single count decides is not
    tested; both go by Cook's distances. Results follow pydeseq2 0.5 with its defaults; where no gene has a count in
    every sample, with size_factors_fit_type="poscounts", for which its default fits a regression by turns.

    Parameters
    ----------
    fdr
        False discovery rate for which genes with few counts are filtered out.

    Attributes
    ----------
    size_factors_
        Factor of each sample, n.
    base_mean_
        Mean of the counts divided by the size factors, p.
    dispersion_
        Dispersion of each gene, p, NaN of a gene without a count.
    gene_dispersion_
        Most likely dispersion of each gene by itself, p.
    coefficients_
        Coefficients in natural logarithms, p x k, NaN of a gene without a count.
    trend_
        Coefficients a0 and a1 of the trend, and the variance of the prior around it.

    References
    ----------
    Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8. Zhu, Ibrahim and Love 2019,
    doi:10.1093/bioinformatics/bty895. Muzellec et al. 2023, doi:10.1093/bioinformatics/btad547.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> means = np.tile(rng.uniform(20, 500, 200), (6, 1))
    >>> means[3:, :5] *= 8
    >>> counts = rng.negative_binomial(10, 10 / (10 + means))
    >>> model = DESeq().fit(counts, [[1, 0]] * 3 + [[1, 1]] * 3)
    >>> found = model.test(1)
    >>> np.flatnonzero(found.pvals_adj < 0.001).tolist(), round(float(np.median(model.dispersion_)), 1)
    ([0, 1, 2, 3, 4], 0.1)
    """

    size_factors_: Array
    base_mean_: Array
    dispersion_: Array
    gene_dispersion_: Array
    coefficients_: Array
    trend_: DispersionTrend

    def __init__(self, *, fdr: float = 0.05) -> None:
        self.fdr = fdr

    def fit(self, X: Any, design: Any, execution: Execution | None = None) -> Self:
        """Fit the regression of every gene.

        Parameters
        ----------
        X
            n x p counts of samples, whole numbers.
        design
            n x k numbers of full rank, one column for each coefficient, an intercept among them.
        execution
            Threads.

        Raises
        ------
        ParameterError
            If a count is negative or no whole number, a sample has no counts, the columns of the design determine one
            another, or there are no more samples than columns.
        """
        counts = sample_counts(X)
        columns = check_design(design, len(counts))
        check_range("fdr", self.fdr, 0.0, 1.0)
        n, k = columns.shape
        bounds = LEAST_DISPERSION, max(MOST_DISPERSION, float(n))
        with single_threaded():
            self.size_factors_ = size = size_factors(counts)
            self._fits = GeneRegression(size, columns, bounds, Execution() if execution is None else execution)
            self._there = np.asarray(counts.any(axis=0))
            self._counts = given = counts.T[self._there].copy()
            normed = given / size
            means = normed.mean(axis=1)
            own, fitted = self._own_dispersions(given, normed)
            self.trend_ = fit_trend(means, own, n - k, LEAST_DISPERSION)
            used = self._shrunk_dispersions(given, fitted, own, means)
            coefficients, fitted, leverages = self._fits.coefficients(given, used)
            distances = cooks_distances(given, normed, fitted, leverages, columns)
            without = with_replacements(given, normed, size, distances, columns)
            replaced: Array = np.zeros(len(means), bool)
            if without is not None:
                replaced = np.asarray((distances > cutoff_of(columns)).any(axis=1))
                empty = replaced & ~without.any(axis=1)
                means[empty], coefficients[empty], replaced[empty] = 0.0, 0.0, False
                if replaced.any():
                    self._fit_again(replaced, without[replaced], means, own, used, coefficients)
            self._untested = is_outlying(given, distances, columns, replaced)
        self.base_mean_ = self._whole(means, 0.0)
        self.gene_dispersion_, self.dispersion_ = self._whole(own), self._whole(used)
        self.coefficients_ = self._whole(coefficients)
        return self

    def test(self, column: int) -> FoldChanges:
        """Test whether a coefficient is 0: the log2 fold change of a condition against the one that has no column.

        Parameters
        ----------
        column
            Position of the coefficient in the design.

        Raises
        ------
        ParameterError
            If the design has no such column.
        """
        design, there = self._fits.design, self._there
        check_range("column", column, 0, design.shape[1] - 1)
        beta, dispersion, size = self.coefficients_[there], self.dispersion_[there], self.size_factors_
        with single_threaded():
            means = np.exp(beta @ design.T) * size
            weights = means / (1 + means * dispersion[:, None])
            gram = np.einsum("gi,ij,ik->gjk", weights, design, design, optimize=True)
            unit = np.linalg.inv(gram + RIDGE * np.eye(design.shape[1]))[:, :, column]
            errors = np.sqrt(np.einsum("gj,gjk,gk->g", unit, gram, unit))
            scores = beta[:, column] / errors
            pvals = 2 * ndtr(-np.abs(scores))
            empty = self.base_mean_[there] == 0  # all of its counts were outliers
            errors[empty], scores[empty], pvals[empty] = 0.0, 0.0, 1.0
            scale = min(float(np.sqrt(prior_variance(beta[:, column], errors))), 1.0)
            mode, deviation = self._fits.shrunk(self._counts, dispersion, beta, column, scale)
        pvals[self._untested] = np.nan
        pvals = self._whole(pvals)
        adjusted = filtered_adjustment(pvals, self.base_mean_, self.fdr)
        by_log2 = [self._whole(values / np.log(2)) for values in (beta[:, column], errors, mode, deviation)]
        return FoldChanges(by_log2[0], by_log2[1], self._whole(scores), pvals, adjusted, by_log2[2], by_log2[3])

    def _own_dispersions(self, counts: Array, normed: Array) -> tuple[Array, Array]:
        """Find the most likely dispersion of each gene, and the means by which it was found."""
        guess = self._fits.first_dispersions(normed)
        means = self._fits.first_means(counts, normed, guess)
        return self._fits.most_likely(counts, means, guess), means

    def _shrunk_dispersions(self, counts: Array, fitted: Array, own: Array, means: Array) -> Array:
        """Shrink the dispersion of each gene to the trend, but for those of genes far above it."""
        expected = self.trend_.at(means)
        shrunk = self._fits.modes(counts, fitted, expected, self.trend_.prior_variance)
        return np.where(np.log(own) > np.log(expected) + 2 * self.trend_.spread, own, shrunk)

    def _fit_again(
        self, genes: Array, counts: Array, means: Array, own: Array, used: Array, coefficients: Array
    ) -> None:
        """Fit genes to their counts without outliers, in place."""
        normed = counts / self.size_factors_
        means[genes] = normed.mean(axis=1)
        own[genes], fitted = self._own_dispersions(counts, normed)
        used[genes] = self._shrunk_dispersions(counts, fitted, own[genes], means[genes])
        coefficients[genes] = self._fits.coefficients(counts, used[genes])[0]

    def _whole(self, values: Array, fill: float = np.nan) -> Array:
        """Spread the values of genes with counts over all genes."""
        out = np.full((len(self._there), *values.shape[1:]), fill)
        out[self._there] = values
        return out


def sample_counts(X: Any) -> Array:
    """Return counts of samples as float64, after checking that they are counts, and that no sample is empty."""
    counts = as_numbers(X, "X").astype(np.float64)
    check(counts.ndim == 2, f"X must have two dimensions, got {counts.ndim}")
    whole = bool(((counts >= 0) & (counts <= EXACT) & (counts == np.floor(counts))).all())
    check(whole, "X must hold counts of samples: whole numbers of which none is negative")
    empty = np.flatnonzero(~counts.any(axis=1))
    check(len(empty) == 0, f"X must have counts in every sample, and row {empty[0] if len(empty) else 0} has none")
    return counts


def check_design(design: Any, n: int) -> Array:
    """Return a design as float64, after checking that its coefficients can be told apart."""
    columns = np.ascontiguousarray(as_numbers(design, "design"), np.float64)
    shape = " x ".join(map(str, columns.shape))
    check(columns.ndim == 2 and len(columns) == n, f"design must have {n} rows, got {shape}")
    k = columns.shape[1]
    check(bool(np.isfinite(columns).all()), "design must be finite, but it holds NaN or infinity")
    check(n > k, f"design must have fewer columns than there are samples, got {k} for {n}: no sample shows the spread")
    check(int(np.linalg.matrix_rank(columns)) == k, "design must have full rank, but its columns determine one another")
    return columns


def prior_variance(coefficients: Array, errors: Array) -> float:
    """Estimate the variance of coefficients beyond their standard errors, from all genes (Efron and Morris 1975)."""
    squares, noise = coefficients**2, errors**2

    def excess(variance: float) -> float:
        weights = 0.5 / (variance + noise) ** 2
        return float(((squares - noise) * weights).sum() / weights.sum()) - variance

    low, high = PRIOR_VARIANCES
    if excess(low) < 0:
        return low
    return high if excess(high) > 0 else float(root_scalar(excess, bracket=(low, high)).root)
