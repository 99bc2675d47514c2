import numpy as np

from kithkin.kernels.neighbors import join, measure, offer


def brute(X, k):
    squares = ((X[:, None] - X[None]) ** 2).sum(2)
    np.fill_diagonal(squares, np.inf)
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squares, order, 1)


def test_measure_sorts_any_candidates_and_drops_the_row():
    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    ids = np.tile(np.random.default_rng(1).permutation(30).astype(np.int32), (30, 1))
    squares = np.empty(ids.shape, np.float32)
    measure(X, 0, 30, ids, squares)
    order, expected = brute(X, 29)
    np.testing.assert_array_equal(ids[:, :29], order)
    np.testing.assert_allclose(squares[:, :29], expected, rtol=1e-5)
    assert (ids[:, 29] == -1).all()
    assert np.isinf(squares[:, 29]).all()


def test_measure_orders_equal_distances_by_number():
    ids, squares = np.array([[4, 2, 3, 0, 1]], np.int32), np.empty((1, 5), np.float32)
    measure(np.zeros((5, 2), np.float32), 0, 1, ids, squares)
    assert ids.tolist() == [[1, 2, 3, 4, -1]]


def test_join_brings_lists_nearer_and_follows_only_what_is_fresh():
    X = np.random.default_rng(2).normal(size=(200, 2)).astype(np.float32)
    some = np.random.default_rng(3).random((200, 200)) < 0.3
    ids, squares = np.empty((200, 4), np.int32), np.empty((200, 4), np.float32)
    for i in range(200):
        met = np.flatnonzero(some[i] & (np.arange(200) != i))
        distance = ((X[met] - X[i]) ** 2).sum(1)
        near = np.argsort(distance)[:4]
        ids[i], squares[i] = met[near], distance[near]
    old = ids, squares, np.ones(ids.shape, bool)
    new = new_ids, new_squares, fresh = np.empty_like(ids), np.empty_like(squares), np.empty(ids.shape, bool)
    changes = join(X, 0, 200, 4, *old, *new)
    assert (
        changes == sum(len(set(after) - set(before)) for before, after in zip(ids, new_ids, strict=True)) == fresh.sum()
    )
    assert (new_squares <= squares).all()
    true = brute(X, 4)[0]
    before, after = (sum(len(set(a) & set(b)) for a, b in zip(got, true, strict=True)) for got in (ids, new_ids))
    assert after > before + 100
    assert (np.diff(new_squares, axis=1) >= 0).all()
    assert all(len(set(row)) == 4 for row in new_ids)
    assert join(X, 0, 200, 4, ids, squares, np.zeros(ids.shape, bool), *new) == 0
    np.testing.assert_array_equal(new_ids, ids)


def test_offer_gives_each_edge_back():
    X = np.random.default_rng(4).normal(size=(100, 2)).astype(np.float32)
    ids, squares = (part.copy() for part in brute(X, 5))
    ids = ids.astype(np.int32)
    squares[:50], ids[:50] = np.inf, -1  # half of the rows know nobody, but are known
    fresh = np.ones(ids.shape, bool)
    before = ids.copy()
    offer(ids, squares, fresh)
    assert (np.diff(np.where(np.isinf(squares), 1e9, squares), axis=1) >= 0).all()
    for i in range(50):
        known_by = np.flatnonzero((before == i).any(1))
        expected = known_by[np.argsort(((X[known_by] - X[i]) ** 2).sum(1))][:5]
        assert ids[i, : len(expected)].tolist() == expected.tolist()
    np.testing.assert_array_equal(ids[50:], before[50:])
