from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.kernels.ranks import MEMBER_BITS, count_columns, gather, rank_pairs, rank_rest, to_columns

N_GROUPS = 4


def columns_of(X, groups, cuts, first, last, scale=None):
    """Parts as the kernels lay them out: values, members, starts."""
    values, members, starts, used = [], [], [], 0
    for start, stop in zip([0, *cuts], [*cuts, len(X)], strict=True):
        rows, here = sparse.csr_matrix(X[start:stop]), groups[start:stop]
        begin = np.empty(last - first + 1, np.int64)
        count_columns(rows.indices, rows.indptr, here, first, last, begin)
        part, member = np.empty(begin[-1], np.float32), np.empty(begin[-1], np.uint8)
        divisor = np.empty(0, np.float32) if scale is None else scale[start:stop]
        to_columns(rows.data, rows.indices, rows.indptr, here, divisor, first, last, begin[:-1].copy(), part, member)
        values.append(part)
        members.append(member)
        starts.append(begin + used)
        used += begin[-1]
    return np.concatenate(values), np.concatenate(members), np.array(starts)


def table(seed, n=60, p=7):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 4, (n, p)) * rng.choice([1.0, 0.5], (n, p)) * (rng.random((n, p)) < 0.6)
    return X.astype(np.float32), rng.integers(0, N_GROUPS, n).astype(np.int16)


def keys_of(X, groups, first, last, cuts=(13, 14, 40)):
    values, members, starts = columns_of(X, groups, cuts, first, last)
    n, shape = len(values), (last - first, N_GROUPS)
    codes, group_of, ends = np.empty(n, np.uint32), np.empty(n, np.uint16), np.empty(last - first + 1, np.int64)
    moments = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    gather(values, values.view(np.uint32), members, starts, 0, last - first, codes, group_of, ends, *moments)
    keys = (codes.astype(np.uint64) << np.uint64(MEMBER_BITS)) | group_of
    for start, stop in pairwise(ends):
        keys[start:stop].sort()
    zero = np.full(last - first, 2**31, np.uint64)
    zeros = np.bincount(groups, minlength=N_GROUPS) - moments[0]
    return keys, ends, zero, zeros, moments


def test_columns_keep_values_groups_and_the_order_of_rows():
    X, groups = table(0)
    X = np.abs(X)
    X[::7] *= 20
    groups[5:9] = -1
    scale = np.random.default_rng(1).uniform(1, 3, len(X)).astype(np.float32)
    values, members, starts = columns_of(X, groups, [], 2, 6, scale)
    for column in range(2, 6):
        rows = np.flatnonzero((X[:, column] != 0) & (groups >= 0))
        here = slice(starts[0, column - 2], starts[0, column - 1])
        np.testing.assert_array_equal(
            values[here], np.log1p((X[rows, column] / scale[rows]).astype(np.float64)).astype(np.float32)
        )
        np.testing.assert_array_equal(members[here], groups[rows])


def test_gathered_codes_sort_like_the_values():
    X, groups = table(2)
    *_, (stored, sums, squares, cubes) = keys_of(X, groups, 1, 5)
    for group in range(N_GROUPS):
        mine = X[groups == group, 1:5].astype(float)
        np.testing.assert_array_equal(stored[:, group], (mine != 0).sum(0))
        np.testing.assert_allclose(sums[:, group], mine.sum(0))
        np.testing.assert_allclose(squares[:, group], (mine**2).sum(0))
        np.testing.assert_allclose(cubes[:, group], (mine**3).sum(0))
    values = np.random.default_rng(3).normal(0, 1, 500).astype(np.float32)
    codes, ends = np.empty(500, np.uint32), np.empty(2, np.int64)
    gather(
        *(values, values.view(np.uint32), np.zeros(500, np.uint8), np.array([[0, 500]]), 0, 1, codes),
        *(np.empty(500, np.uint16), ends, np.zeros((1, 1), np.int64), *np.zeros((3, 1, 1))),
    )
    np.testing.assert_array_equal(np.argsort(codes), np.argsort(values))


@pytest.mark.parametrize("seed", range(5))
def test_ranks_among_all_are_those_of_scipy(seed):
    X, groups = table(seed)
    keys, ends, zero, zeros, _ = keys_of(X, groups, 0, 7)
    twice, ties, thirds = np.empty((7, N_GROUPS), np.int64), np.empty(7), np.empty(7)
    rank_rest(keys, ends, zero, zeros, twice, ties, thirds)
    for gene in range(7):
        ranks = stats.rankdata(X[:, gene])
        np.testing.assert_array_equal(twice[gene], 2 * np.bincount(groups, ranks, N_GROUPS))
        t = np.unique(X[:, gene], return_counts=True)[1].astype(float)
        assert ties[gene] == (t**3 - t).sum()
        assert thirds[gene] == pytest.approx(((ranks - ranks.mean()) ** 3).sum(), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_those_of_scipy(seed):
    X, groups = table(seed)
    references = np.array([3, 1])
    keys, ends, zero, zeros, _ = keys_of(X, groups, 0, 7)
    wins, own, joint = np.empty((7, N_GROUPS, 2), np.int64), np.empty((7, N_GROUPS)), np.empty((7, N_GROUPS, 2))
    rank_pairs(keys, ends, zero, zeros, references, wins, own, joint)
    for gene in range(7):
        for r, reference in enumerate(references):
            for group in set(range(N_GROUPS)) - {reference}:
                a, b = X[groups == group, gene], X[groups == reference, gene]
                assert wins[gene, group, r] == 2 * stats.mannwhitneyu(a, b).statistic
                t = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(float)
                assert own[gene, group] + own[gene, reference] + joint[gene, group, r] == (t**3 - t).sum()
