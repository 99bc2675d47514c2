"""Clusters that change their share are found over samples."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin import models


@pytest.fixture
def cells(made):
    """1,200 cells of eight samples in three clusters; the drug doubles the share of one."""
    rng = np.random.default_rng(0)
    sample = np.repeat(np.arange(8), 150)
    drug = sample % 2 == 1
    shares = np.where(drug[:, None], (0.5, 0.2, 0.3), (0.25, 0.3, 0.45))
    cluster = (rng.random((1200, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    return made(
        sample=[f"s{k}" for k in sample],
        condition=np.array(["none", "drug"])[drug.astype(int)],
        donor=[f"d{k // 2}" for k in sample],
        leiden=np.array(list("012"))[np.minimum(cluster, 2)],
    )


def test_a_cluster_that_grows_comes_first(cells):
    table = kk.composition(cells, "condition", sample="sample", reference="none")
    first = table.iloc[0]
    assert (first["group"], first["level"], first["reference"]) == ("0", "drug", "none")
    assert first["share"] == pytest.approx(0.5, abs=0.05)
    assert first["share_reference"] == pytest.approx(0.25, abs=0.05)
    assert first["log2_odds_ratio"] == pytest.approx(np.log2(3), abs=0.3)
    assert first["pval_adj"] < 0.001
    assert table["share"].sum() == pytest.approx(1)


def test_it_is_the_model_of_the_counts(cells):
    table = kk.composition(cells, "condition", sample="sample", design="~ donor + condition", reference="none")
    obs = cells.obs
    counts = obs.groupby(["sample", "leiden"], observed=False).size().to_numpy().reshape(8, 3)
    donors = pd.get_dummies(pd.Series(np.arange(8) // 2), drop_first=True, dtype=float).to_numpy()
    found = models.Composition().fit(counts, np.c_[np.ones(8), donors, np.arange(8) % 2]).test(4)
    rows = table.set_index("group").loc[list("012")]
    np.testing.assert_allclose(rows["log2_odds_ratio"], found.odds_ratios)
    np.testing.assert_allclose(rows["pval"], found.pvals)
    stored = cells["uns/composition"]
    assert np.array_equal(stored["counts"], counts)
    assert stored["samples"].loc["s1"].tolist() == ["drug", "d0"]


def test_samples_with_few_cells_are_left_out(cells):
    sample = cells["obs/sample"].astype(object)
    sample[(sample == "s7").to_numpy() & (np.arange(1200) % 150 > 4)] = None
    cells["obs/some"] = sample
    table = kk.composition(cells, "condition", sample="some", key=None)
    assert len(table) == 3
    kk.composition(cells, "condition", sample="some")
    assert cells["uns/composition"]["used"].tolist() == [True] * 7 + [False]


def test_what_cannot_be_compared_is_refused(cells):
    with pytest.raises(kk.ParameterError, match="on must name clusters, and obs/condition is compared itself"):
        kk.composition(cells, "condition", sample="sample", on="condition")
    with pytest.raises(kk.MissingResultError, match="obs/paris is not in"):
        kk.composition(cells, "condition", sample="sample", on="obs/paris")
    cells["obs/side"], cells["obs/half"] = np.repeat(["l", "r"], 600), np.repeat(["1", "2"], 600)
    with pytest.raises(kk.ParameterError, match=r"composition compares samples, and obs/side has 1 sample of l"):
        kk.composition(cells, "side", sample="half")
    with pytest.raises(kk.ParameterError, match=r"of samples with 1000 cells or more, obs/condition has 0 samples"):
        kk.composition(cells, "condition", sample="sample", min_cells=1000)
    cells["obs/one"] = ["x"] * 1200
    with pytest.raises(kk.ParameterError, match="obs/one must have two clusters or more in the samples, got x"):
        kk.composition(cells, "condition", sample="sample", on="one")
