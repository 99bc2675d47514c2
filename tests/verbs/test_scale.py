"""Scaling of a dataset: what is stored, categories, notes, and what it does for clusters of a table."""

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.metrics import adjusted_rand_score

import kithkin as kk


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    values = pd.DataFrame(
        {"gram": rng.normal(0, 1, 60), "price": rng.lognormal(9, 2, 60), "rate": rng.normal(0, 1e-4, 60)}
    )
    values["colour"] = ["red", "green", "blue"] * 20
    return kk.read(values, to=tmp_path / "a.zarr")


def test_what_is_stored(table):
    scaled = kk.scale(table, "robust")
    np.testing.assert_array_equal(table.read("obsm/X_scaled"), scaled)
    np.testing.assert_array_equal(scaled, kk.models.Scaler("robust").fit_transform(table.blocks()))
    about = table.read("uns/scaled")
    assert list(about["columns"]) == ["gram", "price", "rate"]
    assert list(about["transform"]) == ["none", "log1p", "none"]


def test_categories_become_columns(table):
    scaled = kk.scale(table, categories="colour")
    assert scaled.shape == (60, 6)
    assert list(table.read("uns/scaled")["columns"])[3:] == ["colour=blue", "colour=green", "colour=red"]
    np.testing.assert_array_equal(scaled[:, 3:], pd.get_dummies(table.obs["colour"]).to_numpy(np.float32))


def test_too_many_categories_are_refused(table):
    kk.annotate(table, "name", [f"n{i}" for i in range(60)])
    with pytest.raises(kk.ParameterError, match="obs/name has 60 labels: at most 50 take part"):
        kk.scale(table, categories=["name"])


def test_notes_say_what_was_done(table, caplog):
    with caplog.at_level(logging.INFO, "kithkin"):
        kk.scale(table)
    assert "the columns are in different units, so each is divided by its spread around the median" in caplog.messages
    assert "1 skewed column is brought to a logarithm first (log1p): price" in caplog.messages


def test_a_note_says_that_one_column_carries_a_component(tmp_path, caplog):
    wine = load_wine(as_frame=True)
    ds = kk.read(wine.data, to=tmp_path / "wine.zarr")
    with caplog.at_level(logging.WARNING, "kithkin"):
        kk.pca(ds, 5, normalize=None)
        kk.scale(ds)
        said = len(caplog.messages)
        kk.pca(ds, 5, on="obsm/X_scaled", key="obsm/X_other")
    assert any("component 1 (100 % of the variance) is almost only column proline" in line for line in caplog.messages)
    assert len(caplog.messages) == said


@pytest.mark.parametrize(
    ("load", "leiden", "paris"),
    [(load_wine, 0.5, 0.6), (load_breast_cancer, 0.35, 0.6), (load_digits, 0.9, 0.8)],
    ids=["wine", "breast cancer", "digits"],
)
def test_classes_of_tables_are_found(load, leiden, paris, tmp_path):
    bunch = load(as_frame=True)
    table = bunch.data.assign(kind=[str(bunch.target_names[i]) for i in bunch.target])
    table.to_csv(tmp_path / "table.csv", index=False)
    ds = kk.run(tmp_path / "table.csv", to=tmp_path / "out.zarr")
    assert adjusted_rand_score(table["kind"], ds.obs["leiden"]) >= leiden
    assert adjusted_rand_score(table["kind"], kk.paris(ds).astype(str)) >= paris


def test_a_table_that_would_not_fit_the_memory_is_refused(tmp_path):
    kk.read(np.random.default_rng(0).normal(size=(4000, 4000)), to=tmp_path / "wide.zarr")
    with pytest.raises(kk.ParameterError, match=r"X scaled takes 0\.1 GB, and memory is 0\.1 GB: take fewer columns"):
        kk.scale(kk.open(tmp_path / "wide.zarr", memory="60MB"))


def test_a_run_does_not_scale_log_normalised_counts(small_counts, tmp_path):
    counts = small_counts.X.toarray()
    values = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
    said = []
    ds = kk.run(values, to=tmp_path / "a.zarr", n_components=10, say=said.append)
    assert "obsm/X_scaled" not in ds
    assert "values of genes: the columns are not scaled" in said
