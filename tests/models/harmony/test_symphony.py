"""Mapping onto a reference is the regression of Symphony, and leaves the reference where it is."""

import numpy as np
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.harmony.harmony import Harmony
from kithkin.models.harmony.symphony import SoftClusters, map_onto

ONE = Execution(threads=1)


def table(n, shift, seed):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 4, n)
    return (6 * np.eye(4, 7)[kinds] + shift + rng.normal(0, 0.5, (n, 7))).astype(np.float32), kinds


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_definition(rows, batches, sizes, sums):
    """Symphony with all responsibilities at once, and equations that are solved."""
    R = np.exp(-2 * (1 - unit(rows) @ unit(sums).T) / 0.1)
    R /= R.sum(axis=1, keepdims=True)
    phi = np.eye(batches.max() + 1)[batches]
    out = rows.astype(float)
    for k in range(len(sizes)):
        design = np.column_stack([np.ones(len(rows)), phi])
        weighted = design * R[:, [k]]
        left = design.T @ weighted + np.diag([sizes[k], *np.ones(phi.shape[1])])
        right = weighted.T @ rows + np.vstack([sums[k], np.zeros((phi.shape[1], rows.shape[1]))])
        W = np.linalg.solve(left, right)
        out -= R[:, [k]] * (phi @ W[1:])
    return out


@pytest.mark.parametrize("threads", [1, 3])
def test_the_equations_at_once_give_the_same(threads, monkeypatch):
    monkeypatch.setattr("kithkin.models.harmony.symphony.TILE", 64)
    X, _ = table(400, 0, 0)
    clusters = SoftClusters(6).fit(InMemory(X), ONE)
    query, _ = table(300, np.linspace(1, -1, 7), 1)
    batches = np.random.default_rng(2).integers(0, 3, 300)
    expected = by_definition(query, batches, clusters.sizes_, clusters.sums_)
    moved = map_onto(query.copy(), batches, clusters.sizes_, clusters.sums_, Execution(threads=threads))
    np.testing.assert_allclose(moved, expected, atol=1e-3)


def test_a_shift_of_the_query_is_taken_out():
    X, kinds = table(600, 0, 0)
    clusters = SoftClusters().fit(InMemory(X), ONE)
    query, own = table(300, np.array([0, 0, 0, 0, 2, -2, 1]), 1)
    moved = map_onto(query.copy(), np.zeros(300, int), clusters.sizes_, clusters.sums_, ONE)
    for kind in range(4):
        place = X[kinds == kind].mean(axis=0)
        before, after = (np.linalg.norm(T[own == kind].mean(axis=0) - place) for T in (query, moved))
        assert after < 0.3 * before


def test_clusters_of_one_batch_are_what_harmony_sums():
    X, _ = table(500, 0, 0)
    clusters = SoftClusters(7, seed=3).fit(InMemory(X, rows=90), ONE)
    assert clusters.sizes_.sum() == pytest.approx(500)
    np.testing.assert_allclose(clusters.sums_.sum(axis=0), X.sum(axis=0), rtol=1e-3, atol=0.05)
    halves = Harmony(7, seed=3, theta=0.0).fit(X, np.arange(500) % 2)  # batches that are alike change little
    np.testing.assert_allclose(np.sort(clusters.sizes_), np.sort(halves.sizes_), rtol=0.15, atol=3)
