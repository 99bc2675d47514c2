"""Sizes of windows and pixels, and names of channels."""

import numpy as np

from kithkin.io.cutting.job import channel_names, is_square, parse_micrometres, pixels_of
from kithkin.io.images.open import open_image


def test_lengths_in_micrometres():
    given = ["30 um", "0.5µm", ".5um", 30, "um", "30"]
    assert [parse_micrometres(length) for length in given] == [30.0, 0.5, 0.5, None, None, None]
    assert pixels_of("30um", open_image(np.zeros((2, 4, 5))), 0.5) == 60


def test_pixels_are_square_up_to_rounding():
    assert is_square((0.3775, 0.3774))
    assert not is_square((1.0, 0.5))


def test_channels_without_names_are_numbered_from_1():
    assert channel_names([], [2]) == ["channel 3"]
    assert channel_names(["DNA", "CD3"], [1]) == ["CD3"]
