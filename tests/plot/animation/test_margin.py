"""Legends, colour bars and titles as pixels."""

from __future__ import annotations

import numpy as np
import pytest

from kithkin.plot.animation.levels import INK, LEVELS, MISSING, SHADES
from kithkin.plot.animation.margin import bar_of, fitting, legend_of, letters, text_width, write


@pytest.mark.parametrize("n", [1, 30, 90, 400])
@pytest.mark.parametrize("size", [(800, 800), (300, 200)])
def test_legends_stay_within_their_room(n, size):
    names, slots = [f"group {k}" for k in range(n)], (np.arange(n) % LEVELS + 1).astype(np.uint8)
    legend = legend_of(names, slots, size, has_missing=True)
    assert legend.shape[0] == size[1]
    assert legend.shape[1] <= 0.4 * size[0]
    shown = set(legend[legend <= LEVELS].tolist()) - {0}
    if n == 1:
        assert (legend == MISSING).any()
    assert len(shown) >= min(n, 5)


def test_legends_begin_below_the_title():
    legend = legend_of(["Ågg", "b"], np.array([1, 2], np.uint8), (800, 800))
    picture = np.zeros((800, 800), np.uint8)
    write(picture, "Ågjpq", letters((800, 800)), letters((800, 800)) // 2, letters((800, 800)))
    assert np.flatnonzero(picture.any(axis=1)).max() < np.flatnonzero(legend.any(axis=1)).min()


def test_every_square_of_a_legend_is_clear_of_its_text():
    legend = legend_of(["a", "b"], np.array([1, 2], np.uint8), (800, 800))
    for slot in (1, 2):
        rows, columns = np.nonzero(legend == slot)
        block = legend[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (block == slot).all()


def test_a_bar_runs_through_all_levels():
    bar = bar_of("low", "high", "closeness", (800, 800))
    assert set(range(1, LEVELS + 1)) <= set(bar[:, 0].tolist())


def test_long_titles_are_cut_where_they_do_not_fit():
    text = fitting("a title that is far too long for such a picture", 100, 12)
    assert text.endswith("…")
    assert text_width(text, 12) <= 100
    assert fitting("two\nlines", 500, 12) == "two lines"


def test_text_that_lies_outside_is_no_error():
    picture = np.zeros((20, 20), np.uint8)
    write(picture, "text", 30, 5, 10)
    write(picture, "text", 5, 30, 10)
    assert not picture.any()
    write(picture, "a long text", 5, 5, 10)
    assert picture.max() < INK + SHADES
    assert picture.any()


def test_letters_grow_with_the_picture():
    assert letters((1600, 1200)) > letters((800, 800)) > letters((200, 200)) >= 9
