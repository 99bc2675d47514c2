import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.counts import candidate_distances, column_moments, profile_distances, quality_sums, select_values


def make(dtype, index_type):
    rng = np.random.default_rng(0)
    X = sparse.random(30, 12, 0.3, format="csr", random_state=rng, data_rvs=lambda n: rng.integers(1, 200, n))
    return X.toarray(), X.data.astype(dtype), X.indices.astype(index_type), X.indptr.astype(np.int64)


@pytest.mark.parametrize(("dtype", "index_type"), [(np.uint8, np.uint16), (np.float32, np.int32)])
def test_quality_sums_equal_numpy(dtype, index_type):
    dense, data, indices, indptr = make(dtype, index_type)
    code = np.array([1, 3, 2] + [0] * 9, np.int64)
    rows, counts, sets = np.zeros(30), np.zeros(30, np.int64), np.zeros((30, 2))
    columns, present = np.zeros(12), np.zeros(12, np.int64)
    quality_sums(data, indices, indptr, code, rows, counts, sets, columns, present)
    assert np.array_equal(rows, dense.sum(axis=1))
    assert np.array_equal(counts, (dense > 0).sum(axis=1))
    assert np.array_equal(sets, np.stack([dense[:, :2].sum(axis=1), dense[:, 1:3].sum(axis=1)], axis=1))
    assert np.array_equal(columns, dense.sum(axis=0))
    assert np.array_equal(present, (dense > 0).sum(axis=0))


def test_stored_zeros_are_not_counted():
    data, indices, indptr = np.array([0, 4], np.uint8), np.array([0, 1], np.uint16), np.array([0, 2])
    counts, present = np.zeros(1, np.int64), np.zeros(2, np.int64)
    args = np.zeros(2, np.int64), np.zeros(1), counts, np.zeros((1, 0)), np.zeros(2), present
    quality_sums(data, indices, indptr, *args)
    assert counts[0] == 1
    assert present.tolist() == [0, 1]


def test_column_moments_equal_numpy_per_group():
    dense, data, indices, indptr = make(np.uint8, np.uint16)
    scale, group = np.linspace(0.5, 2, 30), (np.arange(30) % 2).astype(np.int32)
    limit = np.full((2, 12), 100.0)
    sums, squares, above = np.zeros((2, 12)), np.zeros((2, 12)), np.zeros((2, 12), np.int64)
    column_moments(data, indices, indptr, scale, group, limit, sums, squares, above)
    values = dense * scale[:, None]
    for g in range(2):
        part = values[group == g]
        kept = np.where(part <= 100, part, 0)
        assert np.allclose(sums[g], kept.sum(axis=0))
        assert np.allclose(squares[g], (kept**2).sum(axis=0))
        assert np.array_equal(above[g], (part > 100).sum(axis=0))


@pytest.mark.parametrize("logarithm", [True, False])
def test_select_values_keeps_chosen_columns(logarithm):
    dense, data, indices, indptr = make(np.uint8, np.uint16)
    position = np.full(12, -1, np.int32)
    position[[2, 5, 11]] = [0, 1, 2]
    scale = np.linspace(0.5, 2, 30)
    values, places, starts = np.empty(len(data)), np.empty(len(data), np.int32), np.empty(31, np.int64)
    used = select_values(data, indices, indptr, position, logarithm, scale, values, places, starts)
    result = sparse.csr_matrix((values[:used], places[:used], starts), shape=(30, 3)).toarray()
    chosen = dense[:, [2, 5, 11]]
    assert np.allclose(result, np.log1p(chosen * scale[:, None]) if logarithm else chosen, rtol=1e-15)


def test_distances_from_a_profile_count_zeros_too():
    rng = np.random.default_rng(4)
    X = sparse.random(30, 12, 0.3, "csr", random_state=4)
    codes = rng.integers(-1, 3, 30).astype(np.int32)
    mean, weight = rng.random((2, 3, 12)).astype(np.float32)
    base = (weight * mean**2).sum(axis=1, dtype=np.float64)
    out = np.full(30, -1.0)
    profile_distances(X.data, X.indices, X.indptr.astype(np.int64), codes, mean, weight, base, out)
    expected = ((X.toarray() - mean[codes]) ** 2 * weight[codes]).sum(axis=1)
    np.testing.assert_allclose(out, np.where(codes < 0, -1, expected), rtol=1e-5)


def test_distances_from_candidates_share_the_weights_of_their_row():
    rng = np.random.default_rng(5)
    X = sparse.random(30, 12, 0.3, "csr", random_state=5)
    kinds = rng.integers(0, 2, 30).astype(np.int32)
    weight, profiles = rng.random((2, 12)).astype(np.float32), rng.random((4, 12)).astype(np.float32)
    candidates = np.stack([2 * kinds, 2 * kinds + 1, np.where(np.arange(30) % 4, 2 * kinds, -1)], axis=1).astype(
        np.int32
    )
    candidates[:3] = -1
    of_profile = weight[[0, 0, 1, 1]]
    scaled, base = of_profile * profiles, (of_profile * profiles**2).sum(axis=1, dtype=np.float64)
    out = np.full((30, 3), -1.0)
    indptr = X.indptr.astype(np.int64)
    candidate_distances(X.data, X.indices, indptr, candidates, scaled, base, weight, kinds, out)
    apart = ((X.toarray()[:, None] - profiles[candidates]) ** 2 * weight[kinds][:, None]).sum(axis=2)
    np.testing.assert_allclose(out, np.where(candidates < 0, -1, apart), rtol=1e-5, atol=1e-6)
