"""Marks in the numbers of a table, told by all of its columns."""

import math

import pytest

from kithkin.io.formats.numerals import find_marks, is_number, plain_number


@pytest.mark.parametrize(
    ("columns", "delimiter", "decimal", "thousands"),
    [
        ([["1.5", "2"], ["3", "4"]], ",", ".", {}),
        ([["1,5", "2"], ["3", "4"]], ";", ",", {}),
        ([["1,5", "NA"], ["1,250", "3,500"]], ";", ",", {}),  # a fraction elsewhere tells what the comma means
        ([["0.5", "2"], ["1,250", "3,500"]], ";", ".", {1: ","}),
        ([["1,250", "950"]], ",", ".", {0: ","}),  # quoted within a file with commas between the fields
        ([["1,250,000", "950"]], ";", ".", {0: ","}),
        ([["1,250.5", "950"]], ";", ".", {0: ","}),
        ([["1.250,5", "950"]], ";", ",", {0: "."}),
        ([["1,5", "2"], ["1.250", "950"]], ";", ",", {1: "."}),
        ([["0.5", "2"], ["3,4", "1,7"]], ",", ".", {}),  # lists
        ([["a,b", "c"], ["", "?"]], ",", ".", {}),
    ],
)
def test_marks(columns, delimiter, decimal, thousands):
    marks = find_marks(columns, delimiter)
    assert (marks.decimal, dict(marks.thousands), marks.doubtful) == (decimal, thousands, None)


def test_numbers_that_may_mean_either_are_doubtful():
    assert find_marks([["a", "b"], ["1,500", "2,250"], ["3", "4"]], ";").doubtful == (1, "1,500")


def test_numbers_with_marks():
    assert [plain_number(text, ",") for text in (" 1,200 ", "-1,200,300.5", "12", "1e3")] == [
        1200,
        -1200300.5,
        12,
        1000,
    ]
    assert [plain_number(text, ".") for text in ("1.200", "1.200,5", "0,5")] == [1200, 1200.5, 0.5]
    assert [plain_number(text, ",") for text in ("1,20", "12,00,000", "x", "1,200 EUR")] == [None] * 4
    assert math.isnan(plain_number("?", ","))
    assert [is_number(text, ",") for text in ("1,5", "1.5", "1,5,2")] == [True, True, False]
