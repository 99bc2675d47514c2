from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from kithkin.kernels.lists import compare, find_lists, list_ranks, move_centers, nearest_center

HUGE = np.finfo(np.float32).max


def table(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("d", [1, 7, 8, 50])
def test_nearest_center_is_that_of_scipy(d):
    rows, centers = table(300, d), table(17, d, 1)
    labels = np.full(300, -1, np.int32)
    nearest_center(rows, 0, 200, np.ascontiguousarray(centers.T), labels)
    np.testing.assert_array_equal(labels[:200], cdist(rows, centers).argmin(axis=1)[:200])
    assert (labels[200:] == -1).all()


def test_equally_near_centers_give_the_first():
    labels = np.empty(3, np.int32)
    nearest_center(np.zeros((3, 2), np.float32), 0, 3, np.ones((2, 4), np.float32), labels)
    assert labels.tolist() == [0, 0, 0]


def test_centers_move_to_means_and_one_without_rows_stays():
    rows, labels = table(50, 3), np.random.default_rng(1).integers(0, 2, 50).astype(np.int32)
    centers = np.full((3, 3), 9, np.float32)
    move_centers(rows, labels, centers)
    for c in range(2):
        np.testing.assert_allclose(centers[c], rows[labels == c].mean(axis=0), rtol=1e-5, atol=1e-7)
    assert (centers[2] == 9).all()


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
@pytest.mark.parametrize("width", [1, 5, 12])
def test_the_nearest_lists_are_those_of_a_sort(width, kind):
    rows, centers = table(80, 4), table(20, 4, 1)
    candidates = np.array([0, 2, 3, 5, 7, 8, 9, 11, 13, 14, 17, 19])
    chosen = np.zeros((80, width), kind)
    find_lists(rows, 0, 80, np.ascontiguousarray(centers.T), candidates, chosen)
    order = np.argsort(cdist(rows, centers[candidates]), axis=1, kind="stable")[:, :width]
    np.testing.assert_array_equal(chosen, np.sort(candidates[order], axis=1))


def test_of_equal_centers_the_first_are_chosen_and_the_last_comes_again():
    chosen = np.zeros((2, 4), np.int32)
    columns = np.zeros((3, 9), np.float32)
    find_lists(np.ones((2, 3), np.float32), 0, 2, columns, np.array([1, 4, 6, 7, 8]), chosen)
    assert chosen.tolist() == [[1, 4, 6, 7]] * 2
    find_lists(np.ones((2, 3), np.float32), 0, 2, columns, np.array([2, 5]), chosen)
    assert chosen.tolist() == [[2, 5, 5, 5]] * 2


def test_ranks_are_those_of_a_sort():
    rows, centers = table(30, 6), table(40, 6, 1)
    centers[7] = centers[3]
    goals, ranks = np.array([0, 3, 7, 39]), np.empty(4, np.int32)
    for i in range(30):
        list_ranks(rows, i, np.ascontiguousarray(centers.T), goals, ranks)
        order = np.argsort(np.square(rows[i] - centers).sum(axis=1), kind="stable")
        assert ranks.tolist() == np.argsort(order)[goals].tolist()


def search(rows, bounds, chosen, runs, kept):
    """Compare all pairs of runs; return the numbers and squared distances of the nearest that were met."""
    centers = np.stack([rows[a:b].mean(axis=0) for a, b in pairwise(bounds)])
    ids = np.full((len(rows), kept), -1, np.int32)
    squares = np.full((len(rows), kept), HUGE, np.float32)
    columns = np.ascontiguousarray(centers.T.astype(np.float32))
    for a in range(len(runs) - 1):
        for b in range(a, len(runs) - 1):
            first, second = (int(runs[a]), int(runs[a + 1])), (int(runs[b]), int(runs[b + 1]))
            compare(rows, bounds, columns, chosen, first, second, ids, squares)
    return ids, 2 * squares


def test_all_pairs_are_the_exact_neighbours():
    rows, bounds = table(500, 12) + np.float32(1e3), np.array([0, 3, 90, 91, 260, 431, 500])
    ids, squares = search(rows, bounds, np.empty((500, 0), np.uint16), np.array([0, 1, 4, 6]), 9)
    far = cdist(rows.astype(np.float64), rows.astype(np.float64), "sqeuclidean")
    np.fill_diagonal(far, np.inf)
    np.testing.assert_array_equal(ids, np.argsort(far, axis=1)[:, :9])
    np.testing.assert_allclose(squares, np.sort(far, axis=1)[:, :9], rtol=1e-4)


@pytest.mark.parametrize("width", [1, 3, 6])
def test_pairs_that_look_at_each_other_from_either_side_are_met_once(width):
    rng = np.random.default_rng(3)
    rows, bounds = table(600, 8), np.arange(0, 601, 50)
    chosen = np.sort(np.argsort(rng.random((600, 12)), axis=1)[:, :width].astype(np.uint16), axis=1)
    list_of = np.repeat(np.arange(12), 50)
    ids, squares = search(rows, bounds, chosen, np.array([0, 5, 6, 12]), 20)
    looks = (chosen[:, None] == list_of[None, :, None]).any(axis=2)
    met = (looks | looks.T | (list_of[:, None] == list_of)) & ~np.eye(600, dtype=bool)
    far = cdist(rows, rows, "sqeuclidean")
    expected = np.sort(np.where(met, far, np.inf), axis=1)[:, :20]
    assert all(len(set(row)) == 20 for row in ids)
    np.testing.assert_allclose(squares, np.take_along_axis(far, ids.astype(np.int64), 1), rtol=1e-3, atol=1e-4)
    assert (squares <= expected * (1 + 1e-3) + 1e-4).all()  # dense pairs of lists are met as a whole, which only adds
    if width == 1:
        np.testing.assert_allclose(squares, expected, rtol=1e-3, atol=1e-4)
