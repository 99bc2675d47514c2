"""Clusters are taken apart in place, and the records still say what follows from what."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.annotate import annotate
from kithkin.verbs.merge_labels import merge_labels
from kithkin.verbs.split import split


def sizes(column):
    return column.value_counts(sort=False).to_dict()


@pytest.mark.parametrize("settings", [{"resolution": 3.0}, {"method": "kmeans", "n_clusters": 3}])
def test_a_cluster_is_split_by_size(finished, settings, listing):
    before = finished.read("obs/leiden")
    parts = split(finished, "obs/leiden", "1", **settings)
    inside = before == "1"
    pd.testing.assert_series_equal(parts[~inside].astype(str), before[~inside].astype(str))
    names = [name for name in parts.cat.categories if name.startswith("1")]
    assert names == [f"1.{k}" for k in range(1, len(names) + 1)]
    assert parts.cat.categories.tolist() == ["0", *names, "2", "3"]
    within = parts[inside].value_counts(sort=False)[names]
    assert len(names) >= 2
    assert within.min() > 0
    assert np.all(np.diff(within) <= 0)
    written = listing(finished)
    pd.testing.assert_series_equal(split(finished, "leiden", "1", **settings), parts)
    pd.testing.assert_series_equal(split(finished, "leiden", "1", **settings, key=None), parts)
    assert listing(finished) == written


def test_parts_are_those_of_the_links_within(finished):
    members = (finished.read("obs/leiden") == "0").to_numpy()
    graph = finished.read("obsp/connectivities")[members][:, members]
    expected = kk.models.Leiden(3.0, seed=2).fit(graph).labels_
    found = split(finished, "leiden", "0", resolution=3.0, seed=2)[members]
    assert found.str.removeprefix("0.").astype(int).tolist() == (expected + 1).tolist()


@pytest.mark.parametrize("on", ["obsm/X_pca", "X"])
def test_parts_are_those_of_the_rows_within(finished, on):
    members = (finished.read("obs/leiden") == "0").to_numpy()
    expected = kk.models.KMeans(2, seed=3).fit(finished.read(on)[members]).labels_
    found = split(finished, "leiden", "0", method="kmeans", on=on, seed=3)[members]
    assert len(set(zip(found, expected.tolist(), strict=True))) == found.nunique() == 2


def test_parts_are_split_again(finished):
    split(finished, "leiden", "2", method="kmeans")
    again = split(finished, "leiden", "2.1", method="kmeans")
    assert again.cat.categories.tolist() == ["0", "1", "2.1.1", "2.1.2", "2.2", "3"]
    merged = merge_labels(finished, "leiden", groups={"2": ["2.1.1", "2.1.2", "2.2"]})
    assert merged.cat.categories.tolist() == ["0", "1", "2", "3"]


def test_another_key_leaves_the_column(finished, states):
    before = finished.read("obs/leiden")
    split(finished, "leiden", "0", resolution=3.0, key="obs/fine")
    pd.testing.assert_series_equal(finished.read("obs/leiden"), before)
    kk.leiden(finished, 0.7)
    assert states(finished)["split"] == "stale"


def test_one_group_stays_whole(finished, caplog):
    before = sizes(finished.read("obs/leiden"))
    assert sizes(split(finished, "leiden", "1", resolution=0.0)) == before
    assert "1 of obs/leiden stays whole" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cluster": "9"}, "obs/leiden has no label '9': there are '0', '1', '2', '3'"),
        ({"method": "louvain"}, "method must be one of 'leiden', 'paris', 'kmeans', got 'louvain'"),
        ({"method": "kmeans", "resolution": 2.0}, "resolution has no effect on kmeans: give n_clusters"),
        ({"n_clusters": 3}, "n_clusters has no effect on leiden: give a resolution"),
    ],
)
def test_what_cannot_be_split_is_named(finished, settings, message):
    with pytest.raises(kk.ParameterError) as error:
        split(finished, "obs/leiden", **{"cluster": "1", **settings})
    assert str(error.value) == message


def test_a_single_member_and_a_name_in_use_are_refused(finished):
    annotate(finished, "mine", ["1"] + ["2"] * 590 + ["2.1"] * 9)
    with pytest.raises(kk.ParameterError, match="1 of obs/mine is a single observation, which cannot be split"):
        split(finished, "mine", "1")
    with pytest.raises(kk.ParameterError, match=r"obs/mine has a label 2\.1 already: rename it first"):
        split(finished, "mine", "2", method="kmeans")


@pytest.mark.parametrize("values", [[1, 2, None] * 200, [True, False, None] * 200, ["1", "2", None] * 200])
def test_columns_of_any_type_are_changed(finished, values):
    annotate(finished, "mine", values)
    first, second = ("True", "False") if True in values and 2 not in values else ("1", "2")
    parts = split(finished, "mine", first, method="kmeans")
    assert parts.isna().tolist() == [value is None for value in values]
    assert set(parts.cat.categories) == {f"{first}.1", f"{first}.2", second}
    merged = merge_labels(finished, "mine", groups={"all": list(parts.cat.categories)})
    assert sizes(merged) == {"all": 400}


def test_a_change_in_place_follows_what_the_column_came_from(finished, states):
    merge_labels(finished, "leiden", groups={"T": ["1", "3"]})
    assert states(finished) | {"markers": "stale"} == states(finished)
    assert states(finished)["merge_labels"] == "current"
    kk.markers(finished, "leiden")
    assert states(finished)["markers"] == "current"
    kk.neighbors(finished, 10)
    assert {states(finished)[step] for step in ("merge_labels", "markers")} == {"stale"}
    with pytest.raises(kk.ParameterError, match="obs/leiden is stale: what it was computed from has changed"):
        split(finished, "leiden", "T")
    split(finished, "leiden", "T", key=None)
    split(finished, "leiden", "T", key="obs/fine")
    assert states(finished)["split"] == "stale"


def test_the_records_tell_all_that_was_done_to_a_column(finished):
    split(finished, "leiden", "0", method="kmeans")
    merge_labels(finished, "leiden", groups={"T": ["0.1", "3"]})
    said = finished.history().set_index("results").loc["obs/leiden"]
    assert said["step"] == "merge_labels"
    assert said["state"] == "current"
    assert "leiden(resolution=0.5" in said["parameters"]
    assert "split(by='obs/leiden', cluster='0'" in said["parameters"]


def test_the_same_steps_give_the_same_records_again(finished, states):
    def day():
        kk.leiden(finished, 0.5)
        split(finished, "leiden", "0", method="kmeans")
        merge_labels(finished, "leiden", groups={"T": ["0.1", "3"]})
        return kk.markers(finished, "leiden")

    def identities():
        return {entry.verb: entry.identity for entry in finished.lineage.entries}

    first, records = day(), identities()
    pd.testing.assert_frame_equal(day(), first)
    assert identities() == records
    assert set(states(finished).values()) == {"current"}


def test_paris_splits_too(finished):
    pytest.importorskip("kithkin.models.paris.paris")
    parts = split(finished, "leiden", "0", method="paris", n_clusters=3)
    assert [name for name in parts.cat.categories if name.startswith("0")] == ["0.1", "0.2", "0.3"]
