"""Names and tables become what AnnData stores."""

import anndata
import numpy as np
import pandas as pd
import pytest

from kithkin.io.streams.annotation import plain_frame, texts, unique_names


def test_bytes_and_fixed_length_text_become_strings():
    for values in (np.array([b"a", b"b"]), np.array(["a", "b"]), np.array([b"a", "b"], object), ["a", "b"]):
        assert texts(values).tolist() == ["a", "b"]
    assert texts(np.array([["a"], ["b"]])).shape == (2, 1)


def test_texts_are_converted_part_by_part_whatever_a_part_holds(monkeypatch):
    monkeypatch.setattr("kithkin.io.streams.annotation.AT_A_TIME", 2)
    found = texts(np.array(["a", "b", "c", b"d", np.str_("e"), "half \ud800", 3], object))
    assert found.tolist() == ["a", "b", "c", "d", "e", "half ?", "3"]
    assert {type(text) for text in found} == {str}


def test_names_become_unique_without_hitting_others():
    names = unique_names(pd.Index(["a", "a", "a-1", "a", "b"]))
    assert names.tolist() == ["a", "a-2", "a-1", "a-3", "b"]
    assert names.is_unique


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_keep_their_order(ordered):
    kind = pd.Categorical(["b", "a", None], ["b", "a"], ordered=ordered)
    column = plain_frame(pd.DataFrame({"kind": kind}))["kind"]
    assert column.cat.categories.tolist() == ["b", "a"]
    assert column.cat.ordered == ordered
    assert column.isna().tolist() == [False, False, True]


def test_columns_that_anndata_would_refuse_are_renamed():
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=["_index", "a/b", "c", "c"], index=pd.Index(["x"], name="c"))
    plain = plain_frame(frame)
    assert plain.columns.tolist() == ["index", "a-b", "c", "c-1"]
    assert plain.iloc[0].tolist() == [1, 2, 3, 4]
    assert plain.index.name is None
    anndata.AnnData(np.ones((1, 1)), obs=plain)


def test_dates_become_text_in_columns_categories_and_arrays():
    dates = pd.to_datetime(["2020-01-02", "2021-05-06"])
    frame = plain_frame(pd.DataFrame({"column": dates, "category": pd.Categorical(dates)}))
    assert frame["column"].tolist() == frame["category"].tolist() == ["2020-01-02 00:00:00", "2021-05-06 00:00:00"]
    assert texts(dates.to_numpy()).tolist() == frame["column"].tolist()
