import numpy as np
import pytest

import kithkin as kk

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from kithkin.verbs.deep import deep_clusters

QUICK = {
    "encdec": (32, 8, 32),
    "gates_hidden_dim": 16,
    "start": "kmeans",
    "batch_size": 50,
    "ae_non_gated_epochs": 2,
    "ae_pretrain_epochs": 32,
    "start_global_gates_training_on_epoch": 36,
    "max_epochs": 40,
}


def test_what_is_stored(dataset):
    labels = deep_clusters(dataset, 4, n_features=40, config=QUICK)
    assert labels.nunique() <= 4
    assert labels.value_counts(sort=False).is_monotonic_decreasing
    assert dataset.read("obsm/deep_probability").shape == (600, 4)
    assert dataset.read("obsm/X_deep").shape == (600, 8)
    assert dataset.read("layers/gates").shape == (600, 500)
    assert dataset.read("varm/deep_gates").shape == (500, 4)
    about = dataset.read("uns/deep")
    assert len(about["history"]["epoch"]) == 40
    assert about["params"]["n_features"] == 40
    assert np.isfinite(about["feature_counts"]["open"])


def test_chosen_features(dataset):
    dataset.write({"var/some": np.arange(500) < 50})
    deep_clusters(dataset, 2, n_features=15, features="some", config=QUICK, key="obs/few")
    gates = dataset.read("layers/few_gates")
    assert gates.shape == (600, 500)
    assert gates.indices.max() < 50
    assert np.isnan(dataset.read("varm/few_gates")[50:]).all()


def test_another_table_has_no_gates_of_genes(dataset):
    dataset.write({"obsm/X_pca": np.random.default_rng(0).normal(size=(600, 6)).astype(np.float32)})
    deep_clusters(dataset, 2, on="obsm/X_pca", config=QUICK, labels="group")
    assert "layers/gates" not in dataset
    assert "obsm/X_deep" in dataset


def test_snapshots_of_the_training_are_stored_and_shown(dataset, tmp_path):
    labels = deep_clusters(dataset, 2, config=QUICK | {"frames": 5})
    frames = dataset.read("uns/deep")["frames"]
    assert frames["coords"].shape == (5, 600, 2)
    assert (frames["labels"][-1] == labels.cat.codes.to_numpy()).all()
    film = kk.animate(dataset, "training", to=tmp_path / "a.gif", size=(160, 120))
    assert film.n_frames == 21
    anndata = pytest.importorskip("anndata")
    assert anndata.read_zarr(dataset.path).uns["deep"]["frames"]["phase"][-1] == "end"


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.ParameterError, match="unknown settings: depth"):
        deep_clusters(dataset, 2, config={"depth": 3})
    with pytest.raises(kk.MissingResultError, match="var/some"):
        deep_clusters(dataset, 2, features="some", config=QUICK)
