"""Columns without values: what they hold is told by all of their texts."""

import datetime

import numpy as np
import pandas as pd
import pytest

from kithkin.io.formats.labels import iso_dates, note_of_labels, typed_column


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-31", "2023-12-01"], ["2024-01-31", "2023-12-01"]),
        (["2024-01-31 12:30:00", "2023-12-01 00:00:00"], ["2024-01-31T12:30:00", "2023-12-01T00:00:00"]),
        (["2024-01-31T12:30:00+02:00"], ["2024-01-31T10:30:00Z"]),
        (["2024/01/31", "2023/12/01"], ["2024-01-31", "2023-12-01"]),
        (["31.1.2024", "1.12.2023"], ["2024-01-31", "2023-12-01"]),
        (["31/01/2024", "01/12/2023"], ["2024-01-31", "2023-12-01"]),
        (["01/31/2024", "12/01/2023"], ["2024-01-31", "2023-12-01"]),
        (["31 Jan 2024", "1 Dec 2023"], ["2024-01-31", "2023-12-01"]),
        (["31-Jan-2024"], ["2024-01-31"]),
        (["January 31, 2024", "May 1, 2023"], ["2024-01-31", "2023-05-01"]),
        (["31.1.2024 07:05", "1.12.2023 00:00"], ["2024-01-31T07:05:00", "2023-12-01T00:00:00"]),
        (["05/05/2024"], ["2024-05-05"]),
    ],
)
def test_dates_in_the_usual_forms(texts, expected):
    assert iso_dates(texts) == (expected, False)


@pytest.mark.parametrize("texts", [["2024-01-31", "2024-02-31"], ["31.1.2024", "none"], ["1.2.3"], ["12-3"], []])
def test_other_texts_are_no_dates(texts):
    assert iso_dates(texts) == (None, False)


def test_a_day_that_may_be_a_month_is_left_as_it_is_written():
    column, what = typed_column(pd.Series(["01/02/2024", "03/04/2024", "01/02/2024"]))
    assert column.tolist() == ["01/02/2024", "03/04/2024", "01/02/2024"]
    assert what == "text, day and month cannot be distinguished"


@pytest.mark.parametrize(
    ("values", "expected", "dtype", "what"),
    [
        (["true", "false", "true"], [True, False, True], "bool", "booleans"),
        (["TRUE", None, "FALSE"], [True, pd.NA, False], "boolean", "booleans"),
        ([True, None, False], [True, pd.NA, False], "boolean", "booleans"),
        (["x", "y", "x"], ["x", "y", "x"], "category", "text, 2 values"),
        (["x", "y", "z"], ["x", "y", "z"], "object", "text, 3 values"),
        (["31.1.2024", None], ["2024-01-31", np.nan], "category", "dates"),
        ([datetime.date(2024, 1, 31)] * 2, ["2024-01-31"] * 2, "category", "dates"),
        (pd.to_datetime(["2024-01-31", "2024-02-01"]), ["2024-01-31", "2024-02-01"], "object", "dates"),
        (pd.to_datetime(["2024-01-31 12:00", None]), ["2024-01-31T12:00:00", np.nan], "category", "dates"),
        ([1.0, 2.0], [1, 2], "int64", "numbers"),
        ([1.0, np.nan], [1, pd.NA], "Int64", "numbers"),
        ([1.5, 2.0], [1.5, 2.0], "float64", "numbers"),
        ([None, None], [None, None], "object", "nothing but missing values"),
        ([1, "x", 2.5], ["1", "x", "2.5"], "object", "text, 3 values"),
    ],
)
def test_columns_become_what_they_hold(values, expected, dtype, what):
    given = pd.Series(values)
    for column in (given, given.astype("category") if given.map(type).eq(str).any() and dtype != "object" else given):
        got, said = typed_column(column)
        assert said == what
        assert got.dtype.name == dtype
        assert [str(value) for value in got] == [str(value) for value in expected]


def test_a_long_list_of_columns_is_cut_short():
    assert note_of_labels([(f"c{k}", "dates") for k in range(14)]).endswith("c11 (dates), and 2 more columns")
