import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.cluster.hierarchy import fcluster
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

from kithkin.core.errors import ParameterError
from kithkin.models.paris.agglomeration import agglomerate
from kithkin.models.paris.dendrogram import Dendrogram


def planted(sizes, seed=0, inside=0.3, between=0.01):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    chance = np.where(truth[:, None] == truth, inside, between)
    upper = np.triu(rng.random(chance.shape) < chance, 1) * rng.uniform(0.5, 1.0, chance.shape)
    return truth, sparse.csr_matrix(upper + upper.T)


def tree_of(graph):
    return Dendrogram(*agglomerate(graph))


def same(labels, truth):
    """Whether two partitions are the same, whatever their numbers."""
    pairs = set(zip(labels.tolist(), truth.tolist(), strict=True))
    return len(pairs) == len(set(labels.tolist())) == len(set(truth.tolist()))


@given(st.integers(0, 10**6), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_a_cut_gives_exactly_so_many_and_is_scipys_where_heights_differ(seed, k):
    _, graph = planted([12, 9, 9], seed, between=0.1)
    tree = tree_of(graph)
    labels = tree.cut(k)
    assert len(np.unique(labels)) == k
    heights = np.append(tree.heights, np.inf)
    if heights[30 - k] > heights[29 - k] * (1 + 1e-9) and np.isfinite(tree.heights).all():
        # by distance: SciPy before 1.15 skips the first merge in "maxclust"
        assert same(labels, fcluster(tree.linkage, heights[29 - k], "distance"))


def test_equal_heights_are_cut_one_by_one():
    graph = sparse.csr_matrix(np.kron(np.eye(4), np.ones((2, 2)) - np.eye(2)))
    tree = tree_of(graph)
    assert len(set(tree.heights[:4].tolist())) == 1
    assert [len(set(tree.cut(k).tolist())) for k in range(1, 9)] == list(range(1, 9))


def test_labels_are_numbered_by_descending_size():
    _, graph = planted([30, 60, 45], seed=1)
    for labels in (tree_of(graph).cut(3), tree_of(graph).cut_persistent(graph)):
        assert np.all(np.diff(np.bincount(labels)) <= 0)


@pytest.mark.parametrize("sizes", [[80, 80, 80], [150, 60, 30], [40] * 7])
def test_the_persistent_cut_finds_the_planted_groups(sizes):
    truth, graph = planted(sizes, seed=len(sizes), inside=0.4)
    labels = tree_of(graph).cut_persistent(graph)
    assert labels.max() + 1 == len(sizes)
    assert adjusted_rand_score(truth, labels) > 0.9


def test_a_graph_without_groups_is_one_cluster():
    _, graph = planted([200], seed=2, inside=0.2)
    assert tree_of(graph).cut_persistent(graph, min_size=60).max() == 0


def test_the_smallest_cluster_is_respected_and_small_parts_go_where_their_links_are():
    truth, graph = planted([100, 100, 4], seed=3, inside=0.5)
    dense = graph.toarray()
    few, some = np.flatnonzero(truth == 2), np.flatnonzero(truth == 0)[:3]
    dense[few] = dense[:, few] = 0.0
    dense[np.ix_(few, few)] = 5.0
    dense[np.ix_(few, some)] = 0.2
    dense[np.ix_(some, few)] = 0.2
    graph = sparse.csr_matrix(dense)
    labels = tree_of(graph).cut_persistent(graph, min_size=10)
    assert adjusted_rand_score(np.where(truth == 2, 0, truth), labels) > 0.95
    assert len(set(labels[truth == 2].tolist())) == 1
    assert adjusted_rand_score(truth, tree_of(graph).cut_persistent(graph, min_size=4)) > 0.95


def test_parts_that_nothing_connects_stay_by_themselves():
    _, graph = planted([60, 60, 3], seed=4, between=0.0, inside=0.6)
    labels = tree_of(graph).cut_persistent(graph, min_size=10)
    assert same(labels, connected_components(graph)[1])


def test_whether_a_split_raises_the_modularity_is_counted_on_the_graph():
    _, graph = planted([40, 40, 30], seed=7, inside=0.4, between=0.04)
    tree = tree_of(graph)
    allowed = tree._raises_modularity(graph, 8)
    dense = graph.toarray()
    volume, total = dense.sum(axis=1), dense.sum()
    below = [[leaf] for leaf in range(110)]
    for t, (a, b) in enumerate(tree.children):
        if min(len(below[a]), len(below[b])) >= 8:
            across = dense[np.ix_(below[a], below[b])].sum()
            assert allowed[t] == (0.55 * volume[below[a]].sum() * volume[below[b]].sum() > total * across)
        else:
            assert not allowed[t]
        below.append(below[a] + below[b])
    assert 0 < allowed.sum() < 12


def test_every_split_raises_the_modularity():
    _, graph = planted([50, 50, 50, 50], seed=5, inside=0.3, between=0.02)
    labels = tree_of(graph).cut_persistent(graph)
    dense = graph.toarray()
    volume, total = dense.sum(axis=1), dense.sum()
    gain = dense / total - np.outer(volume, volume) / total**2
    member = np.eye(labels.max() + 1)[labels]
    between = member.T @ gain @ member
    assert labels.max() >= 3
    assert between[~np.eye(len(between), dtype=bool)].max() < 0
    labels = tree_of(planted([200], seed=5)[1]).cut_persistent(planted([200], seed=5)[1])
    assert labels.max() == 0, "random links have no clusters"


@given(st.integers(0, 10**6), st.integers(1, 80))
@settings(max_examples=40, deadline=None)
def test_no_cluster_of_a_balanced_cut_is_too_large(seed, largest):
    _, graph = planted([40, 25, 15], seed, between=0.05)
    labels = tree_of(graph).cut_balanced(graph, largest)
    assert np.bincount(labels).max() <= largest
    assert len(labels) == 80


def test_a_balanced_cut_leaves_few_small_clusters():
    _, graph = planted([90, 50, 30, 30], seed=6, between=0.03)
    plain = np.bincount(tree_of(graph).cut_balanced(graph, 40, min_size=1))
    mended = np.bincount(tree_of(graph).cut_balanced(graph, 40, min_size=18))
    assert (mended < 18).sum() < (plain < 18).sum()
    assert mended.max() <= 40


def test_without_any_link_each_is_a_cluster():
    graph = sparse.csr_matrix((6, 6))
    assert sorted(tree_of(graph).cut_persistent(graph).tolist()) == list(range(6))


def test_wrong_settings_are_one_sentence():
    _, graph = planted([5, 5])
    tree = tree_of(graph)
    with pytest.raises(ParameterError, match=r"^n_clusters must be in 1\.\.10, got 11$"):
        tree.cut(11)
    with pytest.raises(ParameterError, match=r"^min_size must be at least 1, got 0$"):
        tree.cut_persistent(graph, 0)
    with pytest.raises(ParameterError, match=r"^balanced must be in 1\.\.10, got 0$"):
        tree.cut_balanced(graph, 0)
