"""Clouds, cubes and rings are one group however they are cut; clouds with a gap between them are several."""

import numpy as np
import pytest
from scipy import sparse

from kithkin import models
from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution


def one_kind(sort, n, rng):
    """Rows with one mode."""
    X = rng.normal(size=(n, 6))
    if sort == "long":
        return X @ np.diag([9.0, 3.0, 1.0, 1.0, 0.3, 0.1]) @ rng.normal(size=(6, 6))
    if sort == "heavy tails":
        return X / np.sqrt(rng.chisquare(4, (n, 1)) / 4)
    if sort == "cube":
        return rng.random((n, 6))
    if sort == "square":
        return rng.random((n, 2))
    if sort == "line":
        return rng.random((n, 1))
    if sort == "ring":
        turn = 2 * np.pi * rng.random(n)
        return np.stack([np.cos(turn), np.sin(turn)], axis=1) + 0.1 * rng.normal(size=(n, 2))
    return X


def clusters(X, k=9, seed=0):
    return models.KMeans(k, seed=seed).fit(X).labels_


@pytest.mark.parametrize("sort", ["cloud", "long", "heavy tails", "cube", "square", "line", "ring"])
def test_one_kind_is_one_group(sort):
    found = []
    for seed in range(4):
        X = one_kind(sort, 1500, np.random.default_rng(seed))
        model = models.ValueSupport(seed=seed).fit(X, clusters(X, seed=seed))
        assert (model.pvals_ > 1e-4).all()
        found.append(model.labels_.max() == 0)
    assert sum(found) >= 3  # one in a hundred fails at most


def test_p_of_neighbouring_parts_of_a_uniform_line_is_uniform():
    """The distribution of one mode whose p is least."""
    small, tests = 0, 0
    for seed in range(60):
        X = np.random.default_rng(seed).random((800, 1))
        p = models.ValueSupport(seed=seed).fit(X, clusters(X, 6)).pvals_
        small += (p <= 0.05).sum()
        tests += len(p)
    assert small / tests < 0.05 + 3 * np.sqrt(0.05 / tests)
    assert small > 0


def clouds(distance=5.0, sizes=(600, 500, 300), p=4, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return rng.normal(size=(len(truth), p)) + distance * np.eye(p)[truth] * np.sqrt(2), truth


def test_clouds_are_told_apart_and_their_parts_are_not():
    X, truth = clouds()
    cut = 2 * truth + (X[:, 3] > 0)
    for graph in (None, models.Neighbors(15).fit(X).connectivities_):
        model = models.ValueSupport().fit(X, cut, graph)
        assert model.supported_.sum() == 2
        assert len(np.unique(np.stack([truth, model.labels_]), axis=1).T) == 3
        assert model.accuracy_[model.supported_].min() > 0.98
        assert model.dips_[model.supported_].min() > 0.05
        assert (model.n_cells_ <= len(X)).all()


def test_bent_clouds_with_several_clusters_each_are_two():
    rng = np.random.default_rng(0)
    turn, moon = np.pi * rng.random(3000), np.arange(3000) % 2
    X = np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.where(moon, -1, 1)[:, None] + moon[:, None] * [1.0, 0.4]
    X += 0.06 * rng.normal(size=X.shape)
    graph = models.Neighbors(15).fit(X).connectivities_
    groups = models.Leiden(0.3).fit(graph).labels_
    model = models.ValueSupport().fit(X, groups, graph)
    assert groups.max() > 3
    table = np.zeros((2, model.labels_.max() + 1), int)
    np.add.at(table, (moon, model.labels_), 1)
    assert table.shape == (2, 2)
    assert np.count_nonzero(table) == 2


def test_a_small_cloud_beside_a_large_one_is_found():
    X, truth = clouds(6.0, (5000, 60))
    model = models.ValueSupport().fit(X, truth)
    assert model.supported_.all()
    assert model.n_cells_[0] < 400


def test_units_rows_without_a_group_and_block_sizes_do_not_matter():
    X, truth = clouds()
    groups = 2 * truth + (X[:, 3] > 0)
    model = models.ValueSupport().fit(X, groups)
    scaled = models.ValueSupport().fit(X * [1e-6, 1.0, 30.0, 1e9] + [5.0, 0, 0, 1e9], groups)
    assert np.allclose(np.log(model.pvals_), np.log(scaled.pvals_), rtol=1e-3, atol=1e-6)
    for blocks in (InMemory(X, rows=97), sparse.csr_matrix(X)):
        again = models.ValueSupport().fit(blocks, groups, execution=Execution(threads=2, memory=10_000))
        assert np.array_equal(again.pvals_, model.pvals_)
    partly = np.where(np.arange(len(X)) % 10 == 0, -1, 7 * groups)
    found = models.ValueSupport().fit(X, partly)
    assert (found.labels_[::10] == -1).all()
    assert found.labels_.max() == 2


def test_outliers_that_no_group_has_fill_a_gap():
    """Rows that were left out of the groups count: without those between two, any cloud would fall apart."""
    X = np.random.default_rng(0).normal(size=(3000, 2))
    groups = np.where(np.abs(X[:, 0]) < 0.3, -1, X[:, 0] > 0)
    assert not models.ValueSupport().fit(X, groups).supported_.any()
    apart = np.abs(X[:, 0]) >= 0.3
    assert models.ValueSupport().fit(X[apart], groups[apart]).supported_.all()


def test_a_sample_takes_part():
    X, truth = clouds()
    model = models.ValueSupport(n_sample=500).fit(X, truth)
    assert model.n_cells_.max() <= 500
    assert model.labels_.max() == 2


def test_wide_rows_take_a_smaller_sample(monkeypatch):
    X, truth = clouds()
    monkeypatch.setattr("kithkin.models.support.value_support.MOST_VALUES", 400 * X.shape[1])
    model = models.ValueSupport().fit(X, truth)
    assert model.n_cells_.max() <= 400
    assert model.labels_.max() == 2


def test_one_group_and_groups_of_few_rows():
    X, _ = clouds()
    model = models.ValueSupport().fit(X, np.zeros(len(X), int))
    assert model.pvals_.shape == (0,)
    assert model.labels_.max() == 0
    few = models.ValueSupport().fit(X, np.where(np.arange(len(X)) < 2, 1, 0))
    assert few.pvals_.tolist() == [1.0]
    assert few.labels_.max() == 0
    same = models.ValueSupport().fit(np.ones((50, 3)), np.arange(50) % 4)
    assert same.labels_.max() == 0


def test_what_is_wrong_is_named():
    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ParameterError, match="groups must be 40 integers"):
        models.ValueSupport().fit(X, np.zeros(39, int))
    with pytest.raises(ParameterError, match="takes at most 1,000 columns, got 1,001"):
        models.ValueSupport().fit(np.ones((40, 1001)), np.zeros(40, int))
    X[3, 1] = np.nan
    with pytest.raises(ParameterError, match="X must be finite, but it holds NaN or infinity"):
        models.ValueSupport().fit(X, np.zeros(40, int))
    with pytest.raises(ParameterError, match=r"n_sample must be in 100\.\."):
        models.ValueSupport(n_sample=3).fit(X, np.zeros(40, int))
