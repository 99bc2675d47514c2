"""Communities are named by size, with the modularity that igraph computes."""

import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import kithkin as kk


def test_leiden_finds_the_groups(finished, assert_named_by_size):
    labels = kk.leiden(finished, 0.5)
    assert_named_by_size(labels, finished)
    assert adjusted_rand_score(finished.read("obs/group"), labels) > 0.95
    pd.testing.assert_series_equal(labels, finished.read("obs/leiden"))


def test_the_modularity_is_that_of_igraph(finished):
    igraph = pytest.importorskip("igraph")
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
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.neighbors\(ds\) first"):
        kk.leiden(dataset)


def test_what_is_wrong_is_named(finished):
    with pytest.raises(kk.ParameterError, match="resolution"):
        kk.leiden(finished, -1.0)
    with pytest.raises(kk.ParameterError, match="key must lie in obs, such as 'obs/x', got 'uns/x'"):
        kk.leiden(finished, key="uns/x")
