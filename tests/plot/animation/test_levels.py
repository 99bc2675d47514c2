"""Values as levels of colour: against all ranks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kithkin.plot.animation.levels import LEVELS, MISSING, rank_levels, value_levels


@given(st.lists(st.sampled_from([0.0, 1e-30, 1e-9, 0.25, 1.0, 2.0, np.nan, np.inf]) | st.floats(-5, 5), max_size=60))
def test_levels_by_rank_are_those_of_all_ranks(values):
    values = np.array(values, float)
    known = values[np.isfinite(values)]
    ranks = np.array([(known < value).sum() for value in known])
    top = ranks.max(initial=0)
    exact = ranks / max(top, 1) * (LEVELS - 1)
    found = rank_levels(values)
    assert (found[~np.isfinite(values)] == MISSING).all()
    assert np.abs(found[np.isfinite(values)] - exact).max(initial=0) <= 0.5 + 1e-9


def test_levels_by_rank_do_not_depend_on_precision_or_order():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1000, 5000) / 64  # exact in single precision
    order = rng.permutation(5000)
    np.testing.assert_array_equal(rank_levels(values), rank_levels(values.astype(np.float32)))
    np.testing.assert_array_equal(rank_levels(values)[order], rank_levels(values[order]))


def test_levels_by_value_are_even():
    found = value_levels(np.linspace(0, 1, 22301), 0.0, 1.0)
    assert np.bincount(found)[1:-1].min() >= 99
    assert (found[0], found[-1]) == (0, LEVELS - 1)
