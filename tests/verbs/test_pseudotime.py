"""Pseudotime follows a curve from any way to name its root."""

import logging

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.verbs.diffusion_map import diffusion_map
from kithkin.verbs.pseudotime import pseudotime


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
