"""Conditions select what pandas would select, and run nothing."""

import numpy as np
import pandas as pd
import pytest

from kithkin.core.errors import ParameterError
from kithkin.core.query import conditions, names_of, select


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    kinds = pd.Categorical(rng.choice(["B", "T", "NK"], 50))
    values = rng.normal(0, 1, 50)
    values[::7] = np.nan
    return pd.DataFrame({"a": rng.integers(0, 10, 50), "b": values, "kind": kinds, "flag": rng.random(50) < 0.5})


@pytest.mark.parametrize(
    "query",
    [
        "a > 4",
        "a >= 4 and b < 0.5",
        "a > 4 or b < 0",
        "not (a > 4)",
        "kind == 'T'",
        "kind != 'T' and a == 3",
        "kind in ['B', 'NK']",
        "kind not in ['B']",
        "2 < a <= 7",
        "a + b > 2 * a - 3",
        "-a < -4",
        "flag and a > 2",
    ],
)
def test_agrees_with_pandas(frame, query):
    assert select(frame, query).tolist() == frame.eval(query).to_numpy(dtype=bool).tolist()


def test_a_missing_value_meets_no_comparison(frame):
    missing = frame["b"].isna().to_numpy()
    assert not select(frame, "b != 0")[missing].any()
    assert not select(frame, "b < 100")[missing].any()


@pytest.mark.parametrize(
    "query",
    [
        "__import__('os').system('true')",
        "a.real > 1",
        "(lambda: a)() > 1",
        "[x for x in a]",
        "a",
        "a >",
        "",
        "nothing > 1",
        "kind > 1",
        "a[0] > 1",
        "f'{a}' == 'x'",
    ],
)
def test_everything_else_is_refused(frame, query):
    with pytest.raises(ParameterError, match="query"):
        select(frame, query)


ODD = pd.DataFrame(
    {
        "percent.mt": [1.0, 9.0, np.nan],
        "cell type": ["T", "B", None],
        "class": ["x", "y", "z"],
        "it's": [3, 2, 1],
        "flag": pd.array([True, None, False], dtype="boolean"),
        "truth": np.array([True, None, False], dtype=object),
        "cluster": pd.Categorical(["0", "1", "2"]),
        "ordered": pd.Categorical(["a", "b", "c"], ordered=True),
        "number": pd.Categorical([1, 2, 1]),
        "n": [1, 2, 3],
    }
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("percent.mt < 5", [True, False, False]),
        ("`percent.mt` < 5", [True, False, False]),
        ("`cell type` == 'T'", [True, False, False]),
        ("`cell type` not in ['T']", [False, True, False]),
        ("`class` != 'x' and `it's` > 1", [False, True, False]),
        ("cluster == '`0`'", [False, False, False]),
        ("flag", [True, False, False]),
        ("not flag", [False, False, True]),
        ("flag and n > 0", [True, False, False]),
        ("not truth", [False, False, True]),
        ("number == 1", [True, False, True]),
        ("ordered > 'a'", [False, True, True]),
        ("cluster in ['0', '2']", [True, False, True]),
    ],
)
def test_any_column_can_be_named_and_booleans_are_conditions(query, expected):
    assert select(ODD, query).tolist() == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("`cell type` != 0", "query: `cell type` holds text, got 0: write '0'"),
        ("0 == `cell type`", "query: `cell type` holds text, got 0: write '0'"),
        ("cluster < 2", "query: cluster holds text, got 2: write '2'"),
        ("`cell type` not in [0, 1]", r"`cell type` holds text, got \[0, 1\]: write '0', '1'"),
        ("cluster in ['0', 1.5]", "cluster holds text"),
        ("clustr == '1'", "there is no column 'clustr'. Did you mean 'cluster'[?] There are"),
        ("ordered > 1", "ordered holds text, got 1"),
        ("n == '1'", "n holds numbers, got the text '1'"),
        ("n in ['1']", "n holds numbers"),
        ("number != '1'", "number holds numbers"),
        ("flag == 'True'", "flag holds true and false"),
        ("n > cluster", "n holds numbers, got the text cluster"),
        ("cluster * 2 == '00'", "cluster holds text, which cannot be used in arithmetic"),
        ("cell type == 'T'", "put a name with spaces or dots in backticks"),
        (
            "cell - type > 1",
            "no column 'cell'. Did you mean '`cell type`'[?] There are `percent.mt`, `cell type`, `class`, `it's`",
        ),
        ("`no such` > 1", "there is no column 'no such'"),
        ("n > 1 / 0", "cannot be compared"),
    ],
)
def test_text_against_numbers_is_refused_with_what_to_write(query, message):
    with pytest.raises(ParameterError, match=message):
        select(ODD, query)


def test_names_in_backticks_stay_so_in_the_parts():
    query = "`cell type` == 'n' and percent.mt < 5"
    assert conditions(query) == ["`cell type` == 'n'", "percent.mt < 5"]
    assert set(names_of(query)) >= {"percent.mt", "cell type"}


def test_conditions_are_split_at_and_only():
    assert conditions("a > 1 and (b < 2 or c == 3) and d in ['x']") == ["a > 1", "b < 2 or c == 3", "d in ['x']"]
    assert conditions("a > 1 or b > 2") == ["a > 1 or b > 2"]


@pytest.mark.parametrize(
    "query",
    ["percent.mt < 5", "`percent.mt` < 5", "`cell type` == 'T'", "`class` == 'x'", "keep", "keep and `class` in ['x']"],
)
def test_names_that_are_no_words(query):
    table = pd.DataFrame(
        {
            "percent.mt": [1.0, 9.0],
            "cell type": ["T", "B"],
            "class": ["x", "y"],
            "keep": pd.array([True, None], "boolean"),
        }
    )
    assert select(table, query).tolist() == [True, False]


def test_backticks_in_texts_stay_and_parts_are_written_as_they_came():
    table = pd.DataFrame({"cell type": ["`T`", "B"], "n": [1, 2]})
    query = "`cell type` == '`T`' and n < 2"
    assert select(table, query).tolist() == [True, False]
    assert conditions(query) == ["`cell type` == '`T`'", "n < 2"]


@pytest.mark.parametrize(
    "query",
    [
        "leiden < 2",
        "leiden == 0.5",
        "leiden == True",
        "n == '5'",
        "n in ['5']",
        "leiden == n",
    ],
)
def test_texts_are_not_compared_with_numbers(query):
    table = pd.DataFrame({"leiden": pd.Categorical(list("0123")), "n": range(4)})
    with pytest.raises(ParameterError, match=r"query: (leiden holds text|n holds numbers)"):
        select(table, query)


def test_not_of_what_is_missing_is_not_true():
    table = pd.DataFrame({"keep": pd.array([True, False, None], "boolean"), "kind": pd.Categorical([1, 2, None])})
    assert select(table, "not keep").tolist() == [False, True, False]
    assert select(table, "kind == 1").tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("leiden == 0", [True, False, False, False]),
        ("1 != leiden", [True, False, True, True]),
        ("leiden in ['0', 2]", [True, False, True, False]),
        ("leiden not in [0, 1]", [False, False, True, True]),
    ],
)
def test_whole_numbers_stand_for_labels_of_digits(query, expected):
    table = pd.DataFrame({"leiden": pd.Categorical(list("0123"))})
    assert select(table, query).tolist() == expected
