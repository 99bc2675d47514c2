import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kithkin.plot.look.labels import overlaps, repel, spread


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.5, 8))
def test_spread_leaves_no_overlap_and_keeps_the_order(positions, size):
    sizes = np.full(len(positions), size)
    out = spread(np.sort(positions), sizes, 0, 100)
    assert (np.diff(out) >= size - 1e-9).all()
    assert out[0] >= size / 2 - 1e-9
    assert out[-1] <= 100 - size / 2 + 1e-9


def test_spread_moves_as_little_as_possible():
    wanted, sizes = np.array([10.0, 11.0, 12.0, 30.0]), np.array([4.0, 6.0, 4.0, 4.0])
    gaps = [{"type": "ineq", "fun": lambda x, i=i: x[i + 1] - x[i] - (sizes[i] + sizes[i + 1]) / 2} for i in range(3)]
    best = minimize(lambda x: ((x - wanted) ** 2).sum(), wanted, constraints=gaps).x
    np.testing.assert_allclose(spread(wanted, sizes, -100, 100), best, atol=1e-4)


def test_spread_leaves_what_fits():
    np.testing.assert_array_equal(spread(np.array([5.0, 20.0]), np.array([2.0, 2.0]), 0, 30), [5, 20])


def test_repel_parts_a_crowd_inside_the_frame():
    rng = np.random.default_rng(0)
    anchors, sizes = rng.normal(300, 30, (40, 2)), np.column_stack([rng.uniform(40, 90, 40), np.full(40, 14.0)])
    centers, clear = repel(anchors, sizes, np.zeros(2), np.full(2, 600.0))
    over = overlaps(centers, sizes)
    assert clear
    assert not (over > 1e-6).all(axis=2).any()
    assert (centers - sizes / 2 >= 0).all()
    assert (centers + sizes / 2 <= 600).all()


def test_repel_leaves_labels_that_do_not_touch_where_they_are():
    anchors = np.array([[100.0, 100.0], [300.0, 300.0]])
    centers, clear = repel(anchors, np.full((2, 2), 20.0), np.zeros(2), np.full(2, 400.0))
    assert clear
    assert np.abs(centers - anchors).max() < 0.5


def test_repel_says_when_there_is_no_room():
    _, clear = repel(np.zeros((9, 2)), np.full((9, 2), 50.0), np.zeros(2), np.full(2, 100.0))
    assert not clear
