"""Shares of clusters that modalities give back: against the best rule, and what must hold whatever is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import norm

import kithkin as kk
from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models import Face, Faces
from kithkin.models.support.faces.discriminant import Sums, slots
from kithkin.models.support.faces.folds import PAIRS, Folds
from kithkin.models.support.faces.logistic import Logistic, alike
from kithkin.models.support.faces.neighborhoods import neighbor_scores

ONE = Execution(threads=1)


def shifted(codes, gaps, rng, p=3):
    """Columns of unit variance, the first of which is shifted by a gap in each cluster."""
    values = rng.normal(size=(len(codes), p))
    values[:, 0] += np.asarray(gaps)[codes]
    return values


def test_shares_are_those_of_the_best_rule():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], [6000, 2000])  # clusters weigh the same, however many cells they have
    faces = {"a": shifted(codes, [0, 1.5], rng), "b": shifted(codes, [0, 1.0], rng), "c": rng.normal(size=(8000, 4))}
    model = Faces().fit(faces, codes, ONE)
    best = norm.cdf(np.array([1.5, 1.0, 0.0, np.hypot(1.5, 1.0)]) / 2)
    np.testing.assert_allclose(model.shares_, [best, best], atol=0.03)
    np.testing.assert_allclose(model.shares_.mean(axis=0), best, atol=0.015)
    assert (model.low_ < model.shares_).all()
    assert (model.shares_ < model.high_).all()
    np.testing.assert_allclose(model.calls_.sum(axis=2), np.tile([6000, 2000], (4, 1)))


def test_clusters_that_differ_in_spread_only_are_told_apart():
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 1], 2000)
    values = rng.normal(size=(4000, 5)) * np.where(codes == 0, 1.0, 3.0)[:, None]
    logs = np.stack([norm.logpdf(values).sum(axis=1), norm.logpdf(values, scale=3).sum(axis=1)])
    best = np.array([(logs.argmax(axis=0) == codes)[codes == k].mean() for k in range(2)])
    np.testing.assert_allclose(Faces().fit({"a": values}, codes, ONE).shares_[:, 0], best, atol=0.02)


def test_clusters_that_are_the_same_share_their_cells_evenly():
    rng = np.random.default_rng(2)
    codes = np.repeat([0, 1, 2], [1000, 700, 500])
    model = Faces().fit({"a": shifted(codes, [0, 0, 5], rng)}, codes, ONE)
    np.testing.assert_allclose(model.shares_[:, 0], [0.5, 0.5, 1.0], atol=0.03)
    assert alike(np.zeros((9, 3)), np.arange(9) % 3, 2).tolist() == [0, 0, 0]


def test_counts_come_near_the_best_rule_that_knows_the_profiles():
    rng = np.random.default_rng(3)
    profiles = np.tile(rng.gamma(0.5, 1.0, 700), (3, 1))
    profiles[1, :30] *= 1.5
    profiles[2, 30:60] *= 2.5
    profiles /= profiles.sum(axis=1, keepdims=True)
    codes, depth = np.arange(6000) % 3, 800 * np.exp(rng.normal(0, 0.4, 6000))
    counts = rng.poisson(depth[:, None] * profiles[codes])
    called = (counts @ np.log(profiles).T - depth[:, None]).argmax(axis=1)
    best = np.array([(called == k)[codes == k].mean() for k in range(3)])
    model = Faces().fit({"X": Face(sparse.csr_matrix(counts), "counts")}, codes, ONE)
    assert 0.6 < best.mean() < 0.95
    np.testing.assert_allclose(model.shares_[:, 0], best, atol=0.04)
    assert abs(model.shares_[:, 0].mean() - best.mean()) < 0.02
    assert set(np.argsort(-model.effects_[0][2])[:5]) <= set(range(30, 60))


def test_no_cell_is_called_by_what_it_taught():
    """Labels at random: a classifier that sees its own cells would find them again."""
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 2, 300)
    noise = sparse.csr_matrix(rng.poisson(0.3, (300, 5000)))
    faces = {
        "X": Face(noise, "counts"),
        "wide": rng.normal(size=(300, 200)),
        "images": Face(rng.random((300, 1, 9, 9)), "images"),
    }
    links = sparse.random_array((300, 300), density=0.03, rng=rng, format="csr")
    model = Faces().fit({**faces, "graph": Face(links, "graph")}, codes, ONE)
    assert np.abs(model.shares_.mean(axis=0) - 0.5).max() < 0.1


def test_neighbours_of_the_tested_quarter_are_hidden():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 80)
    labels[5] = -1
    dense = rng.random((80, 80)) * (rng.random((80, 80)) < 0.2)
    folds = Folds.draw(labels, 3, 1000, 0)
    found, shares = neighbor_scores(InMemory(sparse.csr_matrix(dense), rows=7), folds, ONE)
    for row, i in enumerate(folds.rows):
        for quarter in range(4):
            seen = [sum(dense[i, j] for j in range(80) if j != i and labels[j] == k and folds.quarters[j] != quarter)
                    for k in range(3)]  # fmt: skip
            np.testing.assert_allclose(found[row, quarter, :3], seen, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_scores_of_a_cell_never_come_from_its_quarter_or_the_tested_one():
    own = np.arange(8) % 4
    by_pair = np.tile(np.arange(len(PAIRS), dtype=np.float32)[None, :, None], (8, 1, 1))
    for quarter, table in zip(own, slots(by_pair, own)[:, :, 0], strict=True):
        for tested in range(4):
            if tested != quarter:
                assert set(PAIRS[int(table[tested])]) == {0, 1, 2, 3} - {quarter, tested}
        assert table[quarter] == pytest.approx(np.mean([n for n, pair in enumerate(PAIRS) if quarter not in pair]))


def test_the_discriminant_of_few_columns_is_fishers():
    rng = np.random.default_rng(6)
    X, codes = rng.normal(size=(5000, 3)) @ [[1, 0.8, 0], [0, 0.6, 0], [0, 0, 2]], np.arange(5000) % 2
    X[codes == 1] += [1, 0, 0]
    sums = np.stack([X[codes == k].sum(axis=0) for k in range(2)])
    weights = Sums(np.array([[2500.0, 2500]]), sums[None], (X.T @ X)[None]).weights((0,))
    gap = sums[1] / 2500 - sums[0] / 2500
    within = sum(
        (X[codes == k] - X[codes == k].mean(axis=0)).T @ (X[codes == k] - X[codes == k].mean(axis=0)) for k in (0, 1)
    )
    np.testing.assert_allclose(
        weights[:, 1] - weights[:, 0], np.linalg.solve(within / 4998, gap), rtol=0.01, atol=0.005
    )


def test_regression_agrees_with_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(7)
    codes = rng.choice(3, 900, p=[0.6, 0.3, 0.1])
    Z = rng.normal(size=(900, 4)) + codes[:, None] * [1, 0, -1, 0]
    other = linear.LogisticRegression(C=1e6, class_weight="balanced", max_iter=2000).fit(Z, codes)
    mine = Logistic.fit(Z, codes, 3, np.zeros(4, bool)).log_probabilities(Z)
    np.testing.assert_allclose(np.exp(mine), other.predict_proba(Z), atol=0.01)


def test_a_sample_takes_as_many_of_each_cluster():
    rng = np.random.default_rng(8)
    codes = np.repeat([0, 1], [3000, 200])
    values = shifted(codes, [0, 3], rng)
    model = Faces(n_sample=600).fit({"a": values}, codes, ONE)
    assert model.n_cells_.tolist() == [400, 200]
    assert np.isin(codes[model.rows_], [0, 1]).all()
    assert len(model.rows_) == 600


def test_small_clusters_and_cells_without_one_are_left_out():
    rng = np.random.default_rng(9)
    codes = np.repeat([0, 1, 2, -1], [100, 5, 100, 50])
    model = Faces().fit({"a": shifted(codes, [0, 0, 4, 0], rng)}, codes, ONE)
    assert model.n_cells_.tolist() == [100, 0, 100]
    assert np.isnan(model.shares_[1]).all()
    assert np.isnan(model.effects_[0][1]).all()
    assert (model.shares_[[0, 2], 0] > 0.9).all()


def test_missing_values_and_constant_columns_tell_nothing():
    rng = np.random.default_rng(10)
    codes = np.repeat([0, 1], 200)
    values = np.column_stack([shifted(codes, [0, 6], rng), np.full(400, 7.0), np.full(400, np.nan)])
    values[::7, 1] = np.nan
    assert (Faces().fit({"a": values}, codes, ONE).shares_ > 0.98).all()


def test_wrong_input_is_refused():
    codes, X = np.repeat([0, 1], 20), np.random.default_rng(0).normal(size=(40, 3))
    for faces, labels, said in (
        ({}, codes, "X must hold one modality at least"),
        ({"a": X[:30]}, codes, "a must have 40 rows, one for each cell, got 30"),
        ({"a": Face(X, "table?")}, codes, "kind of a must be one of 'table', 'counts', 'images', 'graph'"),
        ({"a": Face(X, "graph")}, codes, "a graph must have 40 x 40 weights"),
        ({"a": Face(-np.eye(40), "graph")}, codes, "weights of 0 or more"),
        ({"a": Face(X, "images")}, codes, "thumbnails must be cells x channels x rows x columns"),
        ({"a": X}, np.zeros(40, int), "two clusters of 8 cells or more are needed, got 1"),
        ({"a": X}, codes / 2, "codes must be whole numbers"),
        ({"a": np.full((40, 2), np.inf)}, codes, "finite"),
        ({"a": Face(X, "counts")}, codes, "needs counts, but X holds negative values"),
    ):
        with pytest.raises(kk.ParameterError, match=said):
            Faces().fit(faces, labels, ONE)
