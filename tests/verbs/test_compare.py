"""Two columns are compared as scikit-learn compares them, and clusters are named by what is in them."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

import kithkin as kk
from kithkin.verbs.annotate import annotate
from kithkin.verbs.compare import compare
from kithkin.verbs.relabel import relabel


@pytest.fixture
def made(tmp_path):
    """A dataset of so many rows, with columns of labels."""

    def make(**columns):
        ds = kk.read(np.ones((len(next(iter(columns.values()))), 2)), to=tmp_path / "made.zarr")
        for name, values in columns.items():
            annotate(ds, name, values)
        return ds

    return make


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
    pd.testing.assert_frame_equal(found.table, pd.crosstab(labels, truth), check_names=False)
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


def test_clusters_take_the_label_that_is_most_common_in_them(made, caplog):
    ds = made(
        cluster=["p"] * 3 + ["q"] * 5 + ["r"] * 2 + ["s"] * 2 + [None],
        digit=["1", "1", "7"] + ["1"] * 4 + ["7"] + ["10", "10"] + [None, None] + ["4"],
    )
    table = relabel(ds, "obs/cluster", by="obs/digit", key="cluster_label")
    assert table["label"].tolist() == ["1a", "1b", "10", "unknown"]
    assert table["cluster"].tolist() == ["q", "p", "r", "s"]
    assert table["most_common"].tolist() == ["1", "1", "10", None]
    assert table["share"].tolist() == pytest.approx([0.8, 2 / 3, 1.0, np.nan], nan_ok=True)
    assert table["size"].tolist() == [5, 3, 2, 2]
    assert table["second"].tolist() == ["7", "7", None, None]
    assert table.attrs["unclaimed"] == ["4", "7"]
    assert "labels that are most common in no cluster: 4, 7" in caplog.text
    column = ds.read("obs/cluster_label")
    assert column.cat.categories.tolist() == table["label"].tolist()
    assert column.tolist()[:4] == ["1b", "1b", "1b", "1a"]
    assert column.isna().tolist() == [False] * 12 + [True]


def test_more_clusters_than_letters_and_names_that_meet(made):
    ds = made(cluster=np.arange(56) // 2, digit=["1"] * 54 + ["1a"] * 2)
    labels = relabel(ds, "cluster", by="digit")["label"].tolist()
    assert labels[:2] + labels[25:] == ["1-a", "1-b", "1-z", "1-aa", "1a"]


def test_ties_are_broken_by_the_order_of_the_labels(made):
    ds = made(cluster=[1, 1, 0, 0], digit=["b", "a", "a", "b"])
    table = relabel(ds, "cluster", by="digit")
    assert table["label"].tolist() == ["aa", "ab"]
    assert table["cluster"].tolist() == ["0", "1"]


def test_no_label_at_all_is_unknown(made):
    ds = made(cluster=[1, 1, 0], digit=[None, None, None])
    assert relabel(ds, "cluster", by="digit")["label"].tolist() == ["unknowna", "unknownb"]


def test_names_follow_what_they_are_made_from(finished, listing, states):
    first = relabel(finished, "obs/leiden", by="obs/group")
    before = listing(finished)
    pd.testing.assert_frame_equal(relabel(finished, "obs/leiden", by="obs/group"), first)
    pd.testing.assert_frame_equal(relabel(finished, "leiden", by="group", key=None), first)
    assert listing(finished) == before
    kk.leiden(finished, 2.0)
    assert states(finished)["relabel"] == "stale"
    assert len(relabel(finished, "obs/leiden", by="obs/group")) > len(first)
    assert states(finished)["relabel"] == "current"


def test_names_do_not_take_the_place_of_what_is_read(finished):
    for key in ("leiden", "obs/group"):
        with pytest.raises(kk.ParameterError, match=r"key must be another column than obs/\w+, which is read"):
            relabel(finished, "leiden", by="group", key=key)
