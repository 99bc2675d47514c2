"""Colours that panels of a figure share, also where a colour map is named."""

import numpy as np
import pytest
from matplotlib import colormaps

from kithkin.plot.data import Groups
from kithkin.plot.look.matching import color_together

CODES = np.repeat(np.arange(4), 10)
NAMES = list("abcd")


@pytest.mark.parametrize("palette", [None, "tab20", "viridis"])
def test_groups_of_the_same_rows_share_a_colour(palette):
    swapped = np.array([2, 0, 3, 1])[CODES]
    finer = np.where((CODES == 0) & (np.arange(40) < 3), 4, CODES)
    parts = [Groups("one", CODES, NAMES), Groups("other", swapped, NAMES), Groups("finer", finer, [*NAMES, "e"])]
    one, other, some = color_together(parts, palette)
    assert np.array_equal(other.colors[[2, 0, 3, 1]], one.colors)
    assert np.array_equal(some.colors[:4], one.colors)
    assert not (some.colors[4] == one.colors).all(axis=1).any()
    if palette == "tab20":
        assert np.array_equal(one.colors, colormaps["tab20"](np.arange(4)))
        assert (some.colors[4] == colormaps["tab20"](np.arange(20))).all(axis=1).any()


def test_a_colour_map_takes_the_place_of_stored_colours():
    stored = Groups("one", CODES, NAMES, colors=np.ones((4, 4)))
    assert np.array_equal(color_together([stored], "tab20")[0].colors, colormaps["tab20"](np.arange(4)))


def test_colours_that_are_listed_or_named_are_taken_as_they_are():
    parts = [Groups("one", CODES, NAMES), Groups("other", 3 - CODES, NAMES)]
    given = ["red", "green", "blue", "black"]
    for palette in (given, dict(zip(NAMES, given, strict=True))):
        one, other = color_together(parts, palette)
        assert np.array_equal(one.colors, other.colors)


def test_more_groups_than_colours():
    fine = np.arange(50) // 2
    one, other = color_together(
        [Groups("one", fine, [str(k) for k in range(25)]), Groups("other", np.arange(50), [str(k) for k in range(50)])],
        "tab10",
    )
    assert one.colors.shape == (25, 4)
    assert other.colors.shape == (50, 4)
