"""A mixture from given parameters scores as SciPy's negative binomial does, and as the fit they come from."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp
from scipy.stats import nbinom, poisson

from kithkin.core.errors import ParameterError
from kithkin.models.mixture.count_mixture import CountMixture


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    log_mean, log_dispersion = rng.uniform(-7, -2, (3, 40)), rng.uniform(-3, 1, (3, 40))
    return log_mean, log_dispersion, np.array([0.5, 0.3, 0.2])


def test_likelihood_agrees_with_scipy(given):
    log_mean, log_dispersion, weights = given
    log_dispersion = log_dispersion.copy()
    log_dispersion[1, :5] = -np.inf
    model = CountMixture.from_parameters(log_mean, log_dispersion, weights)
    size = np.geomspace(20, 5000, 60)
    X, _ = model.sample(size, seed=1)
    dense = X.toarray()
    assert dense.max() > 64  # counts beyond the tables are there
    expected = np.empty((60, 3))
    for k in range(3):
        mean = size[:, None] * np.exp(log_mean[k])
        phi = np.exp(log_dispersion[k])
        shape = 1 / np.where(phi > 0, phi, 1.0)
        value = np.where(phi > 0, nbinom.logpmf(dense, shape, shape / (shape + mean)), poisson.logpmf(dense, mean))
        expected[:, k] = value.sum(axis=1)
    for table in (X, dense):
        assert np.allclose(model.component_log_likelihood(table, size=size), expected, rtol=1e-9, atol=1e-8)
    joint = expected + np.log(weights)
    assert np.allclose(model.score_samples(X, size=size), logsumexp(joint, axis=1), rtol=1e-9, atol=1e-8)
    assert np.array_equal(model.predict(X, size=size), joint.argmax(axis=1))


def test_parameters_of_a_fit_give_the_fit_again():
    rng = np.random.default_rng(2)
    means = np.exp(rng.normal(0, 1.5, (2, 30)))
    X = sparse.csr_matrix(rng.poisson(np.repeat(means, 40, axis=0)))
    columns = np.arange(3, 28)
    fit = CountMixture(2).fit(X, columns=columns)
    again = CountMixture.from_parameters(fit.log_mean_, fit.log_dispersion_, fit.weights_, columns, 30)
    assert np.array_equal(again.predict(X), fit.labels_)
    assert np.allclose(again.score_samples(X), fit.score_samples(X), rtol=1e-10)
    assert np.allclose(again.component_log_likelihood(X), fit.component_log_likelihood(X), rtol=1e-10)
    started = CountMixture(2, init=again, max_iter=0).fit(X, columns=columns)
    assert np.array_equal(started.labels_, fit.labels_)


def test_bad_parameters_are_refused(given):
    log_mean, log_dispersion, weights = given
    with pytest.raises(ParameterError, match="log_dispersion must be"):
        CountMixture.from_parameters(log_mean, log_dispersion[:, 1:], weights)
    with pytest.raises(ParameterError, match="weights must sum to 1"):
        CountMixture.from_parameters(log_mean, log_dispersion, weights / 2)
    with pytest.raises(ParameterError, match="log_mean must be finite"):
        CountMixture.from_parameters(np.full((3, 40), -np.inf), log_dispersion, weights)
    with pytest.raises(ParameterError, match="columns must name 40 genes"):
        CountMixture.from_parameters(log_mean, log_dispersion, weights, [0, 1], 50)
    with pytest.raises(ParameterError, match="X must have 40 columns"):
        CountMixture.from_parameters(log_mean, log_dispersion, weights).predict(np.ones((2, 3), int))
