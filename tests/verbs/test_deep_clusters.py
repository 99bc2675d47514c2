import logging

import numpy as np
import pytest
from scipy import sparse

import kithkin as kk

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from kithkin.models.deep import phase
from kithkin.models.gates import label_gates
from kithkin.verbs.deep_clusters import deep_clusters

QUICK = {
    "encdec": (32, 8, 32),
    "gates_hidden_dim": 16,
    "start": "kmeans",
    "batch_size": 40,
    "ae_non_gated_epochs": 2,
    "ae_pretrain_epochs": 16,
    "start_global_gates_training_on_epoch": 18,
    "max_epochs": 20,
}


@pytest.fixture(scope="module")
def _few_path(tmp_path_factory):
    counts = kk.datasets.simulate_counts(n_cells=160, n_genes=100, n_groups=4, seed=0)
    return kk.read(counts, to=tmp_path_factory.mktemp("few") / "cells.zarr").path


@pytest.fixture
def dataset(_few_path, copy_of):
    """Few counts, since each test trains."""
    return copy_of(_few_path)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Gates of clusters that are trained too shortly to be good: what is stored and said does not depend on it."""
    monkeypatch.setattr(label_gates, "STEPS", {"gates": 60, "scores": 20})


def test_what_is_stored(dataset):
    labels = deep_clusters(dataset, 4, n_features=40, config=QUICK)
    assert labels.nunique() <= 4
    assert labels.value_counts(sort=False).is_monotonic_decreasing
    assert dataset.read("obsm/deep_probability").shape == (160, 4)
    assert dataset.read("obsm/X_deep").shape == (160, 8)
    assert dataset.read("layers/gates").shape == (160, 100)
    assert dataset.read("varm/deep_gates").shape == (100, 4)
    about = dataset.read("uns/deep")
    assert len(about["history"]["epoch"]) == 20
    assert about["params"]["n_features"] == 40
    assert np.isfinite(about["feature_counts"]["open"])


def test_chosen_features(dataset):
    dataset.write({"var/some": np.arange(100) < 50})
    deep_clusters(dataset, 2, n_features=15, features="some", config=QUICK, key="obs/few")
    gates = dataset.read("layers/few_gates")
    assert gates.shape == (160, 100)
    assert gates.indices.max() < 50
    assert np.isnan(dataset.read("varm/few_gates")[50:]).all()


def test_another_table_has_no_gates_of_genes(dataset):
    dataset.write({"obsm/X_pca": np.random.default_rng(0).normal(size=(160, 6)).astype(np.float32)})
    deep_clusters(dataset, 2, on="obsm/X_pca", config=QUICK, labels="group")
    assert "layers/gates" not in dataset
    assert "obsm/X_deep" in dataset


def test_snapshots_of_the_training_are_stored_and_shown(dataset, tmp_path):
    labels = deep_clusters(dataset, 2, config=QUICK | {"frames": 5})
    frames = dataset.read("uns/deep")["frames"]
    assert frames["coords"].shape == (5, 160, 2)
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


def test_classes_that_are_looked_at_are_part_of_what_is_asked(dataset, caplog):
    watched = QUICK | {"validate": True, "validate_every": 5}
    first = deep_clusters(dataset, 4, config=watched)
    assert "ari" not in dataset.read("uns/deep")["history"]
    second = deep_clusters(dataset, 4, config=watched, labels="group")
    about = dataset.read("uns/deep")
    assert {"accuracy", "nmi", "ari"} <= set(about["history"])
    assert about["params"]["labels"] == "obs/group"
    assert first.equals(second), "for looking only"
    assert not caplog.records
    entry = dataset.lineage.maker("obs/deep")
    deep_clusters(dataset, 4, config=watched, labels="obs/group")
    assert dataset.lineage.maker("obs/deep") == entry
    kk.annotate(dataset, "group", ["a", "b"] * 80)
    assert dataset.lineage.is_stale(dataset.lineage.maker("obs/deep"))


def test_classes_that_nothing_looks_at_are_said_to_have_no_effect(dataset, caplog):
    deep_clusters(dataset, 2, config=QUICK)
    with caplog.at_level(logging.WARNING, "kithkin"):
        deep_clusters(dataset, 2, config=QUICK, labels="group")
    assert [record.message for record in caplog.records] == [
        "labels='group' has no effect without config={\"validate\": True}"
    ]
    assert dataset.history()["step"].tolist().count("deep_clusters") == 1


def test_gates_that_were_too_many_to_keep_are_said_to_be_missing(dataset, monkeypatch):
    monkeypatch.setattr(phase, "DENSE", 0.0)
    monkeypatch.setattr(phase, "FEW", 1)
    with pytest.warns(UserWarning, match="too many to keep"):
        deep_clusters(dataset, 2, config=QUICK)
    assert dataset.read("layers/gates").nnz == 0
    about = dataset.read("uns/deep")
    assert not about["gates_kept"]
    assert about["scale"] == "log1p"
    with pytest.raises(kk.ParameterError, match=r"layers/gates holds none, as \d+ gates were open in a row, too many"):
        kk.explain(dataset, names=dataset.obs_names[:2].tolist())
    assert len(kk.explain(dataset, threshold=0))


def test_gates_of_rows_are_not_listed_for_the_clusters_of_another_training(dataset):
    names = dataset.obs_names[:2].tolist()
    deep_clusters(dataset, 2, config=QUICK)
    assert dataset.read("uns/deep")["gates_kept"]
    kk.explain(dataset, names=names)
    dataset.write({"obsm/X_pca": np.random.default_rng(0).normal(size=(160, 6)).astype(np.float32)})
    deep_clusters(dataset, 2, on="obsm/X_pca", config=QUICK)
    with pytest.raises(
        kk.ParameterError, match=r"layers/gates was made with another obs/deep .* kithkin.deep_clusters"
    ):
        kk.explain(dataset, names=names)
    deep_clusters(dataset, 2, config=QUICK)
    assert set(kk.explain(dataset, names=names)["observation"]) <= set(names)


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_the_kind_of_the_dataset_says_how_x_is_scaled(tmp_path, form):
    counts = kk.datasets.simulate_counts(n_cells=80, n_genes=60, n_groups=2, seed=0)
    dense = counts.X.toarray()
    for name, kind, wanted in (("c", "auto", "log1p"), ("v", "values", "minmax")):
        counts.X = form(dense)
        ds = kk.read(counts, to=tmp_path / f"{name}.zarr", kind=kind)
        deep_clusters(ds, 2, config=QUICK)
        assert ds.read("uns/deep")["scale"] == wanted


@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_images_are_no_counts_sparse_or_dense(tmp_path, form):
    anndata = pytest.importorskip("anndata")
    X = kk.datasets.digits().X[:80]
    ds = kk.read(anndata.AnnData(form(X.toarray() if sparse.issparse(X) else X)), to=tmp_path / "a.zarr")
    deep_clusters(ds, 2, config=QUICK)
    assert ds.read("uns/deep")["scale"] == "minmax"


def test_a_look_up_says_that_it_writes_no_event_files(dataset, caplog, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    deep_clusters(dataset, 2, config=QUICK)
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "kithkin"):
        deep_clusters(dataset, 2, config=QUICK | {"tensorboard": True})
    wanted = "obs/deep is there already, so nothing is trained and no event files written: key=None trains"
    assert [record.message for record in caplog.records] == [wanted]
    assert not (tmp_path / "runs").exists()
    deep_clusters(dataset, 2, config=QUICK | {"tensorboard": True}, key=None)
    assert list((tmp_path / "runs" / "0").iterdir())
