"""The likelihood of a dispersion is that of SciPy's negative binomial, and its descent ends at the best one."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import digamma, gammaln
from scipy.stats import nbinom

from kithkin.kernels.dispersion import digamma_rise, dispersion_loss, fit_dispersions, log_rise

DESIGN = np.array([[1.0, 0, 0], [1, 0, 1], [1, 0, 1], [1, 1, 0], [1, 1, 0], [1, 1, 1]])


def loss(log_alpha, y, mu, center=0.0, precision=0.0):
    """Negative log-likelihood with the adjustment of Cox and Reid, and the prior."""
    r = np.exp(-log_alpha)
    weights = mu / (1 + mu / r)
    adjusted = 0.5 * np.linalg.slogdet((DESIGN.T * weights) @ DESIGN)[1]
    return -nbinom.logpmf(y, r, r / (r + mu)).sum() + adjusted + 0.5 * precision * (log_alpha - center) ** 2


@pytest.mark.parametrize("r", [1e-3, 0.7, 15.9, 16.1, 400.0])
@pytest.mark.parametrize("y", [0.0, 1.0, 7.0, 15.0, 40.0, 12345.0])
def test_rises_are_differences_of_gamma_functions(y, r):
    assert log_rise(y, r) == pytest.approx(gammaln(r + y) - gammaln(r) - y * np.log(r), rel=1e-9, abs=1e-9)
    assert digamma_rise(y, r) == pytest.approx(digamma(r + y) - digamma(r), rel=1e-9, abs=1e-12)


def test_rises_do_not_cancel_at_hardly_any_dispersion():
    y, r = 1000.0, 1e10  # log(1 + t / r) is t / r there
    assert log_rise(y, r) == pytest.approx(y * (y - 1) / 2 / r, rel=1e-5)
    assert digamma_rise(y, r) == pytest.approx(y / r, rel=1e-5)


@pytest.mark.parametrize("log_alpha", [-9.0, -2.0, 1.5])
def test_the_loss_and_its_slope(log_alpha):
    rng = np.random.default_rng(0)
    mu = rng.uniform(1, 300, 6)
    y = rng.poisson(mu).astype(float)
    constant, gram, row = (gammaln(y + 1) - y * np.log(mu)).sum(), np.empty((3, 3)), np.empty(3)
    found, slope = dispersion_loss(log_alpha, y, mu, constant, DESIGN, -1.0, 2.0, gram, row)
    assert found == pytest.approx(loss(log_alpha, y, mu, -1.0, 2.0), rel=1e-9)
    step = 1e-4
    numeric = loss(log_alpha + step, y, mu, -1.0, 2.0) - loss(log_alpha - step, y, mu, -1.0, 2.0)
    assert slope == pytest.approx(numeric / (2 * step), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("precision", [0.0, 4.0])
def test_the_descent_ends_at_the_best_dispersion(precision):
    rng = np.random.default_rng(1)
    means = rng.uniform(5, 500, (60, 6))
    counts = rng.negative_binomial(4, 4 / (4 + means)).astype(float)
    start, center, out = np.full(60, -3.0), rng.normal(-1, 0.3, 60), np.empty(60)
    least, most = np.log(1e-8), np.log(10.0)
    fit_dispersions(counts, means, DESIGN, start, center, precision, least, most, out)
    for y, mu, middle, found in zip(counts, means, center, out, strict=True):
        best = minimize_scalar(loss, bounds=(least, most), args=(y, mu, middle, precision), method="bounded")
        if found > 1e-4:
            assert np.log(found) == pytest.approx(best.x, abs=2e-3)
        assert loss(np.log(found), y, mu, middle, precision) <= best.fun + 1e-3
