"""What verbs compute on a layer, or on log-normalised values, is what they compute on the counts as X."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk

GROUPS = ["a"] * 40 + ["b"] * 40


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 1.5, 60), (80, 60))
    counts[40:, :20] *= 4
    logs = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    counts, logs = (sparse.csr_matrix(X.astype(np.float32)) for X in (counts, logs))
    obs = pd.DataFrame({"g": GROUPS}, index=[f"c{i}" for i in range(80)])
    folder = tmp_path_factory.mktemp("normalization")
    layered = ad.AnnData(logs, obs=obs, layers={"counts": counts})
    plain = ad.AnnData(counts, obs=obs)
    return [kk.read(data, to=folder / f"{n}.zarr", progress=False) for n, data in enumerate((layered, plain))]


def test_markers_of_a_layer_and_of_logarithms_are_those_of_the_counts(datasets, caplog):
    layered, plain = datasets
    expected = kk.markers(plain, "obs/g", key=None)
    assert not caplog.records
    for on in ("layers/counts", "X"):
        table = kk.markers(layered, "obs/g", on=on, key=None).merge(expected, on=["group", "gene"])
        np.testing.assert_allclose(table["score_x"], table["score_y"], atol=1e-4)
        np.testing.assert_allclose(table["logfoldchange_x"], table["logfoldchange_y"], atol=1e-4)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "X of 0.zarr is log-normalised already: its values are taken as they are"
    ]


def test_components_of_a_layer_and_of_logarithms_are_those_of_the_counts(datasets):
    layered, plain = datasets
    expected = kk.pca(plain, 3, genes=None, target_sum=1e4, key=None)
    for on in ("layers/counts", "X"):
        scores = kk.pca(layered, 3, genes=None, on=on, target_sum=1e4, key=None)
        np.testing.assert_allclose(np.abs(scores), np.abs(expected), atol=1e-3)


def test_dispersions_of_a_layer_and_of_logarithms_are_those_of_the_counts(datasets):
    layered, plain = datasets
    expected = kk.variable_genes(plain, 10, flavor="dispersion", key=None)
    for on in ("layers/counts", "X"):
        table = kk.variable_genes(layered, 10, flavor="dispersion", on=on, key=None)
        np.testing.assert_allclose(table["dispersions"], expected["dispersions"], rtol=1e-4)
        np.testing.assert_array_equal(table["highly_variable"], expected["highly_variable"])


def test_smoothed_genes_of_logarithms_are_those_of_the_counts(datasets):
    graph = sparse.csr_matrix(np.kron(np.eye(2), np.ones((40, 40), np.float32)))
    tables = []
    for ds in datasets:
        ds.write({"obsp/connectivities": graph})
        tables.append(kk.smooth(ds, ["0", "30"], key=None))
    np.testing.assert_allclose(*tables, rtol=1e-4)


def test_figures_of_logarithms_are_those_of_the_counts(datasets):
    pytest.importorskip("matplotlib")
    from kithkin.plot.data import describe

    layered, plain = (describe(ds, "5").values for ds in datasets)
    np.testing.assert_allclose(layered, plain, rtol=1e-5)


def test_a_trend_is_found_in_few_genes_and_small_batches_with_any_span(datasets, tmp_path):
    X = (np.random.default_rng(0).random((40, 50)) < 0.3).astype(np.float32)
    ds = kk.read(X, to=tmp_path / "a.zarr", kind="counts", progress=False)
    kk.annotate(ds, "batch", ["x"] * 37 + ["y"] * 3)
    assert kk.variable_genes(ds, 10, batch="batch", key=None)["highly_variable"].sum() == 10
    assert kk.variable_genes(datasets[1], 10, span=0.9, key=None)["highly_variable"].sum() == 10
