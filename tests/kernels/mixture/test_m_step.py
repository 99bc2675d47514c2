"""The M step finds the maximum that a general optimiser finds, from statistics alone."""

import numpy as np
import pytest
from scipy import optimize, stats

from kithkin.core.blocks import InMemory
from kithkin.models.mixture.count_layout import lay_out_counts
from kithkin.models.mixture.em import Curvature, Prior, maximize
from kithkin.models.mixture.moments import constants
from kithkin.models.mixture.passes import gather_statistics


def table(seed=0, n=300, p=12, K=2):
    rng = np.random.default_rng(seed)
    size, labels = 10 ** rng.uniform(2.5, 4, n), rng.integers(0, K, n)
    log_mean, phi = rng.uniform(-8, -3, (p, K)), 10 ** rng.uniform(-1, 1, (p, K))
    mean, f = size[:, None] * np.exp(log_mean)[:, labels].T, phi[:, labels].T
    return rng.poisson(mean * rng.gamma(1 / f, f)), size, labels


def log_likelihood(x, size, log_mean, phi):
    mean = size * np.exp(log_mean)
    if phi == 0:
        return stats.poisson.logpmf(x, mean).sum()
    return stats.nbinom.logpmf(x, 1 / phi, 1 / (1 + mean * phi)).sum()


def optimum(parts):
    """Best value over a log mean for each part and one log dispersion."""

    def loss(t):
        return -sum(log_likelihood(x, s, m, np.exp(t[-1])) for (x, s), m in zip(parts, t, strict=False))

    means = [np.log(max(x.sum(), 0.5) / s.sum()) for x, s in parts]
    options = {"xatol": 1e-9, "fatol": 1e-10, "maxiter": 8000, "maxfev": 8000}
    results = [optimize.minimize(loss, [*means, t], method="Nelder-Mead", options=options) for t in (-2.0, 1.0)]
    return -min(result.fun for result in results)


def maximize_fully(statistics, layout, mode):
    curvature = Curvature(*np.zeros((2, layout.n_genes, len(statistics.weight))))
    prior = Prior(shape=0)
    fitted = maximize(statistics, layout, mode, prior, max_iter=100, tolerance=1e-9, curvature=curvature)
    return fitted, curvature


def test_dispersion_of_each_cluster():
    X, size, labels = table()
    layout = lay_out_counts(InMemory(X), size=size)
    statistics = gather_statistics(InMemory(X), layout, labels, 2)
    fitted, curvature = maximize_fully(statistics, layout, "gene_cluster")
    total = curvature.value.T + constants(statistics, layout)
    for gene in range(X.shape[1]):
        for k in range(2):
            own = labels == k
            x, s = X[own, gene], size[own]
            reached = log_likelihood(x, s, fitted.log_mean[gene, k], fitted.phi[gene, k])
            assert reached == pytest.approx(total[k, gene], rel=1e-8)
            assert reached >= optimum([(x, s)]) - 1e-5


def test_shared_dispersion():
    X, size, labels = table(1)
    layout = lay_out_counts(InMemory(X), size=size)
    fitted, _ = maximize_fully(gather_statistics(InMemory(X), layout, labels, 2), layout, "gene")
    assert np.array_equal(fitted.phi[:, 0], fitted.phi[:, 1])
    for gene in range(4):
        parts = [(X[labels == k, gene], size[labels == k]) for k in range(2)]
        reached = sum(
            log_likelihood(x, s, fitted.log_mean[gene, k], fitted.phi[gene, k]) for k, (x, s) in enumerate(parts)
        )
        assert reached >= optimum(parts) - 1e-5


def test_poisson_where_counts_vary_less():
    size = np.full(100, 10.0)
    X = np.column_stack([np.tile([3, 4], 50), np.random.default_rng(0).poisson(size * np.repeat([0.1, 1], 50))])
    layout = lay_out_counts(InMemory(X), size=size)
    fitted = maximize(
        gather_statistics(InMemory(X), layout, np.zeros(100, int), 1), layout, "gene_cluster", Prior(shape=0)
    )
    assert fitted.phi[0, 0] == 0.0
    assert fitted.phi[1, 0] > 0.0
    assert np.exp(fitted.log_mean[0, 0]) == pytest.approx(0.35)


def test_prior_is_a_pseudo_count():
    X, size = np.array([[0], [4]]), np.array([1.0, 3.0])
    layout = lay_out_counts(InMemory(X), size=size)
    fitted = maximize(gather_statistics(InMemory(X), layout, np.array([0, 1]), 2), layout, "poisson", Prior(shape=1.0))
    assert np.allclose(np.exp(fitted.log_mean[0]), [1 / (1 + 1), 5 / (3 + 1)])


def test_normal_prior_pulls_dispersions():
    X, size, labels = table(2)
    layout = lay_out_counts(InMemory(X), size=size)
    statistics = gather_statistics(InMemory(X), layout, labels, 2)
    prior = Prior(center=np.full(X.shape[1], -1.0), precision=1e6)
    held = maximize(statistics, layout, "gene_cluster", prior, max_iter=50)
    assert np.allclose(np.log(held.phi), -1.0, atol=0.01)


def test_variance_of_log_mean_is_the_inverse_curvature():
    X, size, labels = table(3)
    layout = lay_out_counts(InMemory(X), size=size)
    fitted, curvature = maximize_fully(gather_statistics(InMemory(X), layout, labels, 2), layout, "gene_cluster")
    variance = curvature.variance
    x, s = X[labels == 0, 0], size[labels == 0]
    at = np.array([fitted.log_mean[0, 0], np.log(fitted.phi[0, 0])])

    def value(a, b):
        return log_likelihood(x, s, a, np.exp(b))

    h = 1e-3
    hessian = np.empty((2, 2))
    for i, j in np.ndindex(2, 2):
        e, f = h * np.eye(2)[i], h * np.eye(2)[j]
        hessian[i, j] = (value(*(at + e + f)) - value(*(at + e - f)) - value(*(at - e + f)) + value(*(at - e - f))) / (
            4 * h * h
        )
    assert variance[0, 0] == pytest.approx(np.linalg.inv(-hessian)[0, 0], rel=1e-3)
