from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans as Reference
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.kmeans import KMeans


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def test_inertia_on_digits_is_sklearns(digits):
    best = Reference(10, n_init=4, random_state=0).fit(digits[0]).inertia_
    assert max(KMeans(10, seed=seed).fit(digits[0]).inertia_ for seed in range(3)) < 1.01 * best


def test_a_fixed_point_agrees_with_sklearn_from_the_same_centers(digits):
    X = digits[0]
    model = KMeans(10, tolerance=0.0, max_iter=200).fit(X)
    same = Reference(10, init=model.cluster_centers_, n_init=1, tol=0).fit(X)
    np.testing.assert_array_equal(same.labels_, model.labels_)
    np.testing.assert_allclose(same.cluster_centers_, model.cluster_centers_, atol=1e-8)
    assert same.inertia_ == pytest.approx(model.inertia_, rel=1e-9)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_block_size_threads_and_processes_do_not_matter(digits, make):
    X = make(digits[0].astype(np.uint8))
    expected = KMeans(7).fit(X)
    with ProcessPoolExecutor(1) as pool:
        for rows, execution in [
            (100, Execution(threads=1)),
            (333, Execution(threads=3)),
            (900, Execution(executor=pool)),
        ]:
            found = KMeans(7).fit(InMemory(X, rows=rows), execution)
            np.testing.assert_array_equal(found.labels_, expected.labels_)
            np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-12, atol=1e-12)
            assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-12)


def test_threads_do_not_change_a_bit(digits):
    blocks = InMemory(digits[0], rows=50)
    one, four = (KMeans(9, seed=4).fit(blocks, Execution(threads=threads)) for threads in (1, 4))
    assert one.cluster_centers_.tobytes() == four.cluster_centers_.tobytes()
    assert one.inertia_ == four.inertia_


def test_sparse_and_dense_agree_and_predict_gives_the_labels(digits):
    X = digits[0]
    dense, thin = KMeans(10).fit(X), KMeans(10).fit(sparse.csc_matrix(X))
    assert adjusted_rand_score(dense.labels_, thin.labels_) > 0.99  # a row half way between two centers goes to either
    assert thin.inertia_ == pytest.approx(dense.inertia_, rel=1e-4)
    np.testing.assert_array_equal(dense.predict(X), dense.labels_)
    np.testing.assert_array_equal(thin.predict(X), thin.labels_)  # dense rows for a sparse model too
    assert len(dense.predict(X[:0])) == 0


def test_the_sample_is_a_start_only():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 3000)
    X = rng.normal(size=(3000, 4)) + 12 * np.eye(5, 4)[truth] + 1000
    assert adjusted_rand_score(truth, KMeans(5, n_sample=50).fit(X).labels_) == 1.0
    assert adjusted_rand_score(truth, KMeans(5, start="random", n_starts=10).fit(X).labels_) == 1.0


def test_small_and_odd_tables():
    assert KMeans(3).fit(np.ones((10, 2))).inertia_ == 0.0
    assert KMeans(1).fit([[1.0], [3.0]]).cluster_centers_.tolist() == [[2.0]]
    assert sorted(KMeans(4).fit(np.array([[0], [1], [5], [9]])).labels_) == [0, 1, 2, 3]
    assert KMeans(2, max_iter=0).fit(np.array([[False], [True]])).n_iter_ == 0


@pytest.mark.parametrize(
    ("model", "X", "message"),
    [
        (KMeans(0), np.eye(3), "n_clusters must be in 1..3, got 0"),
        (KMeans(4), np.eye(3), "n_clusters must be in 1..3, got 4"),
        (KMeans(2, start="best"), np.eye(3), "start must be one of"),
        (KMeans(2, n_sample=1), np.eye(3), "n_sample must be in 2..3"),
        (KMeans(2), np.array([[0.0], [np.nan], [1.0]]), "X must be finite"),
        (KMeans(1), np.zeros((0, 3)), "rows and columns"),
    ],
)
def test_bad_values_are_refused(model, X, message):
    with pytest.raises(ParameterError, match=message):
        model.fit(X)


def test_predict_refuses_another_width():
    with pytest.raises(ParameterError, match="X must have 3 columns, got 2"):
        KMeans(2).fit(np.eye(3)).predict(np.eye(2))


def test_inertia_of_ten_starts_is_within_half_a_percent_of_sklearns(digits):
    for k in (6, 15):
        theirs = np.mean([Reference(k, n_init=10, random_state=seed).fit(digits[0]).inertia_ for seed in range(2)])
        ours = np.mean([KMeans(k, n_starts=10, seed=seed).fit(digits[0]).inertia_ for seed in range(3)])
        assert ours < 1.005 * theirs
