import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.topics.passes import fit_loadings, initial_factors, pass_over_rows, summarize_counts

X = np.random.default_rng(0).poisson(0.8, (40, 15))


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_a_survey_is_one_pass(layout):
    summary = summarize_counts(InMemory(layout(X), rows=7), Execution(threads=2))
    counts = X[X > 0]
    assert np.array_equal(summary.totals, X.sum(axis=1))
    assert (summary.least, summary.constant) == (1.0, pytest.approx((counts * np.log(counts) - counts).sum()))
    assert summarize_counts(InMemory(layout(X * 0.25)), Execution()).least == 0.25


def test_the_loss_belongs_to_the_loadings_that_are_returned():
    blocks, factors = InMemory(X, rows=6), np.random.default_rng(1).dirichlet(np.ones(15), 3).T
    summary = summarize_counts(blocks, Execution())
    loadings, sums = pass_over_rows(blocks, np.ones((40, 3), np.float32), factors, summary, Execution(threads=2))
    mean = loadings.astype(float) @ factors.T
    assert sums.loss == pytest.approx(mean.sum() - (X * np.log(mean)).sum(), rel=1e-6)


def test_rows_alone_settle_where_the_gradient_vanishes():
    factors = np.random.default_rng(2).dirichlet(np.ones(15), 3).T
    loadings = fit_loadings(InMemory(X, rows=9), np.ones((40, 3), np.float32), factors, 1.0, Execution()).astype(float)
    slope = 1 - (X / np.maximum(loadings @ factors.T, 1e-300)) @ factors
    assert np.abs(slope * loadings).max() < 1e-3 * loadings.sum(axis=1).max()


def test_first_factors_follow_the_weights_and_leave_nothing_at_zero():
    weights = np.eye(2)[np.arange(40) % 2]
    factors = initial_factors(InMemory(X), weights, Execution())
    assert np.allclose(factors.sum(axis=0), 1)
    own = X[::2].sum(axis=0) / X[::2].sum()
    other = X[1::2].sum(axis=0) / X[1::2].sum()
    assert np.allclose(factors[:, 0], 0.95 * own + 0.05 * other)
