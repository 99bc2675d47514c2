import numpy as np
import pytest
from scipy import sparse
from scipy.stats import rankdata

from kithkin.kernels.set_sums import sum_ordered_ranks, sum_shared_ranks, sum_weighted

P, LAST = 150, 20


def make(dtype, scale):
    rng = np.random.default_rng(0)
    dense = (rng.poisson(rng.gamma(0.4, 3, P), (40, P)) * scale).astype(dtype)
    dense[3], dense[7, :140] = 0, 0  # a row without values, and one with few
    X = sparse.csr_matrix(dense)
    member = rng.random((P, 6)) < 0.2
    _, number = np.nonzero(member)
    starts = np.concatenate([[0], np.cumsum(member.sum(axis=1))]).astype(np.int64)
    return (
        dense,
        (X.data, X.indices.astype(np.uint16), X.indptr.astype(np.int64)),
        member,
        starts,
        number.astype(np.int32),
    )


# small counts are tallied; fractions, and counts that are large for the number of values, are sorted
CASES = [(np.uint8, 1, True), (np.uint32, 5000, True), (np.float32, 0.37, False), (np.float64, 1, False)]


@pytest.mark.parametrize(("dtype", "scale", "whole"), CASES)
def test_shared_ranks_equal_scipy(dtype, scale, whole):
    dense, stored, member, starts, sets = make(dtype, scale)
    gains = np.zeros((40, 6))
    sum_shared_ranks(*stored, whole, starts, sets, LAST, gains)
    ranks = np.minimum(rankdata(-dense.astype(float), axis=1), LAST)
    ranks[dense == 0] = LAST
    assert np.array_equal(gains, (LAST - ranks) @ member)


@pytest.mark.parametrize(("dtype", "scale", "whole"), CASES)
def test_ordered_ranks_equal_scipy(dtype, scale, whole):
    dense, stored, member, _, _ = make(dtype, scale)
    order = np.random.default_rng(1).permutation(P)[:130]  # 20 columns have no rank
    place = np.full(P, -1, np.int64)
    place[order] = np.arange(130)
    at, number = np.nonzero(member[order])
    starts = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=130))])
    gains = np.zeros((40, 6))
    sum_ordered_ranks(*stored, whole, place, starts, number.astype(np.int32), LAST, gains)
    ranks = np.minimum(rankdata(-dense[:, order].astype(float), method="ordinal", axis=1), LAST)
    assert np.array_equal(gains, (LAST - ranks) @ member[order])


def test_a_row_without_values_gives_zeros_the_first_places():
    indptr, place = np.array([0, 0]), np.array([2, 0, 1])
    gains = np.zeros((1, 3))
    starts, sets = np.arange(4), np.arange(3, dtype=np.int32)  # each place is a set of its own
    sum_ordered_ranks(np.zeros(0), np.zeros(0, np.int32), indptr, False, place, starts, sets, 3, gains)
    assert gains.tolist() == [[2, 1, 0]]


def test_weighted_sums_equal_a_product():
    dense, stored, member, starts, sets = make(np.float32, 0.37)
    weights = np.random.default_rng(2).normal(size=len(sets))
    table = np.zeros((P, 6))
    table[np.nonzero(member)] = weights
    sums = np.zeros((40, 6))
    sum_weighted(*stored, starts, sets, weights, sums)
    assert np.allclose(sums, dense @ table, rtol=1e-6)
