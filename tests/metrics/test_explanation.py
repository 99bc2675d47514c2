import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits
from sklearn.metrics import jaccard_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import LinearSVC

from kithkin.metrics import open_gates as pieces
from kithkin.metrics import slopes as tiles
from kithkin.metrics.explanation import (
    OPEN,
    cluster_features,
    diversity,
    faithfulness,
    generalizability,
    open_gates,
    removal_curve,
    selected_features,
    stability,
    uniqueness,
)
from kithkin.metrics.linear_svm import linear_svm

LAYOUTS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    means = np.array([X[y == k].mean(axis=0) for k in range(y.max() + 1)])
    gates = np.clip(np.abs(means - X.mean(axis=0))[y] / 6 + np.random.default_rng(0).normal(0, 0.1, X.shape), 0, 1)
    return X, gates * (gates > 0.2), y


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_counted_in_three_ways(digits, layout):
    X, gates, _ = digits
    found = selected_features(layout(gates), layout(X), threshold=0.4)
    used = (gates > 0.4) & (X != 0)
    assert found.soft == pytest.approx(gates.sum(axis=1).mean())
    assert found.open == pytest.approx((gates > 0.4).sum(axis=1).mean())
    assert found.used == pytest.approx(used.sum(axis=1).mean())
    assert found.unexplained == (~used.any(axis=1)).sum()
    assert found.union == used.any(axis=0).sum()
    assert found.used < found.open


def test_gates_that_were_never_trained_select_nothing():
    untrained = 0.5 + np.random.default_rng(0).normal(0, 0.003, (20, 100))
    found = selected_features(untrained)
    assert (found.open, found.used, found.union) == (100, 100, 100)
    assert found.soft == pytest.approx(50, abs=0.1)
    assert selected_features(untrained, threshold=0.52).unexplained == 20


def test_pieces_do_not_matter(digits, monkeypatch):
    X, gates, y = digits
    whole = open_gates(gates), generalizability(X, gates, y), removal_curve(X, gates, y, nearest_mean(X, y), n_steps=5)
    monkeypatch.setattr(pieces, "TILE", 8 * 64 * 7)
    again = open_gates(gates), generalizability(X, gates, y), removal_curve(X, gates, y, nearest_mean(X, y), n_steps=5)
    assert (whole[0] != again[0]).nnz == 0
    assert whole[1] == again[1]
    np.testing.assert_array_equal(whole[2], again[2])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_of_a_cluster_are_open_in_more_than_half_of_it(digits, layout):
    _, gates, y = digits
    labels = np.where(np.arange(len(y)) % 11 == 0, -1, y)
    expected = [np.mean(gates[labels == k] > OPEN, axis=0) > 0.5 for k in range(10)]
    np.testing.assert_array_equal(cluster_features(layout(gates), labels), expected)
    assert cluster_features(np.ones((2, 3)), [2, 2]).tolist() == [[False] * 3, [False] * 3, [True] * 3]


def test_features_of_a_cluster_can_be_a_number_of_them(digits):
    _, gates, y = digits
    rows = np.array([(gates[y == k] > OPEN).sum(axis=0) for k in range(10)])
    found = cluster_features(sparse.csr_matrix(gates), y, 5)
    assert (found.sum(axis=1) == np.minimum(5, (rows > 0).sum(axis=1))).all()
    for k in range(10):
        assert rows[k][found[k]].min() >= rows[k][~found[k]].max()
    assert cluster_features(np.eye(2), [0, 1], 2).tolist() == [[True, False], [False, True]]
    for wrong in (0, 2.0, "2"):
        with pytest.raises(ValueError, match="n_features must be a whole number of at least 1"):
            cluster_features(np.eye(2), [0, 1], wrong)


