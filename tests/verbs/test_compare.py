"""Two columns are compared as scikit-learn compares them."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

import kithkin as kk
from kithkin.verbs.compare import compare


def test_the_numbers_are_scikit_learns(finished):
    kk.kmeans(finished, 7)
    found = compare(finished, "obs/kmeans", to="obs/group")
    labels, truth = (finished.read(key).astype(str) for key in ("obs/kmeans", "obs/group"))
    assert found.n == 600
    assert found.ari == pytest.approx(oracle.adjusted_rand_score(truth, labels))
    assert found.nmi == pytest.approx(oracle.normalized_mutual_info_score(truth, labels))
    assert found.ami == pytest.approx(oracle.adjusted_mutual_info_score(truth, labels))
    assert found.homogeneity == pytest.approx(oracle.homogeneity_score(truth, labels))
    assert found.completeness == pytest.approx(oracle.completeness_score(truth, labels))
    assert found.v_measure == pytest.approx(oracle.v_measure_score(truth, labels))
    counts = pd.crosstab(labels, truth)
    counts.index, counts.columns = counts.index.astype(object), counts.columns.astype(object)
    pd.testing.assert_frame_equal(found.table, counts, check_names=False)
    best = found.table.idxmax(axis=1)
    assert found.majority_accuracy == pytest.approx((labels.map(best) == truth).mean())
    assert found.purity["0"] == pytest.approx(found.table.loc["0"].max() / found.table.loc["0"].sum())


def test_it_reads_and_stores_nothing_and_says_all(finished, listing):
    before = listing(finished)
    text = str(compare(finished, "leiden", to="group"))
    assert listing(finished) == before
    assert text.splitlines()[0] == "obs/leiden (4 labels) compared to obs/group (4): 600 observations"
    for name in ("ARI", "NMI", "AMI", "accuracy", "majority", "homogeneity", "completeness", "V-measure", "least pure"):
        assert f"  {name}" in text


def test_columns_of_any_type_are_compared(made):
    ds = made(a=[1, 1, 2, 2, None, 3], b=[True, True, False, False, True, None], c=["x", "x", "y", "y", "y", "z"])
    found = compare(ds, "a", to="b")
    assert (found.n, found.n_missing, found.ari, found.accuracy) == (4, 2, 1.0, 1.0)
    assert found.table.to_dict() == {"False": {"1": 0, "2": 2, "3": 0}, "True": {"1": 2, "2": 0, "3": 0}}
    assert np.isnan(found.purity["3"])
    assert "4 observations, 2 without a label left out" in str(found)
    assert compare(ds, "c", to="a").ari == 1.0


def test_the_roles_of_the_two_can_be_told(made):
    ds = made(fine=["1", "2", "3", "3"], coarse=["a", "a", "b", "b"])
    assert compare(ds, "fine", to="coarse").homogeneity == 1.0
    assert compare(ds, "fine", to="coarse").completeness < 1.0
    assert compare(ds, "fine", to="coarse").accuracy == 0.75
    assert compare(ds, "fine", to="coarse").majority_accuracy == 1.0


def test_nothing_in_common_is_refused(made):
    ds = made(a=["x", "x", None], b=[None, None, "y"])
    with pytest.raises(kk.ParameterError, match="obs/a and obs/b have no observation in common"):
        compare(ds, "a", to="b")
    with pytest.raises(kk.MissingResultError, match=r"obs/celltype is not in made\.zarr"):
        compare(ds, "a", to="celltype")
