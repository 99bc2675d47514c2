"""What a user gives, read frame by frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kithkin.core.errors import ParameterError
from kithkin.plot.animation.key_frames import agree, in_point_order, read_colors, read_coordinates, series


class Stored:
    """An array of which only pieces can be read, and that counts what was asked for."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.asked = values, values.shape, values.dtype, []

    def __getitem__(self, key):
        self.asked.append(key)
        return self.values[key]


def test_what_is_stored_is_read_by_frame():
    stored = Stored(np.arange(12.0).reshape(3, 4))
    found = series(stored, "color", 1)
    assert (found.n_frames, found.shape, found.moves) == (3, (4,), True)
    assert found.at(2).tolist() == [8, 9, 10, 11]
    assert stored.asked == [2]


def test_one_array_serves_all_frames():
    found = series([1.0, 2.0], "color", 1)
    assert (found.n_frames, found.moves, found.at(7).tolist()) == (None, False, [1.0, 2.0])


def test_a_list_of_maps_is_a_list_of_frames():
    rng = np.random.default_rng(0)
    found = read_coordinates([rng.normal(size=(5, 2)) for _ in range(3)])
    assert (found.n_frames, found.shape) == (3, (5, 2))


def test_groups_keep_one_numbering_over_all_frames():
    codes, names = read_colors([["10", "2"], ["2", "1"]], None)
    assert names == ["1", "2", "10"]
    assert [codes.at(k).tolist() for k in range(2)] == [[2, 1], [1, 0]]
    kinds = pd.Categorical(["b", None, "a"], ["b", "a", "never"])
    codes, names = read_colors(kinds, None)
    assert (codes.at(0).tolist(), names) == ([0, -1, 1], ["b", "a", "never"])
    codes, names = read_colors(np.array([True, False]), None)
    assert (codes.at(0).tolist(), names) == ([1, 0], ["False", "True"])


def test_whole_numbers_are_groups_and_floats_are_values():
    assert read_colors(np.array([[0, 3], [1, 1]]), None)[1] == ["0", "1", "2", "3"]
    assert read_colors(np.array([[0.0, 3.0]]), None)[1] is None


def test_numbers_of_frames_agree():
    still, three = series(np.ones(2), "color", 1), series(np.ones((3, 2)), "coords", 1)
    assert (agree(still, still, None), agree(still, three, None), agree(still, still, 5)) == (1, 3, 5)
    with pytest.raises(ParameterError, match="coords has 3, n_frames has 4"):
        agree(three, still, 4)


def test_series_go_by_the_names_of_the_coordinates():
    coords = pd.DataFrame(np.eye(3)[:, :2], index=["a", "b", "c"])
    color = pd.Series([3.0, 1.0, 2.0], index=["c", "a", "b"])
    assert in_point_order(color, coords, "color").tolist() == [1, 2, 3]
    assert [frame.tolist() for frame in in_point_order([color, color], coords, "color")] == [[1, 2, 3]] * 2
    assert in_point_order(color, coords.to_numpy(), "color") is color
    assert in_point_order(color, coords.reset_index(drop=True), "color") is color
    moved = in_point_order([coords, coords.iloc[::-1]], [coords], "coords")
    assert moved[1].index.tolist() == ["a", "b", "c"]
    with pytest.raises(ParameterError, match="color is indexed by other names"):
        in_point_order(color.set_axis(list("xyz")), coords, "color")


def test_texts_in_a_series_are_groups():
    codes, names = read_colors(pd.Series(["T", "B", "T"], index=list("abc")), None)
    assert (codes.at(0).tolist(), names) == ([1, 0, 1], ["B", "T"])
