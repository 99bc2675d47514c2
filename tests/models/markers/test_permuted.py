"""Labels that mean nothing: the share of columns that each test calls different is the one that it promises."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.models.markers.markers import Markers


def rates(model):
    """Shares of p below 0.05 and 0.001, and of p adjusted below 0.05, of the columns in which anything varies."""
    varies = ~np.isnan(model.auc_[0]) & (model.scores_[0] != 0)
    p, adjusted = model.pvals_[0][varies], model.pvals_adj_[0][varies]
    return (p < 0.05).mean(), (p < 0.001).mean(), (adjusted < 0.05).mean()


@pytest.fixture(scope="module")
def sparse_counts():
    """Counts with the means of genes spread as widely as in cells: most genes are in a few cells only."""
    rng = np.random.default_rng(0)
    means = 10 ** rng.uniform(-3.5, 1.0, 1500)
    depth = rng.lognormal(0, 0.4, 900)[:, None]
    return sparse.csr_matrix(rng.negative_binomial(2, 2 / (2 + means * depth)).astype(np.uint16))


@pytest.mark.parametrize("method", ["wilcoxon", "t-test"])
@pytest.mark.parametrize("n", [5, 10, 50, 300])
@pytest.mark.parametrize("settings", [{}, {"pairs": [(1, 0)]}, {"normalize": None}])
def test_shuffled_labels_of_sparse_counts(sparse_counts, method, n, settings):
    found = []
    for seed in range(3):
        labels = np.zeros(900, int)
        labels[np.random.default_rng(seed).permutation(900)[:n]] = 1
        model = Markers(method, **{"pairs": [(1, 0)]} | settings).fit(sparse_counts, labels)
        found.append(rates(model))
    small, smaller, adjusted = np.mean(found, axis=0)
    assert small <= 0.06
    assert smaller <= 0.002
    assert adjusted <= 0.001


@pytest.mark.parametrize("method", ["wilcoxon", "t-test"])
@pytest.mark.parametrize("n", [5, 10, 50, 200])
def test_shuffled_labels_of_values(method, n):
    """Columns from even to heavy-tailed, of two values, and of grades that are mostly the same."""
    rng = np.random.default_rng(1)
    X = np.hstack([
        np.exp(rng.normal(size=(600, 150)) * np.linspace(0.1, 2, 150)) - 1,
        rng.random((600, 100)) < np.linspace(0.005, 0.5, 100),
        rng.choice(5, size=(600, 100), p=[0.02, 0.03, 0.05, 0.1, 0.8]) - 2.0,
    ])  # fmt: skip
    found = []
    for seed in range(8):
        labels = np.zeros(600, int)
        labels[np.random.default_rng(seed).permutation(600)[:n]] = 1
        found.append(rates(Markers(method, kind="values", pairs=[(1, 0)]).fit(X, labels)))
    small, smaller, adjusted = np.mean(found, axis=0)
    assert small <= 0.06
    assert smaller <= 0.002
    assert adjusted <= 0.001


@pytest.mark.parametrize("method", ["wilcoxon", "t-test"])
def test_shuffled_labels_of_real_cells(pbmc, method):
    X = pbmc.X[:, ::8].astype(np.uint16)
    for n in (10, 50, pbmc.n_obs // 3):
        labels = np.zeros(pbmc.n_obs, int)
        labels[np.random.default_rng(n).permutation(pbmc.n_obs)[:n]] = 1
        small, smaller, adjusted = rates(Markers(method, pairs=[(1, 0)]).fit(X, labels))
        assert small <= 0.06
        assert smaller <= 0.002
        assert adjusted == 0


@pytest.mark.parametrize("method", ["wilcoxon", "t-test"])
def test_markers_of_a_small_group_are_found(sparse_counts, method):
    X = sparse_counts.toarray()
    X[:10, 100:110] = 0
    X[:10, 100:110] += np.random.default_rng(2).poisson(6, (10, 10)).astype(np.uint16)
    X[10:, 100:110] *= np.random.default_rng(3).random((890, 10)) < 0.03
    labels = np.where(np.arange(900) < 10, "few", "many")
    table = Markers(method).fit(X, labels).table("few")
    adjusted = pd.Series(table["pvals_adj"], index=table.index)
    assert (adjusted[range(100, 110)] < 1e-3).all()
    assert (adjusted.drop(range(100, 110)) < 0.05).sum() <= 1
