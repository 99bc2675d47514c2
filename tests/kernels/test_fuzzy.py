import numpy as np
from scipy import sparse

from kithkin.kernels.fuzzy import count_sources, membership, transpose, union


def test_weights_of_a_row_sum_to_log2_of_its_size():
    distances = np.sort(np.random.default_rng(0).gamma(5, size=(50, 14)), axis=1).astype(np.float32)
    weights = np.zeros_like(distances)
    membership(distances, 0, 50, float(distances.mean()), weights)
    np.testing.assert_allclose(weights.sum(1), np.log2(15), atol=1e-3)
    assert (weights[:, 0] == 1).all()
    assert (np.diff(weights, axis=1) <= 0).all()


def test_equal_points_weigh_one_and_only_the_rows_asked_for_are_written():
    distances = np.zeros((3, 4), np.float32)
    weights = np.full_like(distances, 7)
    membership(distances, 1, 2, 0.0, weights)
    assert weights.tolist() == [[7.0] * 4, [1.0] * 4, [7.0] * 4]


def test_union_is_a_plus_b_minus_ab_without_zeros():
    rng = np.random.default_rng(1)
    n, k = 40, 6
    ids = np.sort(np.array([rng.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)]), axis=1)
    ids = ids.astype(np.int32)
    weights = np.where(rng.random((n, k)) < 0.2, 0, rng.random((n, k))).astype(np.float32)
    pointers, indptr = np.zeros((2, n + 1), np.int64)
    count_sources(ids, pointers)
    indices, data = np.empty(2 * n * k, np.int32), np.empty(2 * n * k, np.float32)
    for start, stop in [(0, 16), (16, 17), (17, 40)]:  # in parts, whatever their size
        size = pointers[stop] - pointers[start]
        rows, values = np.empty(size, np.int32), np.empty(size, np.float32)
        transpose(ids, weights, start, stop, pointers, rows, values)
        union(ids, weights, start, stop, pointers, rows, values, indptr, indices, data)
    indices, data = indices[: indptr[-1]], data[: indptr[-1]]
    a = sparse.csr_matrix((weights.ravel(), ids.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n)).toarray()
    found = sparse.csr_matrix((data, indices, indptr), shape=(n, n))
    np.testing.assert_allclose(found.toarray(), a + a.T - a * a.T, atol=1e-6)
    assert found.has_canonical_format
    assert (data > 0).all()