def test_diversity_compares_different_clusters_only(digits):
    _, gates, y = digits
    sets = cluster_features(gates, y)
    pairs = [jaccard_score(sets[a], sets[b]) for a in range(10) for b in range(10) if a != b]
    assert diversity(sets) == pytest.approx(100 * (1 - np.mean(pairs)))
    for k in (2, 3, 10):
        assert diversity(np.eye(k, 20) > 0) == 100
        assert diversity(np.ones((k, 20))) == pytest.approx(0)
    # of three clusters two have no feature: two pairs say something
    assert diversity([[True, False], [False, False], [False, False]]) == 100
    assert np.isnan(diversity(np.zeros((3, 4))))


def nearest_mean(X, y):
    means = np.array([X[y == k].mean(axis=0) for k in range(y.max() + 1)])

    def predict(rows):
        return (-2 * rows @ means.T + (means**2).sum(axis=1)).argmin(axis=1)

    return predict


def test_accuracy_falls_as_features_are_removed(digits):
    X, gates, y = digits
    predict = nearest_mean(X, y)
    weight, left = removal_curve(X, gates, y, predict)
    rows = ((gates > OPEN) & (X != 0)).sum(axis=0)
    order = np.argsort(-rows, kind="stable")[: (rows > 0).sum()]
    assert weight.tolist() == rows[order].tolist()
    masked = X.copy()
    masked[:, order[:20]] = 0
    clusters = np.zeros((10, 10), int)
    np.add.at(clusters, (predict(masked), y), 1)
    assert left[19] == pytest.approx(clusters[linear_sum_assignment(-clusters)].sum() / len(y))
    assert faithfulness(X, gates, y, predict) == pytest.approx(np.corrcoef(weight, left)[0, 1])
    portions, after = removal_curve(X, gates, y, predict, n_steps=4)
    assert len(portions) == 4
    assert after[-1] == left[-1]


def test_faithfulness_of_gates_that_decide_and_of_gates_that_do_not():
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(900, 30))) + 0.1
    y = np.arange(900) % 3
    for k in range(3):
        X[y == k, 3 * k : 3 * k + 3] += 4
    predict = nearest_mean(X, y)
    decide = rng.random(X.shape) < np.where(np.arange(30) < 9, 0.9, 0.05)
    idle = rng.random(X.shape) < np.where(np.arange(30) < 9, 0.05, np.linspace(0.9, 0.1, 30))
    assert faithfulness(X, decide, y, predict) > 0.6
    assert faithfulness(X, idle, y, predict) < faithfulness(X, decide, y, predict) - 0.2
    assert faithfulness(X, np.zeros(X.shape), y, predict) == 0
    assert faithfulness(X, decide, y, lambda rows: np.zeros(len(rows), int)) == 0


def test_sparse_rows_give_the_same_curve(digits):
    X, gates, y = digits
    dense = removal_curve(X, gates, y, nearest_mean(X, y), n_steps=6)
    again = removal_curve(sparse.csr_matrix(X), sparse.csr_matrix(gates), y, nearest_mean(X, y), n_steps=6)
    np.testing.assert_array_equal(dense, again)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_slopes_equal_those_of_exact_neighbours(digits, layout, k):
    X, gates, _ = digits
    X = X + np.random.default_rng(1).normal(0, 1e-3, X.shape)
    distances, near = NearestNeighbors(n_neighbors=k + 1).fit(X).kneighbors(X)
    ratios = np.linalg.norm(gates[near[:, 1:]] - gates[:, None], axis=2) / distances[:, 1:]
    found = [f(layout(X), layout(gates), k, sample=None) for f in (stability, uniqueness)]
    assert found == pytest.approx([ratios.max(axis=1).mean(), ratios.min(axis=1).mean()], rel=1e-9)
    assert (found[0] == found[1]) == (k == 1)


