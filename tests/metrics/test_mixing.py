"""Measures of mixing are those of scikit-learn and SciPy, or of their definitions."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats.contingency import association
from sklearn.metrics import silhouette_samples

from kithkin.core.errors import ParameterError
from kithkin.metrics import mixing


def rows():
    rng = np.random.default_rng(2)
    kinds, batches = rng.integers(0, 3, 400), rng.integers(0, 4, 400)
    return 3 * np.eye(3)[kinds] + 0.6 * rng.normal(size=(4, 3))[batches] + rng.normal(size=(400, 3)), kinds, batches


def sums_by(X, *codes):
    groups = [len(np.unique(one)) for one in codes]
    flat = np.ravel_multi_index(codes, groups)
    distances, sizes = cdist(X, X), np.bincount(flat, minlength=np.prod(groups))
    sums = np.stack([distances[:, flat == group].sum(axis=1) for group in range(len(sizes))], axis=1)
    return sums.reshape(-1, *groups), sizes.reshape(groups)


def test_silhouettes_are_those_of_scikit_learn():
    X, kinds, batches = rows()
    sums, sizes = sums_by(X, kinds)
    np.testing.assert_allclose(mixing.silhouette(sums, sizes, kinds), silhouette_samples(X, kinds), atol=1e-9)
    sums, sizes = sums_by(X, kinds, batches)
    within = mixing.silhouette_within(sums, sizes, batches, kinds)
    for kind in range(3):
        own = kinds == kind
        np.testing.assert_allclose(within[own], 1 - np.abs(silhouette_samples(X[own], batches[own])), atol=1e-9)


def test_a_group_with_one_batch_has_no_batch_silhouette():
    within = mixing.silhouette_within(
        np.ones((3, 2, 2)), np.array([[2, 0], [1, 1]]), np.array([0, 0, 1]), np.array([0, 0, 1])
    )
    assert np.isnan(within).all()
    assert np.isnan(mixing.mean_of_groups(within, np.array([0, 0, 1])))


def test_cramers_v_is_that_of_scipy():
    rng = np.random.default_rng(3)
    a = rng.integers(0, 5, 500)
    b = np.where(rng.random(500) < 0.4, a // 2, rng.integers(0, 3, 500))
    table = np.zeros((5, 3), int)
    np.add.at(table, (a, b), 1)
    assert mixing.cramers_v(a, b) == pytest.approx(association(table, method="cramer"))
    assert mixing.cramers_v(np.append(a, -1), np.append(b, 2)) == pytest.approx(association(table, method="cramer"))
    assert mixing.cramers_v(3 * a, 7 * (a // 2)) == pytest.approx(1.0)  # nested, with codes that do not occur
    assert mixing.cramers_v(a, np.zeros(500, int)) == 0.0


def test_lisi_counts_what_is_near():
    rng = np.random.default_rng(4)
    near = rng.integers(0, 1000, (30, 60))
    labels = np.arange(1000) % 4
    index = mixing.lisi(near, np.sort(rng.random((30, 60)), axis=1), labels, perplexity=20)
    assert np.all((index >= 1) & (index <= 4))
    assert 3 < index.mean() < 3.8  # of 20 effective neighbours, which are never alike as often as they might be
    assert np.allclose(mixing.lisi(near, np.ones((30, 60)), np.zeros(1000, int), perplexity=20), 1)


def test_lisi_at_random_is_what_shuffled_batches_have():
    rng = np.random.default_rng(5)
    kinds = np.sort(rng.integers(0, 3, 3000))
    batches = (rng.random(3000) < np.array([0.5, 0.2, 0.0])[kinds]).astype(int)
    expected = mixing.lisi_at_random(batches, kinds)
    for kind in range(3):
        p = batches[kinds == kind].mean()
        assert expected[kinds == kind] == pytest.approx(1 / (p**2 + (1 - p) ** 2))


def test_a_kind_in_two_pieces_is_half_connected():
    ring = (np.arange(10)[:, None] + np.array([1, 2])) % 10
    two = np.concatenate([ring, ring + 10])
    assert mixing.graph_connectivity(two, np.repeat([0, 1], 10)) == 1.0
    assert mixing.graph_connectivity(two, np.zeros(20, int)) == 0.5
    assert mixing.graph_connectivity(two, np.repeat([0, -1], 10)) == 1.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: mixing.lisi(np.zeros((2, 3), int), np.ones((2, 2)), np.zeros(4, int)), "must be of one shape"),
        (lambda: mixing.lisi(np.zeros((2, 3), int), np.ones((2, 3)), np.zeros(4, int)), "perplexity must be above 1"),
        (lambda: mixing.cramers_v(np.zeros(3, int), np.zeros(2, int)), "other must be integer codes, 3 of them"),
        (lambda: mixing.cramers_v(np.array(["a"]), np.zeros(1, int)), "labels must be integer codes"),
        (lambda: mixing.graph_connectivity(np.zeros((2, 1), int), np.array([-1, -1])), "at least one row with a label"),
    ],
)
def test_what_is_wrong_is_named(call, said):
    with pytest.raises(ParameterError, match=said):
        call()
