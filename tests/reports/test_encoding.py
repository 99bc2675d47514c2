"""What is written in few bits is read back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kithkin.reports.encoding import to_levels, to_places, to_varints


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_varints_are_those_of_leb128(numbers):
    raw, out, place = to_varints(np.array(numbers, np.uint32)), [], 0
    while place < len(raw):
        number = shift = 0
        while True:
            byte = raw[place]
            place += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        out.append(number)
    assert out == numbers


def test_levels_are_within_half_a_step():
    values = np.random.default_rng(0).normal(size=1000)
    low, high = values.min(), values.max()
    back = low + to_levels(values, low, high) / 254 * (high - low)
    assert np.abs(back - values).max() <= (high - low) / 254 / 2 * 1.0001


def test_one_value_and_none_are_levels_too():
    assert to_levels(np.array([3.0, np.nan, np.inf]), 3.0, 3.0).tolist() == [0, 255, 254]


def test_a_map_keeps_its_proportions():
    xy = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    places = to_places(xy).astype(int)
    assert places.tolist() == [[0, 0], [65534, 0], [0, 32767]]
    assert to_places(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]
    assert (to_places(np.full((2, 2), np.nan)) == 65535).all()
