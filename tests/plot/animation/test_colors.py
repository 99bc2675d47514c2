"""Palettes of animations."""

from __future__ import annotations

import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.plot.animation.colors import palette_of, slots_of, value_colors
from kithkin.plot.animation.levels import INK, LEVELS, SHADES


def test_palettes_hold_ink_that_can_be_read():
    for dark in (False, True):
        colors = palette_of(value_colors(None), dark).astype(int)
        assert np.abs(colors[0] - colors[INK + SHADES - 1]).min() > 150
        assert colors.shape == (256, 3)


def test_palettes_of_groups():
    colors, slots = slots_of([str(k) for k in range(500)], None, dark=False)
    assert len(colors) <= LEVELS
    assert slots.min() >= 1
    assert slots[3] == slots[163]  # colours repeat
    assert len(slots_of(["a", "b", "c"], "tab10", dark=False)[0]) == 3
    with pytest.raises(ParameterError, match="name of a colour map, got 'nonsense'"):
        slots_of(["a"], "nonsense", dark=False)
    with pytest.raises(ParameterError, match="at most 224 different colours, got 300"):
        slots_of([str(k) for k in range(300)], [(k / 300, 0, 0) for k in range(300)], dark=False)
