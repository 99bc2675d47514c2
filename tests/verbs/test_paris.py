"""Clusters are named by size, and are what the methods promise."""

import igraph
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import kithkin as kk


def assert_named_by_size(labels, ds):
    assert labels.index.equals(ds.obs_names)
    sizes = labels.value_counts(sort=False)
    assert list(sizes.index) == [str(i) for i in range(len(sizes))]
    assert np.all(np.diff(sizes) <= 0)
    assert sizes.min() > 0


def test_leiden_finds_the_groups(finished):
    labels = kk.leiden(finished, 0.5)
    assert_named_by_size(labels, finished)
    assert adjusted_rand_score(finished.read("obs/group"), labels) > 0.95
    pd.testing.assert_series_equal(labels, finished.read("obs/leiden"))


def test_the_modularity_is_igraphs(finished):
    graph = finished.read("obsp/connectivities").tocoo()
    upper = graph.row < graph.col
    network = igraph.Graph(600, list(zip(graph.row[upper].tolist(), graph.col[upper].tolist(), strict=True)))
    codes = finished.read("obs/leiden").cat.codes.tolist()
    expected = network.modularity(codes, weights=graph.data[upper].tolist())
    assert finished.read("uns/leiden")["modularity"] == pytest.approx(expected, abs=1e-4)


def test_resolution_sets_how_many(finished):
    counts = [kk.leiden(finished, r, key=None).nunique() for r in (0.05, 1.0, 6.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]


def test_kmeans_gives_nearest_centres_by_size(finished):
    labels = kk.kmeans(finished, 4)
    assert_named_by_size(labels, finished)
    X, about = finished.read("obsm/X_pca").astype(float), finished.read("uns/kmeans")
    squared = ((X[:, None] - about["centers"][None]) ** 2).sum(2)
    assert np.array_equal(squared.argmin(1), labels.cat.codes)
    assert about["inertia"] == pytest.approx(squared.min(1).sum(), rel=1e-4)
    means = np.stack([X[labels == str(i)].mean(0) for i in range(4)])
    np.testing.assert_allclose(means, about["centers"], atol=0.05)


def test_kmeans_of_equal_rows_has_no_empty_cluster(finished):
    finished.write({"obsm/equal": np.ones((600, 3), np.float32)})
    assert kk.kmeans(finished, 5, on="obsm/equal", key="equal").nunique() >= 1
    assert_named_by_size(finished.read("obs/equal"), finished)


def test_calling_again_is_a_look_up_and_a_change_makes_markers_stale(finished, listing, states):
    before = listing(finished)
    kk.leiden(finished, 0.5)
    assert listing(finished) == before
    kk.leiden(finished, 2.0)
    assert states(finished)["leiden"] == "current"
    assert states(finished)["markers"] == "stale"
    kk.markers(finished, "leiden")
    assert set(states(finished).values()) == {"current"}


def test_a_method_that_takes_the_name_of_another_takes_its_place(finished, states):
    kk.kmeans(finished, 3, key="leiden")
    assert "leiden" not in states(finished)
    assert states(finished)["markers"] == "stale"
    kk.leiden(finished, 0.5)
    assert states(finished)["leiden"] == "current"


def test_what_is_missing_names_the_verb(dataset):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.pca\(ds\) first"):
        kk.kmeans(dataset)
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.neighbors\(ds\) first"):
        kk.leiden(dataset)


def test_what_is_wrong_is_named(finished):
    with pytest.raises(kk.ParameterError, match=r"n_clusters must be in 1\.\.600, got 601"):
        kk.kmeans(finished, 601)
    with pytest.raises(kk.ParameterError, match="resolution"):
        kk.leiden(finished, -1.0)
    with pytest.raises(kk.ParameterError, match="key must lie in obs, such as 'obs/x', got 'uns/x'"):
        kk.leiden(finished, key="uns/x")


def test_paris_finds_the_groups_and_keeps_the_tree(finished, states):
    labels = kk.paris(finished)
    assert_named_by_size(labels, finished)
    assert adjusted_rand_score(finished.read("obs/group"), labels) > 0.95
    tree = finished.read("uns/paris_tree")
    assert tree["children"].shape == (finished.n_obs - 1, 2)
    assert np.array_equal(tree["heights"], np.sort(tree["heights"]))
    assert tree["sizes"][-1] == finished.n_obs


def test_another_cut_does_not_grow_the_tree_again(finished, monkeypatch):
    kk.paris(finished)
    monkeypatch.setattr("kithkin.verbs.paris.grow", lambda *_: pytest.fail("the tree is there"))
    assert kk.paris(finished, 7, key="obs/seven").nunique() == 7
    assert kk.paris(finished, 3, key=None).nunique() == 3
    assert kk.paris(finished, balanced=100, key="obs/even").value_counts().max() <= 100
    assert finished.read("uns/seven")["tree"] == "uns/paris_tree"


def test_a_tree_of_the_weights_as_they_are_stands_beside(finished):
    kk.paris(finished)
    kk.paris(finished, 4, weights="graph", key="obs/plain")
    assert {"uns/paris_tree", "uns/paris_tree_graph"} <= set(finished.keys())


def test_a_new_graph_makes_the_tree_and_its_cuts_stale(finished, states):
    kk.paris(finished, 5)
    kk.neighbors(finished, 8)
    found = states(finished)
    assert found["paris"] == found["paris_tree"] == "stale"
    kk.paris(finished, 5)
    assert states(finished)["paris"] == "current"


def test_cuts_that_cannot_be(finished):
    with pytest.raises(kk.ParameterError, match=r"n_clusters must be in 1\.\.600, got 0"):
        kk.paris(finished, 0)
    with pytest.raises(kk.ParameterError, match="balanced and n_clusters cannot both be given"):
        kk.paris(finished, 3, balanced=10)
