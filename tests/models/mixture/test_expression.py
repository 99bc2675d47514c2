"""Known groups: the fit of each gene and group is that of the gene alone."""

import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.core.errors import ParameterError
from kithkin.models.mixture.distribution import fit_count_distribution
from kithkin.models.mixture.expression import fit_given_labels


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    labels, size = rng.integers(0, 3, 300), rng.lognormal(8, 0.4, 300)
    mean = np.exp(rng.uniform(-9, -4, (3, 6)))
    X = rng.poisson(size[:, None] * mean[labels] * rng.gamma(2, 0.5, (300, 6)))
    X[labels == 0, 5] = 0
    return X, np.array(["a", "b", "c"])[labels], size


def test_each_gene_and_group_alone(cells):
    X, labels, size = cells
    found = fit_given_labels(sparse.csr_matrix(X), labels, size=size)
    total = np.zeros(6)
    for k, group in enumerate("abc"):
        own = labels == group
        for gene in range(6 if k else 5):
            alone = fit_count_distribution(X[own, gene], size[own])
            assert found.log_mean[k, gene] == pytest.approx(alone.log_mean, abs=1e-4)
            total[gene] += alone.log_likelihood
    assert np.allclose(found.log_likelihood, total, rtol=1e-6)
    assert found.log_mean[0, 5] == -np.inf
    assert found.n_cells.tolist() == [(labels == group).sum() for group in "abc"]


def test_point_masses_are_poisson(cells):
    X, labels, size = cells
    found = fit_given_labels(X, labels, size=size, dispersion="poisson")
    for gene in range(6):
        rate = np.exp(found.log_mean[np.searchsorted(found.groups, labels), gene])
        expected = stats.poisson.logpmf(X[:, gene], size * rate).sum()
        assert found.log_likelihood[gene] == pytest.approx(expected, rel=1e-6)


def test_more_freedom_is_likelier(cells):
    X, labels, size = cells
    point, shared, free = (
        fit_given_labels(X, labels, size=size, dispersion=d).log_likelihood for d in ("poisson", "gene", "gene_cluster")
    )
    assert np.all(shared >= point - 1e-6)
    assert np.all(free >= shared - 1e-6)


def test_standard_errors_cover():
    rng, hits = np.random.default_rng(1), []
    X = rng.negative_binomial(2, 2 / (2 + 4.0), (400, 400))
    found = fit_given_labels(X, np.repeat([0, 1], 200), size=np.ones(400))
    change, error, p = found.difference(1, 0)
    hits = np.abs(change / error) < 1.96
    assert hits.mean() == pytest.approx(0.95, abs=0.03)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.03)


def test_chosen_genes_and_absent_ones(cells):
    X, labels, size = cells
    found = fit_given_labels(X, labels, size=size, columns=np.array([1, 5]))
    assert found.columns.tolist() == [1, 5]
    change, error, p = found.difference("b", "a")
    assert (change[1], error[1], p[1]) == (np.inf, np.inf, 1.0)
    kept = fit_given_labels(X, labels, size=size, mean_shape=1.0)
    assert np.isfinite(kept.log_mean).all()


def test_refusals(cells):
    X, labels, size = cells
    with pytest.raises(ParameterError, match="labels must hold 300 groups"):
        fit_given_labels(X, labels[:3])
    with pytest.raises(ParameterError, match="group must be one of 'a', 'b', 'c', got 'd'"):
        fit_given_labels(X, labels, size=size).difference("d", "a")
