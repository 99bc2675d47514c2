"""The diffusion map, the pseudotime in it, and the smoothness of values over the graph."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.verbs.diffusion_map import diffusion_map
from kithkin.verbs.graph_score import graph_score
from kithkin.verbs.pseudotime import pseudotime


@pytest.fixture
def curve(tmp_path):
    """300 cells whose counts change along a curve, with obs["t"]."""
    t = np.sort(np.random.default_rng(0).uniform(0, 1, 300))
    peaks = np.linspace(-0.2, 1.2, 150)
    means = 1 + 20 * np.exp(-(((t[:, None] - peaks) / 0.3) ** 2))
    ds = kk.read(np.random.default_rng(1).poisson(means), to=tmp_path / "curve.zarr")
    ds.write({"obs/t": t})
    kk.pca(ds, 5)
    kk.neighbors(ds)
    return ds


def test_the_map_is_stored_as_scanpy_stores_it(curve):
    found = diffusion_map(curve, 6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(curve.read("obsm/X_diffmap"), found)
    values = curve.read("uns/diffmap_evals")
    assert values.shape == (6,)
    W = curve.read("obsp/connectivities").toarray().astype(float)
    K = W / np.outer(W.sum(0), W.sum(0))
    T = K / np.sqrt(np.outer(K.sum(0), K.sum(0)))
    assert np.linalg.norm(T @ found - found * values, axis=0).max() < 1e-4
    other = diffusion_map(curve, 4, key="X_small")
    assert curve.read("uns/small_evals").shape == (4,)
    assert other.shape == (300, 4)


def test_pseudotime_follows_the_curve_from_any_way_to_name_its_root(curve, listing):
    diffusion_map(curve)
    time = pseudotime(curve, 0)
    assert time.name == "pseudotime"
    assert np.corrcoef(time.rank(), np.arange(300))[0, 1] > 0.98
    assert time.iloc[0] == 0
    assert time.max() == 1
    before = listing(curve)
    pd.testing.assert_series_equal(pseudotime(curve, curve.obs_names[0], key=None), time)
    pd.testing.assert_series_equal(pseudotime(curve, 0), time)
    assert listing(curve) == before
    early = pseudotime(curve, "t < 0.1", key="obs/early")
    assert np.corrcoef(early.rank(), np.arange(300))[0, 1] > 0.9
    assert curve.read("obs/t")[early == 0].max() < 0.1


def test_equals_scanpy(curve):
    sc = pytest.importorskip("scanpy")
    adata = curve.to_anndata()
    sc.tl.diffmap(adata, 8)
    adata.uns["iroot"] = 0
    sc.tl.dpt(adata, n_dcs=8)
    diffusion_map(curve, 8)
    time = pseudotime(curve, 0, n_components=8)
    np.testing.assert_allclose(curve.read("uns/diffmap_evals"), adata.uns["diffmap_evals"], atol=1e-4)
    assert np.corrcoef(time, adata.obs["dpt_pseudotime"])[0, 1] > 0.999


def test_parts_are_noted_and_cells_out_of_reach_have_no_time(curve, caplog):
    graph = curve.read("obsp/connectivities").tolil()
    graph[250:, :250], graph[:250, 250:] = 0, 0
    curve.write({"obsp/cut": sparse.csr_matrix(graph)})
    with caplog.at_level(logging.WARNING, "kithkin"):
        diffusion_map(curve, on="obsp/cut")
        time = pseudotime(curve, 0, on="obsp/cut")
    assert np.isnan(time[250:]).all()
    assert np.isfinite(time[:250]).all()
    assert "the graph has 2 parts" in caplog.text
    assert "50 of 300 cells have no pseudotime" in caplog.text


def test_smooth_values_score_high_and_chance_does_not(curve):
    rng = np.random.default_rng(2)
    curve.write({"obs/noise": rng.normal(size=300), "obs/flat": np.ones(300)})
    table = graph_score(curve, ["obs/t", "obs/noise", "obs/flat", "70"])
    assert table.index.tolist() == ["70", "t", "noise", "flat"]
    assert (table.loc[["70", "t"], "morans_i"] > 0.5).all()
    assert (table.loc[["70", "t"], "gearys_c"] < 0.5).all()
    assert (table.loc[["70", "t"], ["morans_pval", "gearys_pval"]] < 1e-10).all(axis=None)
    assert (table.loc[["70", "t"], ["morans_pval_sampled", "gearys_pval_sampled"]] == 1 / 101).all(axis=None)
    assert (table.loc["noise", ["morans_pval", "morans_pval_sampled"]] > 0.01).all()
    assert table.loc["flat"].isna().all()
    pd.testing.assert_frame_equal(table, curve.read("uns/graph_score"), check_names=False)


def test_streaming_of_genes_gives_what_scanpy_gives(curve, monkeypatch):
    monkeypatch.setattr("kithkin.verbs.arguments.values.GENES_AT_A_TIME", 7)
    curve.write({"var/some": np.arange(150) % 5 == 0})
    table = graph_score(curve, "var/some", normalize=None, n_permutations=0)
    assert table["morans_pval_sampled"].isna().all()
    sc = pytest.importorskip("scanpy")
    values = curve.genes(curve.var_names[::5]).T.astype(float)
    graph = curve.read("obsp/connectivities").astype(float)
    np.testing.assert_allclose(table["morans_i"], sc.metrics.morans_i(graph, values), atol=1e-6)
    np.testing.assert_allclose(table["gearys_c"], sc.metrics.gearys_c(graph, values), atol=1e-6)


def test_what_cannot_be_is_said_in_one_sentence(curve):
    with pytest.raises(kk.MissingResultError, match="X_diffmap is not in"):
        pseudotime(curve, 0)
    diffusion_map(curve)
    for root, message in (
        (300, "root must be in 0..299"),
        ("t > 5", "meets"),
        (2.5, "a name, a number or a condition"),
    ):
        with pytest.raises(kk.ParameterError, match=message):
            pseudotime(curve, root)
    with pytest.raises(kk.ParameterError, match="n_components must be at least 2"):
        pseudotime(curve, 0, n_components=1)
    with pytest.raises(kk.ParameterError, match="n_components must be in"):
        diffusion_map(curve, 1)
    with pytest.raises(kk.ParameterError, match="normalize must be one of"):
        graph_score(curve, "70", normalize="sqrt")
