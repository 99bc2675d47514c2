import numpy as np
import pytest
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.models.graphs.partition import cut_quality, merge_groups, modularity, quotient


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(2)
    dense = np.triu(rng.random((40, 40)) * (rng.random((40, 40)) < 0.3), 1)
    return sparse.csr_matrix(dense + dense.T)


def association(graph, labels):
    dense = graph.toarray()
    return sum(
        dense[np.ix_(labels == k, labels == k)].sum() / dense[labels == k].sum() for k in range(labels.max() + 1)
    )


def test_modularity_is_that_of_igraph(graph):
    igraph = pytest.importorskip("igraph")
    labels = np.random.default_rng(0).integers(0, 3, 40)
    upper = sparse.triu(graph).tocoo()
    theirs = igraph.Graph(40, list(zip(upper.row, upper.col, strict=True)))
    assert np.isclose(modularity(graph, labels), theirs.modularity(labels.tolist(), weights=upper.data.tolist()))
    assert modularity(sparse.csr_matrix((3, 3)), np.zeros(3, int)) == 0


def test_the_quality_of_a_cut_is_the_definition(graph):
    labels = np.random.default_rng(1).integers(0, 4, 40)
    dense = graph.toarray()
    cut = dense[labels[:, None] != labels].sum() / dense.sum()
    even = sum((dense[labels == k].sum() / dense.sum()) ** 2 for k in range(4))
    assert np.isclose(cut_quality(graph, labels), -np.log(cut) - 3 * np.log(even))
    assert cut_quality(sparse.csr_matrix((3, 3)), np.zeros(3, int)) == -np.inf


def test_the_quality_of_a_cut_keeps_what_stands_apart_where_modularity_halves():
    """A large group of two loose halves and a small one: two clusters."""
    sizes = (30, 30, 6)
    place = np.repeat(np.arange(3), sizes)
    graph = np.where(place[:, None] == place, 1.0, 0.0)
    graph[np.ix_(place == 0, place == 1)] = graph[np.ix_(place == 1, place == 0)] = 0.2
    apart, halves = (place == 2).astype(int), (place == 1).astype(int)
    assert modularity(graph, halves) > modularity(graph, apart)
    assert cut_quality(graph, apart) > cut_quality(graph, halves)


@pytest.mark.parametrize(("by", "index"), [("modularity", modularity), ("cut", association)])
def test_each_merge_is_the_best_of_all(graph, by, index):
    labels = np.arange(40) % 6
    found = merge_groups(graph, labels, 5, by)
    pairs = [(a, b) for a in range(6) for b in range(a)]
    others = [np.unique(np.where(labels == a, b, labels), return_inverse=True)[1] for a, b in pairs]
    assert found.max() == 4
    assert np.isclose(index(graph, found), max(index(graph, other) for other in others))
    again = merge_groups(graph, labels, 2, by)
    assert all(len(np.unique(again[labels == k])) == 1 for k in range(6))
    assert set(again) == {0, 1}


def test_the_quotient_keeps_the_weight(graph):
    weights = quotient(graph, np.arange(40) % 7)
    assert np.isclose(weights.sum(), graph.sum())
    assert np.allclose(weights, weights.T)


def test_what_is_impossible_is_named(graph):
    with pytest.raises(ParameterError, match=r"n_groups must be in 1\.\.2, got 3"):
        merge_groups(graph, np.arange(40) % 2, 3)
    with pytest.raises(ParameterError, match="by must be one of"):
        merge_groups(graph, np.arange(40) % 2, 1, by="size")
