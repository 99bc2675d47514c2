"""Splits are supported where the cells are of several kinds, and not where clustering invented them."""

import numpy as np
import pytest
from scipy import sparse, stats

from kithkin import models
from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.support.agreement import Halves
from kithkin.models.support.calls import Drawn
from kithkin.models.support.gene_tests import likelihood_ratio_tests, side_sums
from kithkin.models.support.group_tree import closed

PROFILE = np.random.default_rng(7).gamma(0.4, 1.0, 600)


def one_kind(seed, n=800, dispersion=0.0, depths=True):
    """Counts of cells of one kind, and clusters of them that k-means finds in their components."""
    rng = np.random.default_rng(seed)
    size = np.exp(rng.normal(0, 0.5, n)) if depths else np.ones(n)
    if seed % 3 == 0:
        size[: n // 2] *= 0.4  # a batch of less depth
    mean = size[:, None] * PROFILE * 2
    if dispersion:
        mean = mean * rng.gamma(1 / dispersion, dispersion, mean.shape)
    X = sparse.csr_matrix(rng.poisson(mean).astype(np.uint16))
    shares = np.log1p(X.toarray() / X.sum(axis=1).A1[:, None] * 1000)
    components = models.PCA(8, normalize=None).fit(shares).transform(shares)
    return X, models.KMeans(8).fit(components).labels_


@pytest.mark.parametrize("dispersion", [0.0, 0.8])
def test_clusters_of_one_kind_are_one_group(dispersion):
    found = []
    for seed in range(6):
        X, labels = one_kind(seed, dispersion=dispersion)
        assert models.Markers().fit(X, labels).pvals_adj_.min() < 0.01 or dispersion  # what clustering invents
        model = models.Support().fit(X, labels)
        found.append(model.labels_.max() == 0)
        assert model.accuracy_[-1] < 0.85
    assert sum(found) >= 5  # one in a hundred fails


def test_p_of_splits_is_uniform_in_one_kind():
    ps = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        size = np.exp(rng.normal(0, 0.6, 300))
        X = rng.poisson(size[:, None] * PROFILE * rng.gamma(1.0, 1.0, (300, 600)))
        ps.append(models.Support(seed=seed).fit(X, rng.integers(0, 2, 300)).pvals_[0])
    assert stats.kstest(ps, "uniform").pvalue > 0.01


def kinds(n=900, change=1.0, seed=0):
    """Three kinds of cells, the last two nearer to each other; each cut in two at random."""
    rng = np.random.default_rng(seed)
    changes = rng.normal(0, change, (3, 600)) * (rng.random(600) < 0.2)
    changes[2] = changes[1] + 0.6 * changes[2]
    truth = rng.integers(0, 3, n)
    size = np.exp(rng.normal(0, 0.4, n))
    X = sparse.csr_matrix(rng.poisson(2 * size[:, None] * PROFILE * np.exp(changes[truth])))
    return X, truth, 2 * truth + rng.integers(0, 2, n), changes


def test_kinds_are_told_apart_and_their_random_parts_are_not():
    X, truth, groups, _ = kinds()
    model = models.Support().fit(X, groups)
    table = np.zeros((3, model.labels_.max() + 1), int)
    np.add.at(table, (truth, model.labels_), 1)
    assert table.shape == (3, 3)
    assert np.count_nonzero(table) == 3
    assert model.supported_.sum() == 2
    assert model.n_genes_[~model.supported_].max() == 0
    assert np.isnan(model.effects_[~model.supported_]).all()
    assert model.accuracy_[model.supported_].min() > 0.9
    assert model.accuracy_[~model.supported_].max() < 0.7
    assert (model.n_cells_ <= 900).all()


def test_the_genes_are_those_that_differ():
    X, truth, _, changes = kinds()
    model = models.Support().fit(X, truth)
    top = model.children_[-1]
    assert 0 in top  # the first kind leaves first
    different = np.flatnonzero(changes.any(axis=0))
    assert np.isin(model.genes_[-1], different).all()
    assert 20 < model.n_genes_[-1] <= len(different) * 1.1
    assert 0.5 < model.effects_[-1] < 3


def test_p_of_genes_is_uniform_between_halves_of_one_kind():
    uniform = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n, p = 600, 500
        size = np.exp(rng.normal(0, 0.5, n))
        noise = rng.gamma(1 / (0.3 * (seed % 2) + 0.05), 0.3 * (seed % 2) + 0.05, (n, p))
        X = rng.poisson(size[:, None] * rng.gamma(2.0, 3.0, p) * noise)
        halves = (np.arange(p) % 2).astype(np.int8)
        depths = np.stack([X[:, halves == h].sum(axis=1) for h in range(2)], axis=1).astype(float)
        sides = np.repeat(rng.normal(0, 1, (n, 1)), 2, axis=1)[:, :, None]
        scored = Halves(depths, np.zeros((n, 2), int), sides, sides, np.zeros(n, int), np.zeros(n, int))
        inside = np.ones((n, 1), bool)
        drawn = Drawn(np.ones(n, bool), np.zeros(n, int), halves)
        sums = side_sums(InMemory(X, rows=90), drawn, np.arange(p), scored, inside, Execution())
        left = sides[:, 0, 0] > 0
        assert np.array_equal(sums.counts[0], [X[left].sum(axis=0), X[~left].sum(axis=0)])
        assert np.array_equal(sums.pairs[0, 0], (X[left] * (X[left] - 1)).sum(axis=0))
        uniform += stats.kstest(likelihood_ratio_tests(sums)[0][0], "uniform").pvalue > 0.05
    assert uniform >= 17  # 19 are expected


def test_the_ratio_is_that_of_the_likelihoods():
    """Compare with the maximum of the likelihoods that SciPy computes, for one gene on two sides."""
    from scipy.optimize import minimize_scalar

    from kithkin.models.support.gene_tests import Sums

    x, s, q, phi = np.array([140.0, 70.0]), np.array([5e3, 4e3]), np.array([9e4, 8e4]), 0.5
    expected = ((x / s) ** 2 * q).sum()
    pairs = np.array([(1 + phi) * expected, 0.0])
    sums = Sums(x[None, :, None], pairs[None, :, None], s[None, :, None], q[None, :, None], np.array([10**7]))
    size = s**2 / (phi * q)

    def likelihood(rates):
        mean = rates * s
        return stats.nbinom.logpmf(x, size, size / (size + mean)).sum()

    common = minimize_scalar(
        lambda t: -likelihood(np.exp(t)), bounds=(-8, 0), method="bounded", options={"xatol": 1e-9}
    )
    ratio = 2 * (likelihood(x / s) + common.fun)
    p, change = likelihood_ratio_tests(sums)
    assert p[0, 0] == pytest.approx(stats.chi2.sf(ratio, 1), rel=1e-4)
    assert change[0, 0] == pytest.approx(np.log2(140.5 / 5e3 / (70.5 / 4e3)))


def test_cells_without_a_group_and_gaps_in_the_numbers():
    X, truth, _, _ = kinds(400)
    groups = truth * 5
    groups[:20] = -1
    model = models.Support().fit(X, groups)
    assert (model.labels_[:20] == -1).all()
    assert model.labels_.max() == 2
    whole = models.Support().fit(X[20:], truth[20:])
    assert model.children_.tolist() == whole.children_.tolist()


def test_one_group_has_no_split():
    model = models.Support().fit(np.ones((30, 5), int), np.zeros(30, int))
    assert model.pvals_.shape == (0,)
    assert model.children_.shape == (0, 2)
    assert model.labels_.tolist() == [0] * 30


def test_a_sample_is_of_all_cells():
    X, truth, _, _ = kinds()
    model = models.Support(n_sample=300).fit(X, truth)
    assert model.n_cells_.max() <= 300
    assert model.supported_.all()


def test_a_tree_is_that_of_the_links():
    X, truth, _, _ = kinds(300)
    graph = np.array([[0.0, 9.0, 1.0], [9.0, 0.0, 1.0], [1.0, 1.0, 0.0]])[truth][:, truth] + 0.01
    assert sorted(models.Support().fit(X, truth, sparse.csr_matrix(graph)).children_[0].tolist()) == [0, 1]


def test_a_supported_split_keeps_all_above_it_open():
    children = np.array([[0, 1], [2, 3], [4, 5]])
    assert closed(children, np.array([True, False, False]), 4).tolist() == [0, 1, 2, 2]
    assert closed(children, np.array([False, False, False]), 4).tolist() == [0, 0, 0, 0]
    assert closed(children, np.array([False, False, True]), 4).tolist() == [0, 0, 1, 1]


def test_what_is_wrong_is_named():
    X = np.ones((4, 3), int)
    with pytest.raises(ParameterError, match="groups must be 4 integers, got int64 of shape"):
        models.Support().fit(X, np.zeros(3, int))
    with pytest.raises(ParameterError, match="at least one row, got none"):
        models.Support().fit(X, np.full(4, -1))
    with pytest.raises(ParameterError, match="support needs counts, but X holds negative values"):
        models.Support().fit(-X, np.array([0, 0, 1, 1]))
    with pytest.raises(ParameterError, match="support needs counts, but X holds values that are not integers"):
        models.Support().fit(X + 0.5, np.array([0, 0, 1, 1]))
    with pytest.raises(ParameterError, match=r"n_sample must be in 100\.\."):
        models.Support(n_sample=3).fit(X, np.array([0, 0, 1, 1]))
