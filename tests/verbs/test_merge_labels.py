"""Clusters are put together in place, and doing it again is a look-up."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.merge_labels import merge_labels


def sizes(column):
    return column.value_counts(sort=False).to_dict()


def test_merged_clusters_take_the_place_of_the_first(finished, listing):
    before = sizes(finished.read("obs/leiden"))
    merged = merge_labels(finished, "obs/leiden", groups={"T cells": ["1", "3"]})
    assert sizes(merged) == {"0": before["0"], "T cells": before["1"] + before["3"], "2": before["2"]}
    pd.testing.assert_series_equal(finished.read("obs/leiden"), merged)
    written = listing(finished)
    pd.testing.assert_series_equal(merge_labels(finished, "leiden", groups={"T cells": ["1", "3"]}), merged)
    pd.testing.assert_series_equal(merge_labels(finished, "leiden", groups={"T cells": ["1", "3"]}, key=None), merged)
    assert listing(finished) == written


@pytest.mark.parametrize(
    "groups", [["T cells=1,3", "B=0"], {"T cells": [1, 3], "B": "0"}, {"T cells": np.array([1, 3]), "B": 0}]
)
def test_groups_can_be_texts_or_a_mapping(finished, groups):
    merged = merge_labels(finished, "obs/leiden", groups=groups, key="obs/merged")
    assert merged.cat.categories.tolist() == ["B", "T cells", "2"]
    assert finished.read("obs/leiden").cat.categories.tolist() == ["0", "1", "2", "3"]
    pd.testing.assert_series_equal(finished.read("obs/merged"), merged)


def test_a_name_may_be_that_of_a_member(finished):
    assert sizes(merge_labels(finished, "leiden", groups={"1": ["1", "3"]})).keys() == {"0", "1", "2"}


def test_one_text_is_one_group(finished):
    assert merge_labels(finished, "leiden", groups="T=1,3", key=None).cat.categories.tolist() == ["0", "T", "2"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"T": ["1", "9"]}, "obs/leiden has no label '9': there are '0', '1', '2', '3'"),
        ({"T": ["1"], "B": ["1"]}, "1 is in two groups: T and B"),
        ({"0": ["1", "2"]}, "0 is a label of obs/leiden already: put it in the group, or choose another name"),
        ({"T": []}, "groups lists no cluster for T"),
        ({}, "groups must hold one group at least"),
        (["T"], "groups must look like 'T cells=1,3', got 'T'"),
        (["T=1", "T=2"], "groups name T twice"),
    ],
)
def test_what_cannot_be_merged_is_named(finished, groups, message):
    before = finished.history()
    with pytest.raises(kk.ParameterError) as error:
        merge_labels(finished, "obs/leiden", groups=groups)
    assert str(error.value) == message
    pd.testing.assert_frame_equal(finished.history(), before)


def test_a_stale_look_up_is_no_look_up(finished):
    merge_labels(finished, "leiden", groups={"T": ["1", "3"]})
    kk.neighbors(finished, 10)
    with pytest.raises(kk.ParameterError, match="obs/leiden is stale"):
        merge_labels(finished, "leiden", groups={"T": ["1", "3"]})
