from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.models.leiden import Leiden, by_size


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


def test_partition_does_not_depend_on_how_edges_were_handed_over(monkeypatch):
    _, graph = planted([50, 70, 30], between=0.1)
    whole = Leiden(max_iter=-1).fit(graph).labels_
    monkeypatch.setattr("kithkin.models.leiden.EDGES_AT_A_TIME", 100)
    np.testing.assert_array_equal(whole, Leiden(max_iter=-1).fit(graph).labels_)


def test_as_good_as_igraph_from_its_own_graph():
    igraph = pytest.importorskip("igraph")
    _, graph = planted([80, 60, 40, 20], between=0.12)
    upper = sparse.triu(graph, 1).tocoo()
    peer = igraph.Graph(n=graph.shape[0], edges=list(zip(upper.row.tolist(), upper.col.tolist(), strict=True)))
    partition = peer.community_leiden("modularity", weights=upper.data.tolist(), n_iterations=2)
    assert Leiden().fit(graph).modularity_ >= partition.modularity - 0.01


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
