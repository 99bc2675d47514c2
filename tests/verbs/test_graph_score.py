"""Smooth values score high over the graph, and chance does not."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.graph_score import graph_score


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
    with pytest.raises(kk.ParameterError, match="normalize must be one of"):
        graph_score(curve, "70", normalize="sqrt")
