import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness as reference
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from kithkin.metrics.embedding import class_accuracy, recall, trustworthiness


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = X + np.random.default_rng(0).normal(0, 1e-3, X.shape)  # no ties, whose order is nobody's business
    return X, X[:, [20, 36]] + 0.5 * X[:, [43, 26]], y


@pytest.mark.parametrize("k", [1, 5, 30])
def test_trustworthiness_is_sklearns(digits, k):
    X, Y, _ = digits
    assert trustworthiness(X, Y, k) == pytest.approx(reference(X, Y, n_neighbors=k), abs=1e-12)


def test_trustworthiness_of_a_sample_is_close_and_reproducible(digits):
    X, Y, _ = digits
    sampled = trustworthiness(X, Y, 10, sample=600, seed=3)
    assert sampled == trustworthiness(X, Y, 10, sample=600, seed=3)
    assert sampled == pytest.approx(trustworthiness(X, Y, 10), abs=0.02)


def test_trustworthiness_survives_an_offset_and_equal_points(digits):
    X, Y, _ = digits
    assert trustworthiness(X + 1e5, Y, 5) == pytest.approx(trustworthiness(X, Y, 5), abs=1e-3)
    assert trustworthiness(np.zeros((10, 2)), np.zeros((10, 1)), 2) == 1.0


@pytest.mark.parametrize(("k", "votes"), [(1, 1), (3, 3)])
def test_class_accuracy_is_that_of_a_nearest_neighbour_classifier(digits, k, votes):
    _, Y, y = digits
    near = NearestNeighbors(n_neighbors=k + 1).fit(Y).kneighbors(Y, return_distance=False)[:, 1:]
    classes = KNeighborsClassifier(votes).fit(Y, y).classes_
    expected = np.mean(
        [classes[np.bincount(y[row], minlength=10).argmax()] == own for row, own in zip(near, y, strict=True)]
    )
    assert class_accuracy(Y, y, k) == pytest.approx(expected)
    assert class_accuracy(Y, y.astype(str), k) == pytest.approx(expected)


def test_recall_ignores_order_and_counts_what_is_missing():
    exact = np.array([[1, 2, 3], [4, 5, 6]])
    assert recall(exact[:, ::-1], exact) == 1.0
    assert recall(np.array([[3, -1, -1, 1], [7, 8, 9, 0]]), exact) == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recall(np.zeros((2, 1)), np.zeros((3, 1))), "same rows"),
        (lambda: trustworthiness(np.zeros((10, 2)), np.zeros((10, 2)), 5), "n_neighbors must be in 1..4"),
        (lambda: trustworthiness(np.zeros((10, 2)), np.zeros((9, 2)), 2), "same rows"),
        (lambda: trustworthiness(np.zeros((10, 2)), np.zeros((10, 2)), 2, sample=11), "sample must be in 1..10"),
        (lambda: class_accuracy(np.zeros((3, 2)), [0, 1]), "one value per row"),
        (lambda: class_accuracy(np.zeros((3, 2)), [0, 1, 1], 3), "n_neighbors must be in 1..2"),
    ],
)
def test_bad_values_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
