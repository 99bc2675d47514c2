import anndata
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

import kithkin as kk

pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    return kk.read(kk.datasets.simulate_counts(400, 150, 3, seed=1), to=tmp_path_factory.mktemp("latent") / "a.zarr")


def test_clusters_are_stored_with_what_explains_them(ds):
    found = kk.latent_clusters(ds, 3, n_latent=4, n_epochs=40)
    assert adjusted_rand_score(ds.obs["group"].astype(str), found) > 0.95
    stored = anndata.read_zarr(ds.path)
    assert stored.obs["latent"].cat.categories.tolist() == ["0", "1", "2"]
    assert stored.obsm["latent_probability"].shape == (400, 3)
    assert stored.obsm["latent_embedding"].shape == (400, 4)
    np.testing.assert_allclose(np.exp(stored.varm["latent_log_mean"]).sum(axis=0), 1, rtol=1e-3)
    assert stored.uns["latent"]["means"].shape == (3, 4)
    markers = kk.markers(ds, by="obs/latent")
    assert len(markers) > 0


def test_labels_of_some_cells_are_carried_over(ds):
    names = ds.obs["group"].astype(str).map(lambda one: f"kind {one}").to_numpy().astype(object)
    hidden = np.random.default_rng(0).random(400) > 0.15
    ds["obs/known"] = [None if out else name for out, name in zip(hidden, names, strict=True)]
    found = kk.latent_clusters(ds, labels="known", n_latent=4, n_epochs=40, key="carried")
    assert np.mean(found.astype(str).to_numpy()[hidden] == names[hidden]) > 0.95
    assert "obsm/carried_probability" in ds


@pytest.mark.parametrize("init", ["obs/start", "obsm/start"])
def test_clusters_start_from_a_column_or_a_table(ds, init):
    codes = ds.obs["group"].astype("category").cat.codes.to_numpy()
    ds["obs/start"], ds["obsm/start"] = codes.astype(str), np.eye(3)[codes]
    found = kk.latent_clusters(ds, 3, init=init, n_latent=4, n_epochs=40, key=None)
    assert adjusted_rand_score(codes, found) > 0.9


def test_fewer_clusters_than_classes_are_refused(ds):
    ds["obs/three"] = ["a", "b", "c", None] * 100
    with pytest.raises(kk.ParameterError, match="n_clusters must be in 3"):
        kk.latent_clusters(ds, 2, labels="three", key=None)


def test_empty_texts_are_no_class_and_tables_without_genes_are_refused(ds):
    names = ds.obs["group"].astype(str).to_numpy()
    ds["obs/some"] = np.where(np.arange(400) % 3 == 0, names, "")
    found = kk.latent_clusters(ds, labels="some", n_latent=3, n_epochs=2, key=None)
    assert sorted(found.cat.categories) == sorted(set(names))
    ds["obsm/proteins"] = np.ones((400, 5))
    with pytest.raises(kk.ParameterError, match="on must be X or a layer"):
        kk.latent_clusters(ds, 2, on="obsm/proteins", key=None)
