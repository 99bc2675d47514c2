from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from kithkin.kernels.tree import largest_within, links_across, mark_uncovered, most_persistent, spread_labels


def random_tree(seed, n):
    rng = np.random.default_rng(seed)
    alive, children, sizes = list(range(n)), [], [1] * n
    for t in range(n - 1):
        a, b = sorted(alive.pop(rng.integers(len(alive))) for _ in range(2))
        children.append((a, b))
        sizes.append(sizes[a] + sizes[b])
        alive.append(n + t)
    return np.array(children), np.sort(rng.gamma(1, 2, n - 1)), np.array(sizes[n:])


def leaves(children, node, n):
    return (
        {node} if node < n else leaves(children, children[node - n][0], n) | leaves(children, children[node - n][1], n)
    )


def way(tree, node, min_size):
    """Nodes of the cluster that begins at a node, and the two in which it ends, or none."""
    children, _, sizes = tree
    n, nodes = len(children) + 1, [node]
    while True:
        big = [child for child in children[nodes[-1] - n] if child >= n and sizes[child - n] >= min_size]
        if len(big) != 1:
            return nodes, big
        nodes.append(big[0])


def best(tree, node, min_size, lowest, birth):
    """The largest sum of persistences below a node, by trying both."""
    _, heights, sizes = tree
    n = len(sizes) + 1
    nodes, ends = way(tree, node, min_size)
    scale = [birth, *(np.log(heights[u - n]) for u in nodes)]
    whole = sum(sizes[u - n] * (scale[i] - scale[i + 1]) for i, u in enumerate(nodes))
    if not ends or heights[nodes[-1] - n] <= lowest:
        return whole, {node}
    parts = [best(tree, end, min_size, lowest, scale[-1]) for end in ends]
    total = sum(value for value, _ in parts)
    return (total, set.union(*(chosen for _, chosen in parts))) if total > whole else (whole, {node})


@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(2, 5), st.sampled_from([0.0, 0.5, 2.0]))
@settings(max_examples=150, deadline=None)
def test_no_other_set_is_more_persistent(seed, n, min_size, lowest):
    tree = random_tree(seed, n)
    children, heights, sizes = tree
    chosen = np.zeros(2 * n - 1, bool)
    most_persistent(children, heights, np.log(heights), sizes, min_size, heights > lowest, chosen)
    _, expected = best(tree, 2 * n - 2, min_size, lowest, np.log(heights[-1]))
    assert set(np.flatnonzero(chosen).tolist()) == expected
    groups = [leaves(children, node, n) for node in expected]
    assert all(not a & b for a, b in combinations(groups, 2))
    assert len(expected) == 1 or min(map(len, groups)) >= min_size


def test_parts_at_infinite_height_are_never_one_cluster():
    children, sizes = np.array([[0, 1], [2, 3], [4, 5]]), np.array([2, 2, 4])
    chosen = np.zeros(7, bool)
    heights = np.array([0.1, 0.1, np.inf])
    most_persistent(children, heights, np.array([0.0, 0.0, 0.0]), sizes, 2, np.zeros(3, bool), chosen)
    assert np.flatnonzero(chosen).tolist() == [4, 5]


@pytest.mark.parametrize(("min_size", "expected"), [(2, {5, 7}), (3, {7}), (4, set())])
def test_small_parts_at_infinite_height_belong_to_no_cluster(min_size, expected):
    children, sizes = np.array([[0, 1], [2, 3], [4, 6], [5, 7]]), np.array([2, 2, 3, 5])
    heights = np.array([0.1, 0.2, 0.3, np.inf])
    chosen, loose = np.zeros((2, 9), bool)
    most_persistent(children, heights, np.array([0.1, 0.2, 0.3, 0.4]), sizes, min_size, np.zeros(4, bool), chosen)
    mark_uncovered(children, heights, chosen, loose)
    assert set(np.flatnonzero(chosen)) == expected
    assert set(np.flatnonzero(chosen | loose)) == {5, 7}


@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_bounded_subtrees_cover_the_tree_and_are_the_largest(seed, n, largest):
    children, _, sizes = random_tree(seed, n)
    chosen = np.zeros(2 * n - 1, bool)
    largest_within(children, sizes, largest, chosen)
    groups = [leaves(children, node, n) for node in np.flatnonzero(chosen)]
    assert sorted(leaf for group in groups for leaf in group) == list(range(n))
    assert max(map(len, groups)) <= largest
    for t, (a, b) in enumerate(children):
        assert not (chosen[a] and chosen[b] and sizes[t] <= largest)


@given(st.integers(0, 10**6), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_what_is_uncovered_and_what_is_chosen_are_all(seed, n):
    children, heights, _ = random_tree(seed, n)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(2 * n - 1, bool)
    taken = set()
    for node in rng.permutation(2 * n - 1)[: n // 2 + 1]:
        below = leaves(children, node, n)
        if not below & taken:
            chosen[node] = True
            taken |= below
    loose = np.zeros(2 * n - 1, bool)
    mark_uncovered(children, heights, chosen, loose)
    labels = np.where(chosen | loose, np.arange(2 * n - 1), -1)
    spread_labels(children, labels)
    assert np.all(labels[:n] >= 0)
    assert {leaf for leaf in range(n) if chosen[labels[leaf]]} == taken


@pytest.mark.parametrize("n", [1, 2])
def test_a_tree_without_merges(n):
    chosen = np.zeros(2 * n - 1, bool)
    children = np.array([[0, 1]])[: n - 1].reshape(-1, 2)
    largest_within(children, np.full(n - 1, 2), 1, chosen)
    assert chosen.tolist() == [[True], [True, True, False]][n - 1]


def test_links_part_where_their_ends_do():
    # a coarse tree of groups 0 to 3, 4 above 0 and 1, 5 above 4 and 2, 6 above 5 and 3
    parent, group = np.array([4, 4, 5, 6, 5, 6, 6]), np.array([0, 0, 1, 2, 3, 4, 6])
    rng = np.random.default_rng(0)
    upper = np.triu(rng.random((7, 7)), 1)
    graph = sparse.csr_matrix(upper + upper.T)
    across = np.zeros(7)
    links_across(graph.indptr, graph.indices, graph.data, group, parent, across)
    expected = np.zeros(7)
    expected[4] = upper[:2, 2].sum()
    expected[5] = upper[:3, 3].sum() + upper[3, 5]
    expected[6] = upper[:4, 4].sum() + upper[4, 5]
    assert np.allclose(across, expected)
