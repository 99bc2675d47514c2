"""The graph of neighbours is scanpy's."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

import kithkin as kk


def test_the_graph_is_the_fuzzy_union_of_sklearns_neighbours(finished, fuzzy_union):
    X = finished.read("obsm/X_pca")
    distances, indices = NearestNeighbors(n_neighbors=15).fit(X.astype(float)).kneighbors(X.astype(float))
    ours, expected = kk.neighbors(finished, 15), fuzzy_union(indices[:, 1:], distances[:, 1:])
    assert (ours != 0).nnz == np.count_nonzero(expected)
    np.testing.assert_allclose(ours.toarray(), expected, atol=1e-4)
    whole = np.zeros((600, 600))
    np.put_along_axis(whole, indices[:, 1:], distances[:, 1:], axis=1)
    np.testing.assert_allclose(finished.read("obsp/distances").toarray(), whole, atol=1e-3)


def test_distances_are_sklearns_and_the_graph_is_symmetric(finished):
    X = finished.read("obsm/X_pca")
    graph = kk.neighbors(finished, 10, key="ten")
    stored = finished.read("obsp/ten_distances")
    found, _ = NearestNeighbors(n_neighbors=10).fit(X).kneighbors(X)
    assert np.all(np.diff(stored.indptr) == 9)
    np.testing.assert_allclose(np.sort(stored.data.reshape(600, 9), 1), found[:, 1:], rtol=1e-3, atol=1e-4)
    assert abs(graph - graph.T).max() == 0
    assert graph.diagonal().max() == 0
    assert 0 < graph.data.min() <= graph.data.max() <= 1
    assert finished.read("uns/ten")["connectivities_key"] == "ten_connectivities"


def test_scanpys_record_tells_what_was_used(finished):
    about = finished.read("uns/neighbors")
    assert about["connectivities_key"] == "connectivities"
    assert about["distances_key"] == "distances"
    assert about["params"] == {"n_neighbors": 15, "method": "umap", "metric": "euclidean", "use_rep": "X_pca"}


def test_a_low_recall_is_noted(finished, caplog):
    assert finished.read("uns/neighbors")["recall"] == 1
    assert "recall" not in kk.summary(finished)
    kk.neighbors(finished, method="partitioned", key="parts")
    assert finished.read("uns/parts")["recall"] > 0.99
    assert not caplog.records
    about = finished.read("uns/neighbors")
    finished.write({"uns/neighbors": {**about, "recall": 0.876}})
    assert "nearest neighbours found: 87.6% (recall, estimated on 1,000 cells)" in kk.summary(finished)


def test_a_note_tells_of_a_low_recall(dataset, caplog, monkeypatch):
    dataset.write({"obsm/noise": np.random.default_rng(0).random((dataset.n_obs, 5)).astype(np.float32)})
    monkeypatch.setattr("kithkin.models.neighbors.search.found_fraction", lambda *_: 0.704)
    kk.neighbors(dataset, method="partitioned", on="obsm/noise")
    assert "about 70% of the nearest neighbours were found (recall 0.70)" in caplog.text


def test_cosine_is_euclidean_of_unit_vectors(finished):
    X = finished.read("obsm/X_pca")
    finished.write({"obsm/unit": X / np.linalg.norm(X, axis=1, keepdims=True)})
    kk.neighbors(finished, metric="cosine", key="cos")
    kk.neighbors(finished, on="obsm/unit", key="unit")
    a, b = finished.read("obsp/cos_distances"), finished.read("obsp/unit_distances")
    same = (a != 0).multiply(b != 0).nnz / b.nnz
    assert same > 0.995
    both = (a != 0).multiply(b != 0).tocoo()
    expected = np.asarray(b[both.row, both.col]).ravel() ** 2 / 2
    np.testing.assert_allclose(np.asarray(a[both.row, both.col]).ravel(), expected, rtol=1e-2, atol=1e-5)


def test_calling_again_is_a_look_up_and_a_change_is_computed(finished, listing, states):
    before = listing(finished)
    kk.neighbors(finished)
    assert listing(finished) == before
    kk.neighbors(finished, 5)
    assert states(finished)["neighbors"] == "current"
    assert states(finished)["leiden"] == states(finished)["markers"] == "stale"
    assert states(finished)["pca"] == "current"


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.pca\(ds\) first"):
        kk.neighbors(dataset)
    kk.pca(dataset, 5)
    with pytest.raises(kk.ParameterError, match=r"n_neighbors must be in 2\.\.600, got 601"):
        kk.neighbors(dataset, 601)
    with pytest.raises(kk.ParameterError, match="metric must be one of"):
        kk.neighbors(dataset, metric="cubic")
    assert "obsp/connectivities" not in dataset


def test_cosine_neighbours_and_a_map_of_counts_as_they_are(dataset):
    kk.neighbors(dataset, 10, on="X", metric="cosine")
    X = sparse.csr_matrix(dataset.to_anndata().X)
    expected, _ = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(X).kneighbors(X)
    found = dataset.read("obsp/distances")
    assert np.allclose(np.sort(found.data.reshape(-1, 9), axis=1), expected[:, 1:], atol=2e-6)
    assert dataset.read("uns/neighbors")["params"]["use_rep"] == "X"
    kk.umap(dataset, n_epochs=100)
    place = pd.DataFrame(dataset.read("obsm/X_umap"))
    groups = dataset.read("obs/group").to_numpy()
    own = place.groupby(groups).transform("mean")
    assert np.linalg.norm(place - own, axis=1).mean() < 0.5 * np.linalg.norm(place - place.mean(), axis=1).mean()
