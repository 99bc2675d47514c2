"""Clusters are named by the label that is most common in them."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.relabel import relabel


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
