import numpy as np
from scipy import sparse

from kithkin.kernels.paris import ascending, contract, find_nearest, pair_up


def random_graph(seed, n=30):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.gamma(1, 1, (n, n)) * (rng.random((n, n)) < 0.3), 1)
    return sparse.csr_matrix(upper + upper.T)


def test_the_nearest_is_the_one_at_the_smallest_distance():
    graph = random_graph(0)
    volumes = np.asarray(graph.sum(axis=1)).ravel()
    nearest, heights = np.empty(30, np.int32), np.empty(30)
    find_nearest(graph.indptr, graph.indices, graph.data, volumes, nearest, heights)
    with np.errstate(divide="ignore"):
        distance = np.outer(volumes, volumes) / graph.toarray()
    assert np.array_equal(nearest, distance.argmin(axis=1))
    assert np.allclose(heights, distance.min(axis=1))


def test_the_lowest_id_among_equals_and_none_without_links():
    star = np.zeros((5, 5))
    star[1, [0, 2, 3]] = star[[0, 2, 3], 1] = 1.0
    graph = sparse.csr_matrix(star)
    nearest, heights = np.empty(5, np.int32), np.empty(5)
    find_nearest(graph.indptr, graph.indices, graph.data, star.sum(axis=1), nearest, heights)
    assert nearest.tolist() == [1, 0, 1, 1, -1]
    assert np.isinf(heights[4])


def test_pairs_are_mutual_and_numbered_by_their_lowest_member():
    nearest = np.array([3, 2, 1, 0, 3, -1], np.int32)
    group, first, second = np.empty((3, 6), np.int32)
    count = pair_up(nearest, group, first, second)
    assert count == 4
    assert group.tolist() == [0, 1, 1, 0, 2, 3]
    assert list(zip(first[:4].tolist(), second[:4].tolist(), strict=True)) == [(0, 3), (1, 2), (4, -1), (5, -1)]


def test_contraction_adds_up_the_links_between_groups():
    graph = random_graph(1)
    group = np.arange(30, dtype=np.int32) // 2
    first, second = np.arange(0, 30, 2, dtype=np.int32), np.arange(1, 30, 2, dtype=np.int32)
    indptr, indices, data = np.empty(16, np.int64), np.empty(graph.nnz, np.int32), np.empty(graph.nnz)
    size = contract(graph.indptr, graph.indices, graph.data, group, first, second, indptr, indices, data)
    member = np.eye(15)[group]
    expected = member.T @ graph.toarray() @ member
    np.fill_diagonal(expected, 0)
    assert np.allclose(sparse.csr_matrix((data[:size], indices[:size], indptr), (15, 15)).toarray(), expected)


def test_merges_in_order_keep_what_they_join():
    left, right = np.array([0, 2, 4]), np.array([1, 3, 5])  # (0, 1) at 3, (2, 3) at 1, then both at 3
    children, heights, sizes = ascending(left, right, np.array([3.0, 1.0, 3.0]), 4)
    assert children.tolist() == [[2, 3], [0, 1], [4, 5]]
    assert heights.tolist() == [1.0, 3.0, 3.0]
    assert sizes.tolist() == [2, 2, 4]
