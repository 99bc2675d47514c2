import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import as_blocks
from kithkin.models.deep.start import (
    explained_variance,
    gaussian_responsibilities,
    initial_responsibilities,
    smooth_responsibilities,
)
from kithkin.models.nn.batches import Batches, Scale


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 40)
    return rng.normal(0, 0.3, (120, 4)) + 3 * np.eye(3, 4)[truth], truth


def matched(labels, truth):
    return all(len(np.unique(labels[truth == k])) == 1 for k in range(3)) and len(np.unique(labels)) == 3


@pytest.mark.parametrize("start", ["map", "kmeans"])
def test_groups_are_found(groups, start):
    H, truth = groups
    shares = initial_responsibilities(H.astype(np.float32), 3, start)
    assert np.allclose(shares.sum(1), 1, atol=1e-5)
    assert matched(shares.argmax(1), truth)


def test_long_groups_are_found_by_their_covariance():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], 200)
    X = np.column_stack([rng.normal(0, 5, 400), rng.normal(0, 0.2, 400) + 2 * truth])
    shares, log_likelihood = gaussian_responsibilities(X, 2)
    found = shares.argmax(1)
    assert max((found == truth).mean(), (found != truth).mean()) > 0.99
    assert np.isfinite(log_likelihood)


def test_a_small_group_far_from_the_others_is_kept():
    """Merging communities by modularity would rather halve the large group."""
    rng = np.random.default_rng(3)
    truth = np.repeat([0, 1, 2], [300, 30, 20])
    H = rng.normal(0, 1, (350, 5)) + 12 * np.eye(3, 5)[truth]
    assert matched(initial_responsibilities(H.astype(np.float32), 3, "map").argmax(1), truth)


def test_starts_from_different_seeds_use_different_layouts():
    H = np.random.default_rng(4).normal(0, 1, (60, 4)).astype(np.float32)
    one, other, again = (initial_responsibilities(H, 4, "map", seed) for seed in (0, 1, 0))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_rows_settle_with_their_neighbours(groups):
    H, truth = groups
    shares = np.eye(3)[truth]
    wrong = np.random.default_rng(0).choice(120, 12, replace=False)
    shares[wrong] = np.eye(3)[(truth[wrong] + 1) % 3]
    found = smooth_responsibilities(H, shares)
    assert found.dtype == np.float32
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    assert np.array_equal(found.argmax(1), truth)


@pytest.mark.parametrize("of", [np.asarray, sparse.csr_matrix])
def test_variance_told_is_the_correlation_ratio(of):
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 300)
    X = np.column_stack([truth + rng.normal(0, 0.5, 300), rng.normal(5, 1, 300), np.full(300, 7.0)])
    batches = Batches(as_blocks(of(X)), Scale.of(of(X), "none"), 100)
    found = explained_variance(batches, np.eye(3)[truth])
    within = sum(((X[truth == k] - X[truth == k].mean(0)) ** 2).sum(0) for k in range(3))
    assert np.allclose(found[:2], 1 - within[:2] / ((X - X.mean(0)) ** 2).sum(0)[:2], atol=1e-4)
    assert found[2] == 0
