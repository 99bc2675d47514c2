"""Errors are one sentence, and are caught as what they are."""

import numpy as np
import pytest

from kithkin.core.errors import (
    FormatError,
    KithkinError,
    MissingResultError,
    ParameterError,
    check,
    check_choice,
    check_range,
)


@pytest.mark.parametrize(
    ("error", "kind"), [(ParameterError, ValueError), (FormatError, ValueError), (MissingResultError, KeyError)]
)
def test_each_is_caught_as_pythons_own_and_as_kithkins(error, kind):
    for caught in (kind, KithkinError):
        with pytest.raises(caught) as info:
            raise error("a.zarr is not there")
        assert str(info.value) == "a.zarr is not there", "a KeyError would put quotes around it"


def test_check_raises_only_when_it_must():
    check(True, "never")
    with pytest.raises(ParameterError, match=r"^always$"):
        check(False, "always")


@pytest.mark.parametrize("value", [2, 10, 2.5, np.int8(3), np.float32(9.5), np.array(4)])
def test_numbers_within_the_range_pass(value):
    check_range("n", value, 2.0, 10)


@pytest.mark.parametrize("value", [2.0, 2.5, np.float32(9.5), np.array(4.0)])
def test_between_integers_only_whole_numbers_pass(value):
    with pytest.raises(ParameterError, match=r"^n must be a whole number in 2\.\.10, got"):
        check_range("n", value, 2, 10)
    check_range("n", np.int16(4), 2, np.int64(10))


@pytest.mark.parametrize(
    "value", [1, 11, 1.99, float("nan"), float("inf"), np.float64("nan"), True, np.True_, "3", None, [3]]
)
def test_anything_else_is_out_of_range(value):
    with pytest.raises(ParameterError, match=r"^n must be in 2\.\.10, got"):
        check_range("n", value, 2, 10)


def test_choices_are_listed():
    check_choice("method", "a", ("a", "b"))
    with pytest.raises(ParameterError, match=r"^method must be one of 'a', 'b', got None$"):
        check_choice("method", None, ("a", "b"))
