"""Points in pixels: against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from kithkin.plot.animation.key_frames import read_coordinates
from kithkin.plot.animation.levels import LEVELS, MISSING
from kithkin.plot.animation.renderer import Window, grow, majority_image, mean_image


@pytest.mark.parametrize("seed", range(3))
def test_pixels_take_the_mean_level(seed):
    rng = np.random.default_rng(seed)
    pixel = rng.integers(0, 51, 300)  # the last stands for points outside
    levels = np.where(rng.random(300) < 0.3, MISSING, rng.integers(0, LEVELS, 300)).astype(np.uint8)
    image = mean_image(pixel, levels, 50)
    for k in range(50):
        here = levels[pixel == k]
        known = here[here != MISSING].astype(float)
        wanted = 0 if len(here) == 0 else MISSING if len(known) == 0 else 1 + known.mean()
        assert abs(image[k] - wanted) <= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_pixels_take_the_group_of_most_points(seed):
    rng = np.random.default_rng(seed)
    pixel, codes = rng.integers(0, 51, 300), rng.integers(-1, 5, 300)
    image = majority_image(pixel, codes, np.arange(10, 15, dtype=np.uint8), 50)
    for k in range(50):
        here = codes[pixel == k]
        counts = np.bincount(here[here >= 0], minlength=5)
        assert image[k] == (0 if len(here) == 0 else MISSING if counts.sum() == 0 else 10 + counts.argmax())


@pytest.mark.parametrize("dot", range(1, 9))
def test_dots_are_round_and_of_their_diameter(dot):
    image = np.zeros((21, 21), np.uint8)
    image[10, 10] = 5
    grown = grow(image, dot) > 0
    assert grown.any(axis=0).sum() == grown.any(axis=1).sum() == dot
    assert grown.sum() == pytest.approx(np.pi * dot**2 / 4, rel=0.3)
    np.testing.assert_array_equal(grown, grown.T)


def test_dots_do_not_cover_other_points_and_end_at_the_edge():
    image = np.zeros((6, 9), np.int32)
    image[2, 2], image[2, 5], image[0, 8] = 1, 2, 3
    grown = grow(image, 5)
    assert (grown[2, 2], grown[2, 5], grown[0, 8]) == (1, 2, 3)
    assert grown[2, :7].tolist() == [1, 1, 1, 1, 2, 2, 2]


def test_the_window_holds_all_points_at_one_scale():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(4, 100, 2)) * [5, 1]
    window = Window.around(read_coordinates(frames), 300, 200, 5)
    pixel = window.pixels(frames.reshape(-1, 2))
    assert pixel.max() < 300 * 200
    rows, columns = np.divmod(pixel, 300)
    assert min(columns.min(), 299 - columns.max()) >= 5
    wide, tall = np.ptp(columns) / np.ptp(frames[..., 0]), np.ptp(rows) / np.ptp(frames[..., 1])
    assert wide == pytest.approx(tall, rel=0.05)
    assert rows[frames.reshape(-1, 2)[:, 1].argmax()] == rows.min()  # up is up


def test_one_point_stands_in_the_middle():
    places = read_coordinates(np.array([[3.0, -2.0]]))
    assert Window.around(places, 100, 50, 1).pixels(places.at(0)).tolist() == [25 * 100 + 50]
