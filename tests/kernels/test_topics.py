import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse

from kithkin.kernels.topics import add_statistics, coordinate_step, update_factors, update_loadings


def problem(seed, n=12, p=9, k=3, scale=1.0):
    rng = np.random.default_rng(seed)
    X = sparse.csr_matrix(rng.poisson(rng.gamma(0.7, 2.0, (n, p))) * scale)
    factors, loadings = rng.gamma(1.0, 1.0, (p, k)), rng.gamma(1.0, 1.0, (n, k)) * scale
    return X, (X.data, X.indices, X.indptr), factors, loadings


def loss(X, factors, loadings):
    mean = loadings @ factors.T
    return mean.sum() - (X.toarray() * np.log(np.maximum(mean, 1e-300))).sum()


@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.01, 30.0]))
@settings(max_examples=60, deadline=None)
def test_no_step_raises_the_loss(seed, scale):
    X, entries, factors, loadings = problem(seed, scale=scale)
    least = min(1.0, X.data.min())
    before = loss(X, factors, loadings)
    update_loadings(*entries, factors, factors.sum(axis=0), least, 1, 0.0, loadings)
    middle = loss(X, factors, loadings)
    gradient, curvature = np.zeros((9, 3)), np.zeros((9, 6))
    add_statistics(*entries, factors, loadings, gradient, curvature)
    update_factors(gradient, curvature, loadings.sum(axis=0), least, 10, factors)
    after = loss(X, factors, loadings)
    assert middle <= before + 1e-9 * abs(before)
    assert after <= middle + 1e-9 * abs(middle)
    assert factors.min() >= 0
    assert loadings.min() >= 0


@given(st.floats(1e-3, 50), st.lists(st.tuples(st.integers(1, 60), st.floats(0.01, 3), st.floats(1e-4, 5)), min_size=1))
@settings(max_examples=200, deadline=None)
def test_a_coordinate_step_does_not_raise_the_loss(old, terms):
    counts, factor, others = (np.array(column, float) for column in zip(*terms, strict=True))

    def value(at):
        return 2.0 * at - (counts * np.log(others + factor * at)).sum()

    share = factor / (others + factor * old)
    new = coordinate_step(old, (counts * share).sum(), (counts * share**2).sum(), 2.0, 1.0)
    assert new >= 0
    assert value(new) <= value(old) + 1e-9 * abs(value(old))


def test_loadings_settle_at_the_minimum():
    X, entries, factors, loadings = problem(3)
    update_loadings(*entries, factors, factors.sum(axis=0), 1.0, 500, 0.0, loadings)
    for row in range(3):
        best = optimize.minimize(
            lambda at, row=row: loss(X[row], factors, np.abs(at)[None]), np.ones(3), bounds=[(0, None)] * 3, tol=1e-10
        )
        assert loss(X[row], factors, loadings[row : row + 1]) <= best.fun + 1e-6


def test_statistics_are_the_derivatives():
    X, entries, factors, loadings = problem(4)
    gradient, curvature = np.zeros((9, 3)), np.zeros((9, 6))
    value = add_statistics(*entries, factors, loadings, gradient, curvature)
    mean = loadings @ factors.T
    ratio = X.toarray() / mean
    assert value == pytest.approx(-(X.toarray() * np.log(mean)).sum())
    assert np.allclose(gradient, ratio.T @ loadings)
    rows, columns = np.tril_indices(3)
    hessians = np.einsum("ij,ik,il->jkl", ratio / mean, loadings, loadings)
    assert np.allclose(curvature, hessians[:, rows, columns])


def test_a_row_without_counts_becomes_zero():
    loadings = np.ones((1, 2))
    empty = np.empty(0), np.empty(0, np.int32), np.zeros(2, np.int64)
    update_loadings(*empty, np.ones((3, 2)), np.full(2, 3.0), 1.0, 1, 0.0, loadings)
    assert not loadings.any()
