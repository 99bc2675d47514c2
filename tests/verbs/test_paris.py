"""Cuts of the tree of the graph, which is grown once."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import kithkin as kk


def test_paris_finds_the_groups_and_keeps_the_tree(finished, assert_named_by_size):
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


def test_supported_clusters_are_those_that_counts_tell_apart(tmp_path):
    rng = np.random.default_rng(0)
    profile = rng.gamma(0.5, 2.0, 400)
    ds = kk.read(rng.poisson(np.tile(profile, (800, 1))), to=tmp_path / "one.zarr")
    kk.pca(ds, 30)
    kk.neighbors(ds, 10)
    kk.paris(ds)
    assert kk.paris(ds, "supported", key="obs/kept").nunique() == 1
    assert ds.history().set_index("step").loc["paris", "state"].tolist() == ["current", "current"]
    with pytest.raises(kk.ParameterError, match="balanced has no effect with n_clusters='supported'"):
        kk.paris(ds, "supported", balanced=50)


def test_supported_clusters_of_values_are_those_with_a_gap_between_them(tmp_path):
    rng = np.random.default_rng(0)
    ds = kk.read(rng.normal(size=(1200, 5)), to=tmp_path / "one.zarr")
    kk.pca(ds, 5, normalize=None)
    kk.neighbors(ds, 15)
    assert kk.paris(ds).nunique() > 2  # what an automatic cut makes of one cloud
    assert kk.paris(ds, "supported", key="obs/kept").nunique() == 1
    maker = ds.lineage.maker("obs/kept")
    assert list(maker.inputs) == ["uns/paris_tree", "obsp/connectivities", "obsm/X_pca"]  # as the graph was
    kk.neighbors(ds, 15, on="X", key="obsp/wide")
    kk.paris(ds, "supported", on="obsp/wide_connectivities", key="obs/wider")
    assert list(ds.lineage.maker("obs/wider").inputs)[-1] == "X"
