from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.graphs.partition import quotient
from kithkin.models.leiden import Leiden, by_size
from kithkin.models.neighbors.neighbors import Neighbors


def planted(sizes, seed=0, inside=0.3, between=0.01):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    chance = np.where(truth[:, None] == truth, inside, between)
    upper = np.triu(rng.random(chance.shape) < chance, 1) * rng.uniform(0.5, 1.0, chance.shape)
    return truth, sparse.csr_matrix((upper + upper.T).astype(np.float32))


def test_finds_planted_groups_numbered_by_descending_size():
    truth, graph = planted([60, 90, 40])
    model = Leiden().fit(graph)
    assert model.labels_.dtype == np.int32
    assert model.n_clusters_ == 3
    np.testing.assert_array_equal(model.labels_, np.array([1, 0, 2])[truth])


def test_modularity_is_its_definition():
    _, graph = planted([30, 40], seed=3)
    model = Leiden(0.8).fit(graph)
    dense = graph.toarray().astype(float)
    strength, same = dense.sum(0), model.labels_[:, None] == model.labels_
    expected = ((dense - np.outer(strength, strength) / dense.sum()) * same).sum() / dense.sum()
    assert model.modularity_ == pytest.approx(expected, abs=1e-6)


def test_same_seed_same_labels_and_the_callers_random_stream_is_untouched():
    _, graph = planted([50, 50, 50, 50], between=0.15)
    random.seed(7)
    first = Leiden(seed=1).fit(graph).labels_
    after = random.random()
    random.seed(7)
    assert random.random() == after
    np.testing.assert_array_equal(first, Leiden(seed=1).fit(graph).labels_)


@pytest.mark.parametrize("memory", [1 << 10, 1 << 30])
def test_a_graph_in_blocks_is_partitioned_alike_whether_it_is_held_or_read_again(memory):
    _, graph = planted([50, 50, 50, 50], between=0.15)
    for one in (graph, graph.astype(np.float64)):
        whole = Leiden(seed=1, max_iter=4).fit(one)
        model = Leiden(seed=1, max_iter=4).fit(InMemory(one, 17), Execution(memory=memory))
        np.testing.assert_array_equal(model.labels_, whole.labels_)
        assert model.modularity_ == whole.modularity_
    with pytest.raises(ParameterError, match="symmetric"):
        Leiden().fit(InMemory(sparse.csr_matrix(sparse.triu(graph)), 17))


def ring_of_groups(n_groups=40, size=6):
    """Complete groups in a ring, each tied to the next by one link: modularity has many optima that are close."""
    dense = np.kron(np.eye(n_groups), np.ones((size, size)))
    ends = np.arange(0, n_groups * size, size)
    dense[ends, np.roll(ends + 1, -1)] = dense[np.roll(ends + 1, -1), ends] = 1
    np.fill_diagonal(dense, 0)
    return sparse.csr_matrix(dense)


def grid(side=30):
    path = sparse.diags_array([np.ones(side - 1)] * 2, offsets=[-1, 1])
    return sparse.csr_matrix(sparse.kron(path, sparse.eye_array(side)) + sparse.kron(sparse.eye_array(side), path))


def near_rows(n_groups=8, n_rows=800):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n_rows, 6)) + 1.5 * rng.normal(size=(n_groups, 6))[rng.integers(0, n_groups, n_rows)]
    return Neighbors(15).fit(X.astype(np.float32)).connectivities_


GRAPHS = {
    "planted": lambda: planted([80, 60, 40, 20], between=0.12)[1],
    "random": lambda: planted([600], inside=0.02)[1],
    "ring": ring_of_groups,
    "grid": grid,
    "neighbours": near_rows,
}


