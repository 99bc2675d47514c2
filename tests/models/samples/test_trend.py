import numpy as np
import pytest
from scipy.special import polygamma

from kithkin.models.samples.trend import fit_trend


def scattered(spread, n=2000):
    rng = np.random.default_rng(0)
    means = np.exp(rng.uniform(0, 8, n))
    return means, (0.05 + 3 / means) * np.exp(rng.normal(0, spread, n) - spread**2 / 2)


def test_the_trend_is_that_of_the_mean_dispersion():
    trend = fit_trend(*scattered(0.5), 4, 1e-8)
    assert (trend.a0, trend.a1) == (pytest.approx(0.05, rel=0.1), pytest.approx(3, rel=0.1))
    assert trend.spread == pytest.approx(0.5, rel=0.1)
    assert trend.prior_variance == 0.25  # the least


def test_far_outliers_do_not_bend_it():
    means, dispersions = scattered(0.5)
    dispersions[::40] *= 300
    trend = fit_trend(means, dispersions, 4, 1e-8)
    assert trend.a0 == pytest.approx(0.05, rel=0.15)


def test_the_prior_has_the_spread_that_sampling_does_not_explain():
    trend = fit_trend(*scattered(1.5), 10, 1e-8)
    assert trend.prior_variance == pytest.approx(trend.spread**2 - polygamma(1, 5))


def test_without_a_trend_the_mean_is_taken():
    means = np.geomspace(1, 1000, 200)
    dispersions = 0.001 * means  # rises, which no a0 + a1 / mean does
    trend = fit_trend(means, dispersions, 4, 1e-8)
    assert trend.a1 == 0
    assert trend.a0 == pytest.approx(dispersions.mean(), rel=0.05)
    np.testing.assert_array_equal(trend.at(means), trend.a0)


def test_genes_without_overdispersion_say_nothing_of_the_spread():
    means, dispersions = scattered(0.5)
    some = dispersions.copy()
    some[::3] = 1e-8
    assert fit_trend(means, some, 4, 1e-8).spread < 1
    assert fit_trend(means, np.full(len(means), 1e-8), 4, 1e-8).prior_variance == 0.25
