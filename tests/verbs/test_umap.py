"""The map keeps neighbours together, wherever it starts and whatever it is called."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import kithkin as kk
from kithkin.metrics.embedding import trustworthiness


def test_the_map_keeps_neighbours_and_groups_together(finished):
    found = kk.umap(finished)
    assert found.shape == (600, 2)
    assert found.dtype == np.float32
    assert np.array_equal(found, finished.read("obsm/X_umap"))
    assert trustworthiness(finished.read("obsm/X_pca"), found, 15) > 0.85
    groups = finished.read("obs/group").to_numpy()
    near = NearestNeighbors(n_neighbors=6).fit(found).kneighbors(found, return_distance=False)[:, 1:]
    assert (groups[near] == groups[:, None]).mean() > 0.9
    assert set(finished.read("uns/umap")["params"]) == {"a", "b"}


def test_the_callback_sees_every_round_also_of_a_map_that_is_there(finished, listing):
    seen = []
    kk.umap(finished, n_epochs=7)
    before = listing(finished)
    found = kk.umap(finished, n_epochs=7, callback=lambda epoch, xy: seen.append((epoch, xy.copy())))
    assert [epoch for epoch, _ in seen] == list(range(7)) or [epoch for epoch, _ in seen] == list(range(1, 8))
    assert np.array_equal(seen[-1][1], found)
    assert listing(finished) == before


def test_the_start_can_be_given(finished):
    finished.write({"obsm/start": np.random.default_rng(0).normal(size=(600, 3))})
    maps = [kk.umap(finished, n_epochs=20, init=init, key=None) for init in ("pca", "kmeans", "obsm/start", "start")]
    assert np.array_equal(maps[2], maps[3])
    assert len({m.tobytes() for m in maps}) == 3
    assert all(np.isfinite(m).all() for m in maps)


def test_the_number_of_centers_is_that_of_the_start_from_centroids(finished):
    few, usual = (kk.umap(finished, n_epochs=1, init="kmeans", n_centers=n, key=None) for n in (5, None))
    assert not np.array_equal(few, usual)
    with pytest.raises(kk.ParameterError, match="n_centers has no effect with init='pca'"):
        kk.umap(finished, n_centers=5)


@pytest.mark.parametrize(
    ("key", "element", "uns"),
    [("um", "obsm/um", "um"), ("obsm/X_b", "obsm/X_b", "b"), ("xxpca", "obsm/xxpca", "xxpca")],
)
def test_another_key_touches_nothing_else(finished, key, element, uns):
    before = finished.read("uns/pca")["variance"]
    found = kk.umap(finished, n_epochs=5, key=key)
    assert np.array_equal(finished.read(element), found)
    assert "params" in finished.read(f"uns/{uns}")
    assert np.array_equal(finished.read("uns/pca")["variance"], before)
    assert set(finished.history()["state"]) == {"current"}


def test_a_new_graph_makes_the_map_stale(finished, states):
    kk.umap(finished, n_epochs=5)
    kk.neighbors(finished, 8)
    assert states(finished)["umap"] == "stale"
    kk.umap(finished, n_epochs=5)
    assert states(finished)["umap"] == "current"


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.neighbors\(ds\) first"):
        kk.umap(dataset)
    kk.pca(dataset, 5)
    kk.neighbors(dataset)
    with pytest.raises(kk.MissingResultError, match="obsm/nothing is not in"):
        kk.umap(dataset, init="nothing")
    with pytest.raises(kk.ParameterError, match="key must lie in obsm"):
        kk.umap(dataset, key="obs/map")