def communities_of_igraph(graph, objective="modularity", resolution=1.0, max_iter=2, seed=0):
    igraph = pytest.importorskip("igraph")
    upper = sparse.triu(graph, 1).tocoo()
    peer = igraph.Graph(n=graph.shape[0], edges=list(zip(upper.row.tolist(), upper.col.tolist(), strict=True)))
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = peer.community_leiden(
            objective, weights=upper.data.tolist(), resolution=resolution, n_iterations=max_iter
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.array(found.membership)


def quality_of(graph, labels, objective="modularity", resolution=1.0):
    weights = quotient(graph.astype(float), labels)
    if objective == "modularity":
        return np.trace(weights) / weights.sum() - resolution * np.square(weights.sum(0) / weights.sum()).sum()
    return (np.trace(weights) - resolution * np.square(np.bincount(labels)).sum()) / weights.sum()


@pytest.mark.parametrize("max_iter", [2, -1])
@pytest.mark.parametrize("name", GRAPHS)
def test_as_good_as_igraph_on_the_mean_over_seeds(name, max_iter):
    graph = GRAPHS[name]()
    ours = [Leiden(max_iter=max_iter, seed=seed).fit(graph).modularity_ for seed in range(20)]
    theirs = [quality_of(graph, communities_of_igraph(graph, max_iter=max_iter, seed=seed)) for seed in range(20)]
    # four standard errors of the difference: the optima that seeds find differ where groups are weak
    error = np.sqrt((np.var(ours) + np.var(theirs)) / 20)
    assert np.mean(ours) >= np.mean(theirs) - max(1e-4 * np.mean(theirs), 4 * error)


@pytest.mark.parametrize(("objective", "resolution"), [("modularity", 3.0), ("cpm", 0.05), ("cpm", 0.3)])
def test_as_good_as_igraph_at_other_settings(objective, resolution):
    graph = GRAPHS["neighbours"]()
    ours = [Leiden(resolution, objective=objective, seed=seed).fit(graph).labels_ for seed in range(10)]
    theirs = [communities_of_igraph(graph, objective, resolution, seed=seed) for seed in range(10)]
    reached, wanted = (
        np.mean([quality_of(graph, labels, objective, resolution) for labels in found]) for found in (ours, theirs)
    )
    assert reached >= wanted - 0.003 * abs(wanted)


def test_groups_that_stand_apart_are_those_of_igraph():
    truth, graph = planted([90, 80, 70, 60])
    np.testing.assert_array_equal(Leiden().fit(graph).labels_, by_size(communities_of_igraph(graph)))
    np.testing.assert_array_equal(Leiden().fit(graph).labels_, truth)


@pytest.mark.parametrize("resolution", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("name", GRAPHS)
def test_communities_are_connected(name, resolution):
    graph = GRAPHS[name]()
    labels = Leiden(resolution).fit(graph).labels_
    for k in range(labels.max() + 1):
        inside = graph[labels == k][:, labels == k]
        assert sparse.csgraph.connected_components(inside, directed=False)[0] == 1


@pytest.mark.parametrize("name", GRAPHS)
def test_no_node_gains_by_a_move_once_nothing_improves(name):
    graph = GRAPHS[name]().astype(float)
    labels = Leiden(max_iter=-1).fit(graph).labels_
    strength, total = np.asarray(graph.sum(1)).ravel(), graph.sum()
    member = np.eye(labels.max() + 1)[labels]
    gain = graph @ member - strength[:, None] * (strength @ member - strength[:, None] * member) / total
    own = gain[np.arange(len(labels)), labels]
    assert (own >= gain.max(1) - 1e-6).all()
    assert (own >= -1e-6).all()


def test_more_iterations_are_never_worse():
    graph = GRAPHS["random"]()
    reached = [Leiden(max_iter=max_iter).fit(graph).modularity_ for max_iter in (1, 2, 5, 20, -1)]
    assert reached == sorted(reached)


def test_the_unit_of_the_weights_does_not_matter():
    graph = GRAPHS["grid"]()
    np.testing.assert_array_equal(Leiden().fit(graph * 1024).labels_, Leiden().fit(graph).labels_)


def test_index_and_weight_types_do_not_matter():
    graph = ring_of_groups()
    wide = sparse.csr_matrix(graph)
    wide.indices, wide.indptr = graph.indices.astype(np.int64), graph.indptr.astype(np.int64)
    expected = Leiden().fit(graph).labels_
    for other in (wide, graph.astype(np.float32), graph.astype(np.int32), graph.toarray()):
        np.testing.assert_array_equal(Leiden().fit(other).labels_, expected)


def test_weights_of_zero_are_no_links():
    graph = sparse.block_diag([np.ones((4, 4)), np.ones((3, 3)), np.zeros((2, 2))], format="csr")
    stored = sparse.csr_matrix(np.ones((9, 9)))
    stored.data[:] = graph.toarray().ravel()
    assert stored.nnz == 81
    for resolution in (0.0, 1.0):
        assert Leiden(resolution).fit(stored).labels_.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 3]


def test_parts_that_are_not_connected_never_share_a_community():
    graph = sparse.block_diag([planted([20, 20], seed=s)[1] for s in range(4)], format="csr")
    labels = Leiden(0.01).fit(graph).labels_
    assert labels.tolist() == np.repeat(np.arange(4), 40).tolist()


def test_an_empty_graph_has_no_communities():
    model = Leiden().fit(sparse.csr_matrix((0, 0)))
    assert model.labels_.shape == (0,)
    assert model.n_clusters_ == 0


def test_resolution_and_potts_objective_refine():
    _, graph = planted([60, 60])
    assert Leiden(8.0).fit(graph).n_clusters_ > Leiden(1.0).fit(graph).n_clusters_
    assert Leiden(0.05, objective="cpm").fit(graph).n_clusters_ == 2


def test_a_graph_without_links_is_all_singletons():
    model = Leiden().fit(sparse.csr_matrix((4, 4)))
    assert model.labels_.tolist() == [0, 1, 2, 3]
    assert model.modularity_ == 0


def test_diagonal_is_not_looked_at_and_the_input_is_left_alone():
    _, graph = planted([30, 30])
    looped = (graph + sparse.identity(60, format="csr", dtype=np.float32) * 100).tocsr()
    before = looped.copy()
    np.testing.assert_array_equal(Leiden().fit(looped).labels_, Leiden().fit(graph).labels_)
    assert (looped != before).nnz == 0


def test_ties_in_size_are_numbered_by_first_member():
    assert by_size(np.array([8, 3, 3, 8, 1])).tolist() == [0, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[0, 1.0], [0, 0]]), "symmetric"),
        (np.array([[0, -1.0], [-1, 0]]), "not negative"),
        (np.array([[0, np.nan], [np.nan, 0]]), "finite"),
    ],
)
def test_refuses_what_is_not_a_graph(graph, message):
    with pytest.raises(ParameterError, match=message):
        Leiden().fit(graph)


@pytest.mark.parametrize("settings", [{"resolution": -1}, {"max_iter": 0}, {"objective": "q"}])
def test_refuses_settings_out_of_range(settings):
    with pytest.raises(ParameterError, match=next(iter(settings))):
        Leiden(**settings).fit(np.ones((3, 3)))