def test_copies_and_offsets_change_nothing(digits, monkeypatch):
    X, gates, _ = digits
    X = X + np.random.default_rng(1).normal(0, 1e-3, X.shape)
    first = stability(X, gates, 3, sample=None)
    assert stability(X + 1e4, gates, 3, sample=None) == pytest.approx(first, rel=1e-6)
    assert stability(np.repeat(X, 2, axis=0), np.repeat(gates, 2, axis=0), 1, sample=None) == pytest.approx(
        stability(X, gates, 1, sample=None)
    )
    monkeypatch.setattr(tiles, "TILE", 2**14)
    assert stability(X, gates, 3, sample=None) == pytest.approx(first, rel=1e-12)


def test_a_sample_is_close_and_follows_the_seed(digits):
    X, gates, _ = digits
    one = uniqueness(X, gates, 2, sample=500, seed=1)
    assert one == uniqueness(X, gates, 2, sample=500, seed=1)
    assert one != uniqueness(X, gates, 2, sample=500, seed=2)
    assert one == pytest.approx(uniqueness(X, gates, 2, sample=None), rel=0.1)
    assert uniqueness(X, gates, 2, sample=10**6) == uniqueness(X, gates, 2, sample=None)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_generalizability_is_that_of_a_linear_machine(digits, layout):
    X, gates, y = digits
    held = np.random.default_rng(3).random(len(y)) < 0.3
    machine = LinearSVC(max_iter=20000, tol=1e-6, random_state=0).fit((X / 16 * gates)[~held], y[~held])
    expected = machine.score((X / 16 * gates)[held], y[held])
    assert generalizability(layout(X / 16), layout(gates), y, test=held) == pytest.approx(expected, abs=0.004)


def test_weights_of_the_linear_machine_are_liblinears(digits):
    X, _, y = digits
    machine = LinearSVC(max_iter=50000, tol=1e-8, random_state=0).fit(X / 16, y)
    weights, bias = linear_svm(sparse.csr_matrix(X / 16), y)
    np.testing.assert_allclose(weights, machine.coef_, atol=0.02)
    np.testing.assert_allclose(bias, machine.intercept_, atol=0.02)


def test_gates_that_hide_the_classes_do_not_generalize(digits):
    X, gates, y = digits
    random = np.random.default_rng(0).random(X.shape) < 0.05
    assert generalizability(X / 16, random, y) < generalizability(X / 16, gates, y) - 0.3
    assert generalizability(X / 16, gates, y, seed=1) == generalizability(X / 16, gates, y, seed=1)
    labels = np.where(y == 3, -1, y)
    assert generalizability(X / 16, gates, labels) > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: selected_features(np.zeros((2, 3)), np.zeros((2, 4))), r"same shape, got \(2, 4\) and \(2, 3\)"),
        (lambda: selected_features(np.zeros((0, 3))), "at least one row"),
        (lambda: open_gates(np.zeros(3)), "table of rows x features"),
        (lambda: open_gates(np.zeros((2, 3)), -1), "threshold must be at least 0, got -1"),
        (lambda: cluster_features(np.zeros((2, 3)), [0]), "labels must hold 2 integer codes"),
        (lambda: cluster_features(np.zeros((2, 3)), [0.0, 1.0]), "labels must hold 2 integer codes"),
        (lambda: diversity([[True, False]]), "two clusters or more"),
        (lambda: removal_curve(np.ones((2, 1)), np.ones((2, 1)), [0, 1], len, n_steps=0), "n_steps must be at least 1"),
        (lambda: stability(np.zeros((3, 2)), np.zeros((3, 2))), "rows that differ"),
        (lambda: stability(np.zeros((3, 2)), np.zeros((2, 2))), "same rows"),
        (lambda: uniqueness(np.eye(3), np.eye(3), 0), "at least 1, got 0"),
        (lambda: generalizability(np.eye(3), np.eye(3), [0, 1, 2], test=0.0), "both sides, got 3 and 0"),
        (lambda: generalizability(np.eye(3), np.eye(3), [0, 1, 2], test=[True]), "test must hold 3 booleans"),
    ],
)
def test_wrong_input_is_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
