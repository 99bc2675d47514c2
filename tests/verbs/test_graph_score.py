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


def test_streaming_of_genes_gives_the_definition(curve, monkeypatch):
    monkeypatch.setattr("kithkin.verbs.arguments.values.GENES_AT_A_TIME", 7)
    curve.write({"var/some": np.arange(150) % 5 == 0})
    table = graph_score(curve, "var/some", normalize=None, n_permutations=0)
    assert table["morans_pval_sampled"].isna().all()
    W = curve.read("obsp/connectivities").toarray().astype(float)
    for gene, row in table.iterrows():
        x = curve.genes([gene])[:, 0].astype(float)
        z = x - x.mean()
        assert row["morans_i"] == pytest.approx(300 / W.sum() * (z @ W @ z) / (z @ z), abs=1e-6)
        apart = (W * (x[:, None] - x) ** 2).sum()
        assert row["gearys_c"] == pytest.approx(299 / (2 * W.sum()) * apart / (z @ z), abs=1e-6)
    assert table.index.tolist() == curve.var_names[::5].tolist()


def test_what_cannot_be_is_said_in_one_sentence(curve):
    with pytest.raises(kk.ParameterError, match="normalize must be one of"):
        graph_score(curve, "70", normalize="sqrt")
