"""The log-likelihood over stored values is that of the dense table."""

import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.core.blocks import InMemory
from kithkin.kernels.mixture.likelihood import log_rising
from kithkin.models.mixture.count_layout import count_pieces, lay_out_counts
from kithkin.models.mixture.parameters import Parameters, Tables


def dense(X, size, log_mean, phi):
    """Sum of scipy's log pmf over genes, rows x clusters."""
    out = np.zeros((len(X), phi.shape[1]))
    for k in range(phi.shape[1]):
        mean = size[:, None] * np.exp(log_mean[:, k])
        r = 1 / np.maximum(phi[:, k], 1e-9)
        negative_binomial = stats.nbinom.logpmf(X, r, 1 / (1 + mean / r))
        with np.errstate(divide="ignore"):
            poisson = stats.poisson.logpmf(X, mean)
        out[:, k] = np.where(phi[:, k] > 0, negative_binomial, poisson).sum(axis=1)
    return out


def scores(X, size, log_mean, phi, surveyed=None):
    layout = lay_out_counts(InMemory(X if surveyed is None else surveyed), size=size)
    K = phi.shape[1]
    tables = Tables.of(Parameters(np.full(K, -np.log(K)), log_mean, phi), layout)
    return np.concatenate([tables.scores(piece, size) for _, piece in count_pieces(sparse.csr_matrix(X).toarray())])


def example(seed, n=30, p=50, K=5):
    rng = np.random.default_rng(seed)
    size = 10 ** rng.uniform(1, 5, n)  # over four decades
    log_mean, phi = rng.uniform(-9, -1, (p, K)), 10 ** rng.uniform(-3, 3, (p, K))
    phi[rng.random((p, K)) < 0.2] = 0.0
    X = rng.poisson(size[:, None] * np.exp(log_mean[:, 0]) * rng.gamma(1, 1, (n, p)))
    return X, size, log_mean, phi


@pytest.mark.parametrize("K", [1, 4, 5, 11])
def test_scores_are_those_of_scipy(K):
    X, size, log_mean, phi = example(K, K=K)
    X[0, :3], X[1, 3:7], X[2] = 10_000, [300, 65, 256, 257], 0
    expected = dense(X, size, log_mean, phi)
    assert np.abs(scores(X, size, log_mean, phi) / expected - 1).max() < 1e-8


def test_steep_rates_do_not_overflow():
    X, size, log_mean, phi = example(0)
    log_mean[:], phi[:] = -1.0, 1e4
    assert np.abs(scores(X, size, log_mean, phi) / dense(X, size, log_mean, phi) - 1).max() < 1e-8


def test_mean_of_zero_allows_zeros_only():
    X, size, log_mean, phi = example(0)
    X[:, 7] = [1] + [0] * (len(X) - 1)
    log_mean[7], phi[7] = -np.inf, 0.0
    found = scores(X, size, log_mean, phi)
    assert np.all(found[0] == -np.inf)
    log_mean[7] = -300.0
    assert np.allclose(found[1:], dense(X, size, log_mean, phi)[1:], rtol=1e-8)


def test_counts_beyond_those_surveyed():
    X, size, log_mean, phi = example(3)
    known = scores(X, size, log_mean, phi)
    assert np.allclose(scores(X, size, log_mean, phi, np.minimum(X, 3)), known, rtol=1e-10)


@pytest.mark.parametrize("phi", [0.0, 1e-6, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize("last", [64, 65, 1000, 20_000])
def test_sum_of_logarithms(phi, last):
    exact = np.log1p(np.arange(64, last) * phi).sum()
    assert log_rising(64, last, phi) == pytest.approx(exact, rel=1e-11, abs=1e-11)
