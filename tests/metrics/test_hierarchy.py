import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import cophenet, is_valid_linkage

from kithkin.metrics.hierarchy import AT_A_TIME, LARGEST, checked_weights, group_weights, leaf_order, paris_linkage
from kithkin.models import Paris


def graph_of(n, density, seed):
    upper = sparse.triu(sparse.random(n, n, density, random_state=seed, dtype=np.float32), 1)
    return (upper + upper.T).tocsr()


def slow_merges(weights):
    """The merges of Paris from sets of groups, with nothing updated: sets joined, and heights."""
    sets, total, out = [frozenset([i]) for i in range(len(weights))], weights.sum(), []

    def distance(a, b):
        between = weights[np.ix_(list(a), list(b))].sum()
        return np.inf if between == 0 else weights[list(a)].sum() * weights[list(b)].sum() / (total * between)

    while len(sets) > 1:
        height, a, b = min(((distance(a, b), a, b) for a, b in itertools.combinations(sets, 2)), key=lambda t: t[0])
        if np.isinf(height):
            break
        out.append((frozenset([a, b]), height))
        sets = [s for s in sets if s not in (a, b)] + [a | b]
    return out


def merges(linkage):
    below = [frozenset([i]) for i in range(len(linkage) + 1)]
    out = []
    for a, b, height, size in linkage:
        below.append(below[int(a)] | below[int(b)])
        assert size == len(below[-1])
        out.append((frozenset([below[int(a)], below[int(b)]]), height))
    return out


def test_weights_are_those_of_the_indicator_product():
    graph, codes = graph_of(300, 0.05, 0), np.random.default_rng(0).integers(-1, 7, 300)
    member = (codes[:, None] == np.arange(7)).astype(float)
    np.testing.assert_allclose(group_weights(graph, codes), member.T @ graph.toarray() @ member, rtol=1e-6)
    np.testing.assert_allclose(group_weights(graph.toarray(), codes.astype(np.int8)), member.T @ graph @ member, 1e-6)


@pytest.mark.parametrize("step", [1, 37, 299])
def test_blocks_of_rows_add_up(step):
    graph, codes = graph_of(300, 0.05, 1), np.random.default_rng(1).integers(0, 5, 300)
    parts = [group_weights(graph[i : i + step], codes, i) for i in range(0, 300, step)]
    np.testing.assert_allclose(sum(parts), group_weights(graph, codes), rtol=1e-12)


def test_more_links_than_are_held_at_a_time(monkeypatch):
    graph, codes = graph_of(100, 0.2, 2), np.arange(100) % 3
    whole = group_weights(graph, codes)
    monkeypatch.setitem(group_weights.__globals__, "AT_A_TIME", 7)
    np.testing.assert_allclose(group_weights(graph, codes), whole, rtol=1e-12)
    assert AT_A_TIME > 7


def test_without_links_or_groups():
    assert group_weights(sparse.csr_matrix((3, 3)), [0, 1, -1]).tolist() == [[0, 0], [0, 0]]
    assert group_weights(np.ones((2, 2)), np.array([-1, -1])).shape == (0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_merges_equal_those_found_without_updates(seed):
    rng = np.random.default_rng(seed)
    weights = rng.random((14, 14)) ** 4 * (rng.random((14, 14)) < 0.6)
    weights = weights + weights.T
    found, wanted = merges(paris_linkage(weights)), slow_merges(weights)
    assert [pair for pair, _ in found[: len(wanted)]] == [pair for pair, _ in wanted]
    np.testing.assert_allclose([h for _, h in found[: len(wanted)]], [h for _, h in wanted], rtol=1e-9)


@pytest.mark.parametrize("density", [0.05, 0.3])
def test_the_tree_of_single_nodes_is_that_of_paris(density):
    graph = graph_of(60, density, 3)
    found, model = paris_linkage(graph.toarray()), Paris(2).fit(graph)
    np.testing.assert_allclose(found[:, 2], model.heights_, rtol=1e-6)
    np.testing.assert_allclose(cophenet(found), cophenet(model.linkage_), rtol=1e-6)
    assert is_valid_linkage(found)


def test_what_nothing_connects_is_joined_last_the_smallest_first():
    weights = sparse.block_diag([np.ones((2, 2)), [[5.0]], [[0.0]], np.ones((2, 2))]).toarray()
    linkage = paris_linkage(weights, sizes=[50, 50, 7, 30, 1, 1])
    assert np.isfinite(linkage[:, 2]).tolist() == [True, True, False, False, False]
    parts = [sorted(map(sorted, pair)) for pair, _ in merges(linkage)[2:]]
    assert parts == [[[2], [4, 5]], [[2, 4, 5], [3]], [[0, 1], [2, 3, 4, 5]]]


def test_heights_ascend_and_equal_ones_take_the_lowest_numbers():
    linkage = paris_linkage(np.ones((5, 5)))
    assert linkage[:, :2].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert (np.diff(linkage[:, 2]) >= 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_leaves_are_in_an_order_of_the_tree_and_the_shortest_one(seed):
    rng = np.random.default_rng(seed)
    weights = rng.random((7, 7)) ** 3
    weights += weights.T
    linkage = paris_linkage(weights)
    volumes = weights.sum(axis=1)
    length = np.log(np.outer(volumes, volumes) / (weights.sum() * weights))

    def orders(node):
        if node < 7:
            return [(node,)]
        a, b = (orders(int(child)) for child in linkage[node - 7, :2])
        return [x + y for x in a for y in b] + [y + x for x in a for y in b]

    found = tuple(leaf_order(weights, linkage).tolist())
    possible = {order: sum(length[i, j] for i, j in itertools.pairwise(order)) for order in orders(12)}
    assert found in possible
    assert possible[found] == pytest.approx(min(possible.values()))
    assert np.mean(found[:3]) <= np.mean(found[-3:])


def test_leaves_of_parts_stay_together():
    weights = sparse.block_diag([np.ones((2, 2)), np.ones((3, 3)), np.zeros((1, 1))]).toarray()[::2, ::2]
    order = leaf_order(weights, paris_linkage(weights))
    assert sorted(order) == [0, 1, 2]
    assert leaf_order(np.zeros((2, 2)), paris_linkage(np.zeros((2, 2)))).tolist() == [0, 1]
    assert sorted(leaf_order(np.zeros((4, 4)), paris_linkage(np.zeros((4, 4))))) == [0, 1, 2, 3]


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="codes must be a list of integers"):
        group_weights(np.eye(2), [0.5, 1.0])
    with pytest.raises(ValueError, match="codes must have one value per node"):
        group_weights(np.eye(2), [0, 1, 1])
    with pytest.raises(ValueError, match="codes must have one value per node"):
        group_weights(np.ones((2, 3)), [0, 1, 1], 2)
    with pytest.raises(ValueError, match=f"at most {LARGEST} groups"):
        group_weights(np.eye(2), [0, LARGEST])
    with pytest.raises(ValueError, match="square"):
        paris_linkage(np.ones((2, 3)))
    with pytest.raises(ValueError, match="symmetric"):
        paris_linkage([[0.0, 1.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="finite and at least 0"):
        checked_weights([[0.0, -1.0], [-1.0, 0.0]])
    with pytest.raises(ValueError, match="sizes must have one value per group"):
        paris_linkage(np.eye(3), sizes=[1, 2])
