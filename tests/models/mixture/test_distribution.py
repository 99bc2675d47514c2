"""One gene: every method against a general optimiser, and whether the fit is as good as it says."""

import numpy as np
import pytest
from scipy import optimize, stats

from kithkin.core.errors import ParameterError
from kithkin.models.mixture.distribution import fit_count_distribution, log_pmf


def counts(seed=0, n=400, log_mean=-7.0, phi=0.5, equal=False):
    rng = np.random.default_rng(seed)
    size = np.full(n, 1e4) if equal else rng.lognormal(9, 0.5, n)
    return rng.poisson(size * np.exp(log_mean) * rng.gamma(1 / phi, phi, n)), size


def best(x, size):
    start = np.log(x.sum() / size.sum())
    simplex = np.array([[start, 0.0], [start + 0.5, 0.0], [start, 1.0]])
    options = {"initial_simplex": simplex, "xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000}
    return -optimize.minimize(
        lambda t: -log_pmf(x, size, *t).sum(), simplex[0], method="Nelder-Mead", options=options
    ).fun


@pytest.mark.parametrize("phi", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("method", ["newton", "em"])
def test_gamma_is_the_maximum(method, phi):
    x, size = counts(phi=phi)
    found = fit_count_distribution(x, size, method=method, max_iter=5000, tolerance=1e-10)
    assert found.log_likelihood == pytest.approx(log_pmf(x, size, found.log_mean, found.log_dispersion).sum(), rel=1e-8)
    assert found.log_likelihood == pytest.approx(best(x, size), abs=1e-3)


def test_em_never_falls():
    x, size = counts(1)
    found = fit_count_distribution(x, size, method="em")
    assert np.diff(found.trace).min() > -1e-8
    assert found.converged
    assert found.n_iter == len(found.trace)


def test_logarithmic_is_exact_for_one_size():
    x, size = counts(2, equal=True)
    found = fit_count_distribution(x, size, method="logarithmic", max_iter=20_000, tolerance=1e-10)
    assert np.diff(found.trace).min() > -1e-8
    assert found.log_likelihood == pytest.approx(best(x, size), abs=1e-3)


def test_logarithmic_comes_close_only_for_many_sizes():
    falls, gaps = [], []
    for seed in range(3):
        x, size = counts(seed, phi=0.1)
        found = fit_count_distribution(x, size, method="logarithmic", max_iter=5000)
        falls.append(np.diff(found.trace).min())
        gaps.append(best(x, size) - found.log_likelihood)
    assert min(falls) < 0
    assert 1e-4 < max(gaps) < 0.5


def test_point_mass():
    x, size = counts(4)
    found = fit_count_distribution(x, size, method="point")
    assert np.exp(found.log_mean) == pytest.approx(x.sum() / size.sum())
    assert found.log_dispersion == -np.inf
    assert found.log_likelihood == pytest.approx(stats.poisson.logpmf(x, size * x.sum() / size.sum()).sum())


def test_goodness_of_fit_tells_right_from_wrong():
    x, size = counts(5, n=1000)
    assert fit_count_distribution(x, size).goodness(x, size) > 0.01
    assert fit_count_distribution(x, size, method="point").goodness(x, size) < 1e-6


def test_probabilities_sum_to_one():
    x, size = counts(6)
    found = fit_count_distribution(x, size)
    assert found.pmf(np.arange(2000), np.full(2000, 5e3)).sum() == pytest.approx(1.0)
    assert found.cdf(3, 5e3) == pytest.approx(found.pmf(np.arange(4), np.full(4, 5e3)).sum())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([0, 0], "x must hold a count above 0"),
        ([0.5, 1], "not integers"),
        ([[1]], "one dimension"),
    ],
)
def test_refusals(x, message):
    with pytest.raises(ParameterError, match=message):
        fit_count_distribution(np.array(x))
