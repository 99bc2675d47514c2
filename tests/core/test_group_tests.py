"""Phrases name what differs, in numbers that a person can compare."""

import numpy as np
import pandas as pd
import pytest

from kithkin.core.group_tests import distinct, percent, phrase_of_counts, phrase_of_values, traits


def stored(kind, names, scores, pvals, **numbers):
    """Tests of one group "a", as they are stored: fields by rank, tables by name."""
    ranked = {"names": names, "scores": scores, "pvals_adj": pvals}
    ranked |= {name: values for name, values in numbers.items() if name in FIELDS}
    tests = {name: np.array([(value,) for value in values], [("a", np.array(values).dtype)])
             for name, values in ranked.items()}  # fmt: skip
    tables = {name: pd.DataFrame({"a": v}, names) for name, v in numbers.items() if name not in FIELDS}
    return tests | tables | {"params": {"kind": kind} if kind else {}}


FIELDS = ("differences", "effects", "logfoldchanges")


@pytest.fixture
def wine():
    return stored(
        None,
        ["alcohol", "hue", "ash", "outlier", "magnesium"],
        [8.0, -6.0, 5.0, 4.0, 1.0],
        [1e-9, 1e-5, 1e-4, 1e-3, 0.4],
        differences=[1.5, -0.25, 0.0, -3.0, 2.0],
        effects=[2.0, -1.0, 0.0, -0.5, 0.1],
        means=[13.7, 0.75, 2.0, 1.0, 101.0],
        means_rest=[12.2, 1.0, 2.0, 4.0, 99.0],
    )


def test_values_are_named_high_or_low_where_they_differ_significantly(wine):
    found = traits(wine, "a", 5)
    assert [(one.column, one.direction) for one in found] == [("alcohol", "high"), ("hue", "low")]
    assert [one.sentence for one in found] == ["high alcohol (13.7, elsewhere 12.2)", "low hue (0.75, elsewhere 1)"]
    assert (found[1].mean, found[1].elsewhere, found[1].effect, found[1].pval_adj) == (0.75, 1.0, -1.0, 1e-5)


def test_columns_whose_ranks_contradict_their_means_are_left_out(wine):
    assert "outlier" not in [one.column for one in traits(wine, "a", 5)]
    assert [one.column for one in traits(wine, "a", 1)] == ["alcohol"]
    assert traits(wine, "b", 5) == []


def test_of_counts_only_higher_genes_are_named_and_by_symbol():
    tests = stored(None, ["e1", "e2", "e3"], [9.0, 5.0, -9.0], [0.01, 0.04, 0.01], logfoldchanges=[3.0, 1.0, -4.0],
                   pts=[0.92, 1.0, 0.1], pts_rest=[0.21, 0.97, 0.9])  # fmt: skip
    said = [one.sentence for one in traits(tests, "a", 5, {"e1": "CD3D"})]
    assert said == ["high CD3D (in 92 % of cells, elsewhere 21 %)", "high e2 (2 times elsewhere)"]


def test_of_categories_only_a_surplus_is_named():
    tests = stored("categories", ["kind x", "kind y"], [5.0, -5.0], [0.01, 0.01], differences=[0.5, -0.5],
                   effects=[2.0, -2.0], means=[0.95, 0.05], means_rest=[0.03, 0.97])  # fmt: skip
    assert [one.sentence for one in traits(tests, "a", 5)] == ["kind x in 95 %, elsewhere 3 %"]


def test_tests_by_others_may_lack_shares():
    tests = stored(None, ["g"], [5.0], [0.01], logfoldchanges=[np.nan])
    assert [one.sentence for one in traits(tests, "a", 5)] == ["high g"]


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((1123.4, 507.2), ["1,120", "507"]),
        ((0.0, -0.00001), ["0", "-1e-05"]),
        ((20.01, 20.04), ["20.01", "20.04"]),
        ((1990.2, 1990.4), ["1990.2", "1990.4"]),
        ((5.0, 5.0), ["5", "5"]),
        ((np.nan, np.inf), ["nan", "inf"]),
        ((12345678.0, 1.0), ["1.23e+07", "1"]),
    ],
)
def test_numbers_have_three_digits_or_as_many_as_tell_them_apart(numbers, texts):
    assert distinct(*numbers) == texts


def test_shares_near_none_and_all_are_not_rounded_to_them():
    assert [percent(x) for x in (0, 0.0001, 0.005, 0.5, 0.995, 0.9999, 1)] == [
        *("0 %", "<0.1 %", "0.5 %", "50 %", "99.5 %", ">99.9 %", "100 %")
    ]
    assert phrase_of_values("x", 1.0, 2.0).startswith("low x")
    assert phrase_of_counts("g", 0.5, 0.3, 1.0).startswith("high g (in 50 % of cells")
