import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.distance import add_dense, add_sparse, keep_smallest, sparse_scores


@pytest.mark.parametrize("kept", [1, 7, 40])
@pytest.mark.parametrize("width", [1, 31, 32, 100])
def test_keep_smallest_over_tiles_is_a_sort(kept, width):
    rng = np.random.default_rng(width)
    scores = rng.normal(size=(20, 100)).astype(np.float32)
    best, ids = np.full((20, kept), 1e30, np.float32), np.full((20, kept), -1, np.int32)
    numbers = np.arange(100, dtype=np.int32)
    for start in range(0, 100, width):
        keep_smallest(scores[:, start : start + width], numbers[start : start + width], best, ids)
    order = np.argsort(scores, axis=1)[:, :kept]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, order, 1))


def test_keep_smallest_keeps_the_first_of_equal_scores():
    best, ids = np.full((1, 2), 1e30, np.float32), np.full((1, 2), -1, np.int32)
    keep_smallest(np.zeros((1, 64), np.float32), np.arange(64, dtype=np.int32), best, ids)
    assert ids.tolist() == [[0, 1]]


def test_sparse_scores_are_a_product():
    rng = np.random.default_rng(0)
    X = sparse.random(30, 20, 0.3, "csr", random_state=0, dtype=np.float64)
    columns, base = rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    scores = np.empty((30, 4), np.float32)
    sparse_scores(X.data, X.indices, X.indptr, columns, base, scores)
    np.testing.assert_allclose(scores, base + X @ columns, atol=1e-5)


def test_sums_of_dense_and_sparse_rows_agree_with_numpy():
    rng = np.random.default_rng(1)
    X = sparse.random(50, 12, 0.4, "csr", random_state=1)
    labels, centers = rng.integers(0, 3, 50).astype(np.int32), rng.normal(size=(4, 12))
    dense = np.zeros((4, 12)), np.zeros(4, np.int64), np.zeros(50)
    thin = np.zeros((4, 12)), np.zeros(4, np.int64), np.zeros(50)
    add_dense(X.toarray(), labels, centers, *dense)
    add_sparse(X.data, X.indices, X.indptr, labels, centers, *thin)
    for found in (dense, thin):
        np.testing.assert_allclose(found[0], np.eye(4)[labels].T @ X.toarray())
        np.testing.assert_array_equal(found[1], np.bincount(labels, minlength=4))
        np.testing.assert_allclose(found[2], ((X.toarray() - centers[labels]) ** 2).sum(1))
