import numpy as np
import pytest
from numba import njit

from kithkin.kernels.umap import mix, move_batches, power


@njit
def powers(base, exponent, out):
    for i in range(len(base)):
        out[i] = power(base[i], exponent)


@njit
def hashes(n, key, out):
    for i in range(n):
        out[i] = mix(np.uint32(i), key)


def ring(n, rng):
    """Each vertex linked to the two on either side of it."""
    indices = (np.arange(n)[:, None] + [-2, -1, 1, 2]) % n
    limits = rng.integers(0, 2**32, 4 * n, dtype=np.uint32)
    return np.arange(0, 4 * n + 1, 4), indices.ravel().astype(np.uint32), limits


def reference_move(indptr, indices, limits, points, a, b, alpha, n_negative, key):
    """One epoch by the formulas, vertex by vertex, in double precision."""
    n = len(points)
    moved = points.astype(np.float64)
    for v in range(n):
        total, stiffness = np.zeros(2), 0.0
        for e in range(indptr[v], indptr[v + 1]):
            if mix(np.uint32(e), key) >= limits[e]:
                continue
            away = points[v].astype(np.float64) - points[indices[e]]
            d2 = away @ away
            pull = 4 * a * b * d2 ** (b - 1) / (1 + a * d2**b)
            total -= pull * away
            stiffness += pull
            for s in range(n_negative):
                other = (int(mix(np.uint32(e), mix(np.uint32(s), key))) * n) >> 32
                away = points[v].astype(np.float64) - points[other]
                d2 = away @ away
                total += np.clip(2 * b / ((0.001 + d2) * (1 + a * d2**b)) * away, -4, 4)
        moved[v] += alpha / max(1, alpha * stiffness / 4) * total
    return moved


def move(graph, points, rows, pieces, a=0.58, b=1.33, alpha=0.5, n_negative=5, key=77):
    moved = points.copy()
    numbers = np.float32(a), np.float32(b), np.float32(alpha), n_negative, np.uint32(key)
    for first, last, step in pieces:
        move_batches(first, last, step, rows, *graph, points, moved, *numbers)
    return moved


@pytest.mark.parametrize("exponent", [0.3, 0.895, 1.334, 3.0])
def test_power_is_good_to_single_precision(exponent):
    base = np.exp(np.random.default_rng(0).uniform(-20, 8, 10_000)).astype(np.float32)
    out = np.empty_like(base)
    powers(base, np.float32(exponent), out)
    np.testing.assert_allclose(out, base.astype(np.float64) ** exponent, rtol=1e-5)


def test_hashes_are_uniform_and_unrelated_between_keys():
    n = 200_000
    draws = np.empty((3, n), np.uint32)
    for i, key in enumerate((0, 1, 123_456_789)):
        hashes(n, np.uint32(key), draws[i])
    counts = np.stack([np.bincount(row >> 24, minlength=256) for row in draws])
    chi2 = ((counts - n / 256) ** 2 / (n / 256)).sum(axis=1)
    assert (abs(chi2 - 255) < 5 * np.sqrt(2 * 255)).all()
    together = np.corrcoef(np.vstack([draws, draws[:, np.r_[1:n, 0]]]).astype(np.float64))
    assert abs(together - np.eye(6)).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize(("a", "b"), [(0.58, 1.33), (1.577, 0.895)])
def test_one_epoch_equals_the_formulas(a, b):
    rng = np.random.default_rng(1)
    graph, points = ring(100, rng), rng.normal(size=(100, 2)).astype(np.float32)
    expected = reference_move(*graph, points, a, b, 0.5, 5, np.uint32(77))
    assert abs(expected - points).max() > 0.5
    np.testing.assert_allclose(move(graph, points, 16, [(0, 7, 1)], a, b), expected, atol=2e-4)


def test_batches_do_not_depend_on_each_other():
    rng = np.random.default_rng(2)
    graph, points = ring(100, rng), rng.normal(size=(100, 2)).astype(np.float32)
    whole = move(graph, points, 16, [(0, 7, 1)])
    assert np.array_equal(whole, move(graph, points, 16, [(i, i + 1, 1) for i in reversed(range(7))]))
    assert np.array_equal(whole, move(graph, points, 16, [(1, 7, 2), (0, 7, 2)]))


def test_only_the_batches_asked_for_are_written():
    rng = np.random.default_rng(3)
    graph, points = ring(64, rng), rng.normal(size=(64, 2)).astype(np.float32)
    moved = (move(graph, points, 16, [(1, 4, 2)]) != points).any(axis=1).reshape(4, 16)
    assert moved.any(axis=1).tolist() == [False, True, False, True]


def test_points_that_coincide_stay_finite():
    graph = ring(20, np.random.default_rng(4))
    assert np.isfinite(move(graph, np.zeros((20, 2), np.float32), 16, [(0, 2, 1)], b=0.7)).all()
