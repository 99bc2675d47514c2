"""Distribution of the counts of one gene: Poisson noise on a point mass or Gamma distribution of expression."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import digamma, gammaln, polygamma

from kithkin.core.blocks import Array, as_numbers
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import checked_size
from kithkin.models.mixture.expression import fit_given_labels
from kithkin.models.table.normalize import check_counts

METHODS = ("newton", "em", "logarithmic", "point")
LARGEST_SHAPE = 1e6  # a Gamma distribution with a larger shape is a point mass


@dataclass(frozen=True)
class CountDistribution:
    r"""Counts :math:`x_i \sim \mathrm{Poisson}(s_i \lambda_i)` with :math:`\lambda_i` of mean mu, variance mu^2 phi.

    Attributes
    ----------
    log_mean, log_dispersion
        Log of mu and of phi; -inf (phi = 0) is a point mass.
    log_likelihood
        Log-likelihood of the counts.
    trace
        Log-likelihood after each iteration.
    n_iter, seconds
        Number of iterations, and wall-clock time.
    converged
        Whether it ended by the tolerance.

    Examples
    --------
    >>> distribution = CountDistribution(0.0, -np.inf, -1.0, [-1.0], 1, 0.0, True)
    >>> distribution.pmf(np.array([0, 1]), np.ones(2)).round(4).tolist()
    [0.3679, 0.3679]
    """

    log_mean: float
    log_dispersion: float
    log_likelihood: float
    trace: list[float]
    n_iter: int
    seconds: float
    converged: bool

    def pmf(self, x: Array, size: Array) -> Array:
        """Compute the probability of counts for given size factors."""
        return np.exp(log_pmf(x, size, self.log_mean, self.log_dispersion))

    def cdf(self, x: Array, size: Array) -> Array:
        """Compute the probability of a count of at most x."""
        mean = np.asarray(size, float) * np.exp(self.log_mean)
        if self.log_dispersion == -np.inf:
            return np.asarray(stats.poisson.cdf(x, mean))
        phi = np.exp(self.log_dispersion)
        return np.asarray(stats.nbinom.cdf(x, 1 / phi, 1 / (1 + mean * phi)))

    def quantiles(self, x: Array, size: Array, seed: int = 0) -> Array:
        """Compute randomised quantile residuals of the counts: uniform on 0..1 if the distribution is right.

        Dunn and Smyth, Randomized quantile residuals (1996), doi:10.1080/10618600.1996.10474708.
        """
        low, high = self.cdf(np.asarray(x) - 1, size), self.cdf(x, size)
        quantiles: Array = low + np.random.default_rng(seed).random(len(low)) * (high - low)
        return quantiles

    def goodness(self, x: Array, size: Array, seed: int = 0) -> float:
        """Return the p-value of the Kolmogorov-Smirnov test that the quantiles are uniform."""
        return float(stats.kstest(self.quantiles(x, size, seed), "uniform").pvalue)


def fit_count_distribution(
    x: Array,
    size: Array | None = None,
    *,
    method: str = "newton",
    max_iter: int = 1000,
    tolerance: float = 1e-8,
) -> CountDistribution:
    """Fit the distribution of one gene.

    Parameters
    ----------
    x
        Counts of the gene, n.
    size
        Size factor of each cell, n; 1 by default.
    method
        "newton": Gamma, Newton's method. "em": Gamma, by EM with the closed posterior of the rate of each cell.
        "logarithmic": Gamma, as a Poisson number of logarithmic variables. Its update of the dispersion is exact
        where all cells have one size; else the number of variables depends on it too, and that term, which has no
        closed form, is left out: the log-likelihood may fall, see `trace`. "point": a point mass.
    max_iter, tolerance
        Maximum number of iterations, and the gain in log-likelihood at which they stop.

    Raises
    ------
    ParameterError
        If x does not hold counts with at least one above 0.

    References
    ----------
    Karlis 2005, doi:10.2143/AST.35.1.583163. Adamidis 1999, doi:10.1111/1467-842X.00075.

    Examples
    --------
    >>> x = np.random.default_rng(0).negative_binomial(2, 0.1, 500)
    >>> newton, em = (fit_count_distribution(x, method=method) for method in ("newton", "em"))
    >>> bool(abs(newton.log_likelihood - em.log_likelihood) < 1e-3), newton.goodness(x, np.ones(500)) > 0.01
    (True, True)
    """
    x = as_numbers(x, "x")
    check(x.ndim == 1 and len(x) > 0, f"x must have one dimension and counts, got shape {x.shape}")
    check_counts(x, "fit_count_distribution", integers=True)
    check(bool(x.any()), "x must hold a count above 0")
    check_choice("method", method, METHODS)
    check_range("max_iter", max_iter, 1, 10**7)
    check_range("tolerance", tolerance, 0.0, 1e6)
    size = np.ones(len(x)) if size is None else checked_size(np.zeros(len(x)), size)
    x, begin = x.astype(np.float64), time.perf_counter()
    if method in ("newton", "point"):
        dispersion = "gene" if method == "newton" else "poisson"
        one_group, here = np.zeros(len(x), int), Execution(threads=1)
        fitted = fit_given_labels(x[:, None], one_group, dispersion=dispersion, size=size, execution=here)
        log_mean, log_phi = float(fitted.log_mean[0, 0]), float(fitted.log_dispersion[0, 0])
        trace, converged = [float(fitted.log_likelihood[0])], True
    else:
        mean = x.sum() / size.sum()  # shape and rate of the Gamma distribution begin at its moments
        extra = ((x - size * mean) ** 2 - x).sum() / (size**2 * mean**2).sum()
        shape = 1 / min(max(extra, 1e-3), 1e3)
        rate, trace, converged = shape / mean, [], False
        step = _gamma_step if method == "em" else _logarithmic_step
        while len(trace) < max_iter and not converged:
            shape, rate = step(x, size, shape, rate)
            log_mean, log_phi = float(np.log(shape / rate)), float(-np.log(shape))
            trace.append(float(log_pmf(x, size, log_mean, log_phi).sum()))
            converged = len(trace) > 1 and abs(trace[-1] - trace[-2]) < tolerance
    return CountDistribution(log_mean, log_phi, trace[-1], trace, len(trace), time.perf_counter() - begin, converged)


def log_pmf(x: Array, size: Array, log_mean: float, log_dispersion: float) -> Array:
    """Compute the log probability of counts, for a point mass where log_dispersion is -inf."""
    mean = np.asarray(size, float) * np.exp(log_mean)
    if log_dispersion == -np.inf:
        return np.asarray(stats.poisson.logpmf(x, mean))
    phi = np.exp(log_dispersion)
    r = 1 / phi
    rising = gammaln(x + r) - gammaln(r) - x * np.log(r)
    out: Array = rising + x * np.log(mean) - gammaln(np.asarray(x) + 1.0) - (x + r) * np.log1p(mean * phi)
    return out


def _gamma_step(x: Array, size: Array, shape: float, rate: float) -> tuple[float, float]:
    """One EM step: the posterior rate of cell i is Gamma(x + shape, s + rate); one Newton step in the log shape."""
    mean = float(((x + shape) / (size + rate)).mean())
    log_mean = float((digamma(x + shape) - np.log(size + rate)).mean())
    slope = np.log(shape) - np.log(mean) - digamma(shape) + log_mean
    bend = 1 / shape - float(polygamma(1, shape))
    move = float(np.clip(-slope / (bend * shape), -1.0, 1.0))
    shape = min(shape * np.exp(move), LARGEST_SHAPE)
    return shape, shape / mean


def _logarithmic_step(x: Array, size: Array, shape: float, rate: float) -> tuple[float, float]:
    """One EM step with counts as a Poisson number, of mean r log(1 + s a), of logarithmic variables; a = 1 / rate."""
    a = 1 / rate
    log = np.log1p(size * a)
    number = shape * (digamma(x + shape) - digamma(shape))
    # the normalisation of a logarithmic variable as a mixture over z in 0..1 of (1 - theta)^z, and the mean of z
    z = 1 / log - 1 / (size * a)
    weight = 1 / (1 + size * a)
    a = float(((x - number) * weight).sum() / (number * z * size * weight).sum())
    shape = min(float(number.sum() / np.log1p(size * a).sum()), LARGEST_SHAPE)
    return shape, 1 / max(a, 1e-300)
