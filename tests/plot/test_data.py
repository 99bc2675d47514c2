"""Values and groups of figures: whole numbers that are classes, and those that are measurements."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.core.errors import ParameterError
from kithkin.plot.data import Groups, Numbers, are_classes, describe, groups

DIGITS = np.repeat(np.arange(10), 6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (DIGITS, True),
        (DIGITS + 1, True),
        (DIGITS.astype(np.uint8), True),
        (np.where(DIGITS < 5, 3, 8), True),  # a part of them
        (pd.array([1, 2, None, 1, 2], "Int64"), True),
        (np.repeat(np.arange(60), 2), True),
        (np.repeat(np.arange(60), 2) + 5, False),  # ages: many, and not from 0 or 1
        (np.repeat(np.arange(101), 2), False),
        (np.arange(12), False),  # numbers of rows: each stands alone
        (np.r_[DIGITS, -1, -1], False),
        (np.zeros(9, int), False),
        (DIGITS.astype(float), False),
        (DIGITS > 4, False),  # booleans are groups in any case
    ],
)
def test_which_whole_numbers_are_classes(values, expected):
    assert are_classes(pd.Series(values)) == expected


@pytest.fixture
def labelled(tmp_path):
    ds = kk.read(np.random.default_rng(0).random((60, 4)), to=tmp_path / "a.zarr", progress=False)
    kk.annotate(ds, "digit", DIGITS)
    kk.annotate(ds, "age", 20 + np.arange(60) // 2)
    return ds


def test_labels_that_annotate_was_given_are_drawn_as_classes(labelled):
    found = describe(labelled, "digit")
    assert isinstance(found, Groups)
    assert found.names == [str(k) for k in range(10)]
    assert np.array_equal(found.codes, DIGITS)
    assert labelled["obs/digit"].dtype.kind == "i", "they stay numbers on disk"
    figure = kk.plot.scatter(labelled, on=np.random.default_rng(1).random((60, 2)), color="digit")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [f"{k} (6)" for k in range(10)]
    assert groups(labelled, "digit").names == found.names
    assert kk.plot.mean_image(labelled, by="digit", shape=(2, 2)).axes


def test_measurements_stay_values(labelled):
    assert isinstance(describe(labelled, "age"), Numbers)
    with pytest.raises(ParameterError, match="by must be groups, got numbers"):
        groups(labelled, "age")
    assert isinstance(describe(labelled, "digit", classes=False), Numbers)
    assert kk.plot.violin(labelled, "digit", by="digit").axes, "a violin shows the numbers"
