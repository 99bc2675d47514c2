"""Gates of given clusters: true markers of simulated counts, what labels say nothing, and what repeats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("torch")

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.gates import label_gates
from kithkin.models.gates.label_gates import LabelGates
from kithkin.models.gates.rows import choose_rows

M = 12


def simulated(n=600, p=400, K=4, seed=0):
    """Poisson counts of cells of uneven depth; each cluster has 12 genes of its own, three times as high."""
    rng = np.random.default_rng(seed)
    base, codes = rng.gamma(0.5, 1, p), rng.integers(0, K, n)
    own = rng.permutation(p)[: K * M].reshape(K, M)
    base[own] = rng.uniform(0.3, 1, own.shape)
    rate = np.tile(base, (n, 1))
    for k in range(K):
        rate[np.ix_(codes == k, own[k])] *= 3
    return sparse.csr_matrix(rng.poisson(rate * rng.gamma(8, 1 / 8, (n, 1)))), codes, own


@pytest.fixture(scope="module")
def counts():
    return simulated()


@pytest.fixture(scope="module")
def fitted(counts):
    return LabelGates(n_features=M).fit(*counts[:2])


@pytest.fixture
def short(monkeypatch):
    """A training that is too short to be good, but not to repeat."""
    monkeypatch.setattr(label_gates, "STEPS", {"gates": 40, "scores": 20})


def test_true_markers_are_selected(counts, fitted):
    _, codes, own = counts
    opened = fitted.global_gates_ > 0.55
    assert ((opened.sum(1) >= 8) & (opened.sum(1) <= 15)).all()
    assert np.mean([np.isin(np.flatnonzero(opened[k]), own[k]).mean() for k in range(4)]) > 0.85
    assert fitted.scale_.name == "log1p"
    assert fitted.accuracy_ > 0.9
    assert (fitted.predict(counts[0]) == codes).mean() > 0.9
    assert fitted.history_[-1]["cross_entropy"] < 0.5 * fitted.history_[0]["cross_entropy"]


def test_labels_that_say_nothing_are_not_given_back(counts):
    X, codes, _ = counts
    mixed = np.random.default_rng(1).permutation(codes)
    assert LabelGates(n_features=M).fit(X, mixed).accuracy_ < 0.4


def test_the_pattern_of_open_gates_gives_no_label_away():
    X = np.random.default_rng(0).uniform(1, 2, (400, 30))  # no value is zero, and none tells anything
    codes = np.repeat([0, 1, 2, 3], 100)
    assert LabelGates(scale="none", n_features=3).fit(X, codes).accuracy_ < 0.4


def test_features_that_tell_only_together_are_found():
    X = np.random.default_rng(0).random((800, 8))
    codes = ((X[:, 0] > 0.5) ^ (X[:, 1] > 0.5)).astype(int)
    model = LabelGates(n_features=2).fit(X, codes)
    assert model.accuracy_ > 0.9
    assert (model.global_gates_ > 0.55).tolist() == [[True, True] + [False] * 6] * 2


def test_the_same_seed_gives_the_same_bits_for_any_blocks(counts, short):
    X, codes, _ = counts
    models = [LabelGates(seed=seed).fit(InMemory(X, rows=rows), codes, execution=Execution(threads=threads))
              for seed, rows, threads in ((0, None, 1), (0, 37, 2), (1, None, 1))]  # fmt: skip
    assert (models[0].global_gates_ == models[1].global_gates_).all()
    assert models[0].history_ == models[1].history_
    assert models[0].accuracy_ == models[1].accuracy_
    assert (models[0].global_gates_ != models[2].global_gates_).any()


def test_rows_without_a_cluster_and_clusters_without_rows(counts, short):
    X, codes, _ = counts
    codes = np.where(codes == 2, -1, codes)
    model = LabelGates(6).fit(X, codes)
    assert (model.global_gates_[[2, 4, 5]] == 0).all()
    assert (model.global_gates_[[0, 1, 3]].max(1) > 0.55).all()
    assert np.isnan(model.recall_).tolist() == [False, False, True, False, True, True]
    assert set(model.predict(X)) <= {0, 1, 3}
    kept = codes >= 0
    again = LabelGates(6).fit(X[np.flatnonzero(kept)], codes[kept])
    assert again.global_gates_.shape == model.global_gates_.shape


def test_chosen_columns_and_dense_tables(counts, short):
    X, codes, _ = counts
    columns = np.arange(0, 400, 4)
    some = LabelGates(scale="log1p").fit(X, codes, columns)
    assert some.global_gates_.shape == (4, 100)
    dense = LabelGates(scale="log1p").fit(X.toarray(), codes, columns)
    np.testing.assert_array_equal(some.global_gates_, dense.global_gates_)
    assert some.n_features_ == pytest.approx(8)


def test_a_small_cluster_counts_as_much_as_a_large_one():
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(3000, 40)), np.repeat([0, 1, 2], [2960, 30, 10])
    X[codes == 1, 3] += 5
    X[codes == 2, 7] -= 5
    model = LabelGates(n_features=1, scale="standard").fit(X, codes)
    assert model.global_gates_[1:].argmax(1).tolist() == [3, 7]
    assert (model.recall_ >= 0.9).all()


def test_few_rows_of_each_are_trained_on_where_there_are_many():
    codes = np.random.default_rng(0).choice(4, 100_000, p=[0.9, 0.09, 0.009, 0.001])
    train, held = choose_rows(codes, 1000)
    sizes = np.bincount(codes[train])
    assert sizes.sum() <= 1000
    assert sizes[0] == sizes[1] > 250
    assert len(np.intersect1d(train, held)) == 0
    assert np.bincount(codes[held])[0] / len(held) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("codes", "settings", "message"),
    [
        (np.zeros(600, int), {}, "there must be two with rows at least, got 1"),
        (np.full(600, -1), {}, "got 0"),
        (np.zeros(5, int), {}, "codes must be 600, one for each row"),
        (np.zeros(600), {}, "codes must be whole numbers"),
        (np.arange(600) % 3, {"n_clusters": 2}, "codes must be below 2, got 2"),
        (np.arange(600) % 3, {"n_features": 0}, "n_features must be in"),
        (np.arange(600) % 3, {"n_features": "many"}, "n_features must be"),
        (np.arange(600) % 3, {"scale": "cube"}, "scale must be one of"),
        (np.arange(600) % 3, {"device": "abacus"}, "device must be"),
    ],
)
def test_what_cannot_be_is_refused(counts, codes, settings, message):
    with pytest.raises(ParameterError, match=message):
        LabelGates(**settings).fit(counts[0], codes)


def test_a_model_must_be_fitted_and_the_columns_the_same(fitted):
    with pytest.raises(ParameterError, match="fit the model first"):
        LabelGates().predict(np.eye(3))
    with pytest.raises(ParameterError, match="X must have 400 columns as in fit, got 3"):
        fitted.predict(np.eye(3))


def test_missing_values_are_filled_in(short):
    rng = np.random.default_rng(0)
    codes, X = np.repeat([0, 1], 50), rng.random((100, 10))
    X[:50, 3] += 2
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 9] = np.nan
    model = LabelGates(n_features=1).fit(X, codes)
    assert model.global_gates_.argmax(axis=1).tolist() == [3, 3]
    assert model.accuracy_ > 0.8
    assert (model.predict(X) == codes).mean() > 0.9
    with pytest.raises(ParameterError, match="in fit it had none"):
        LabelGates(n_features=1).fit(np.nan_to_num(X), codes).predict(X)
