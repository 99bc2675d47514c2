"""A mixture from given parameters scores as SciPy's negative binomial does, and as the fit they come from."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp
from scipy.stats import nbinom, poisson
from sklearn.metrics import adjusted_rand_score

from kithkin.core.errors import ParameterError
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.models.topics.topics import Topics


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


def test_defaults_are_poisson_and_equal(given):
    log_mean, _, _ = given
    plain = CountMixture.from_parameters(log_mean)
    full = CountMixture.from_parameters(log_mean, np.full(log_mean.shape, -np.inf), np.full(3, 1 / 3))
    X, _ = full.sample(np.full(20, 500.0))
    assert np.array_equal(plain.component_log_likelihood(X), full.component_log_likelihood(X))
    assert np.array_equal(plain.weights_, full.weights_)


def groups_of_cells():
    rng = np.random.default_rng(3)
    means = np.exp(rng.normal(0, 1.5, (3, 50)))
    means[0, :4] = 0.0  # as topics have: no gene may become impossible
    truth = rng.permutation(np.repeat(np.arange(3), 40))
    return sparse.csr_matrix(rng.poisson(means[truth])), truth, means / means.sum(axis=1, keepdims=True)


def test_a_fit_starts_from_means_and_keeps_their_order():
    X, truth, means = groups_of_cells()
    assert np.array_equal(CountMixture(3, init=means).fit(X).labels_, truth)
    # from labels and from the means of these labels it is one optimum
    by_labels = CountMixture(3, init=truth, tolerance=0).fit(X)
    by_means = CountMixture(3, init=means, tolerance=0).fit(X)
    assert np.isclose(by_labels.trace_[-1], by_means.trace_[-1], rtol=1e-9)
    columns = np.arange(4, 40)
    chosen = CountMixture(3, init=means[:, columns]).fit(X, columns=columns)
    assert np.array_equal(chosen.log_mean_, CountMixture(3, init=means).fit(X, columns=columns).log_mean_)


def test_topics_are_a_start():
    X, truth, _ = groups_of_cells()
    topics = Topics(3).fit(X)
    model = CountMixture(3, init=topics.factors_.T).fit(X)
    assert np.array_equal(model.labels_, topics.labels_)
    assert adjusted_rand_score(model.labels_, truth) == 1.0


def test_bad_means_are_refused():
    X, _, means = groups_of_cells()
    with pytest.raises(ParameterError, match="means of init must be finite and at least 0"):
        CountMixture(3, init=-means).fit(X)
    with pytest.raises(ParameterError, match="may be responsibilities or means"):
        CountMixture(3, init=np.eye(3)).fit(np.eye(3, dtype=int) + 1)
    with pytest.raises(ParameterError, match="init must have 120 rows"):
        CountMixture(3, init=means[:, :20]).fit(X)


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
