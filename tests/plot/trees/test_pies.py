import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Wedge

from kithkin.plot.data import Groups, Numbers
from kithkin.plot.look.palette import MISSING
from kithkin.plot.look.style import Picture
from kithkin.plot.trees.pies import SMALLEST, Pies, Sizes


def test_areas_are_proportional_between_the_bounds():
    counts = np.array([1, 100, 400, 500, 90_000])
    sizes = Sizes.of(counts, 3, 0.2, 0.3)
    radii = sizes.radii(counts)
    assert radii[2] == pytest.approx(0.2)
    assert radii[1] ** 2 / radii[2] ** 2 == pytest.approx(100 / 400)
    assert radii[0] == pytest.approx(SMALLEST)
    assert radii[4] == pytest.approx(sizes.radii(np.array(sizes.most)))
    assert radii[4] <= 0.3


def test_the_legend_of_areas_names_the_bound():
    counts = np.array([100, 400, 90_000])
    sizes = Sizes.of(counts, 2, 0.2, 0.3)
    names, radii = zip(*sizes.examples(counts), strict=True)
    assert names[-1].endswith("or more")
    assert list(radii) == sorted(radii)
    free = Sizes.of(np.array([100, 400, 500]), 2, 0.1, 0.3)
    assert not any("more" in name for name, _ in free.examples(np.array([100, 400, 500])))


def test_shares_are_those_of_a_table():
    rng = np.random.default_rng(0)
    codes, kinds = rng.integers(-1, 4, 500), rng.integers(-1, 3, 500)
    members = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1]], bool)
    pies = Pies.of(Groups("kind", kinds, ["a", "b", "c", "nobody"]), codes, members)
    for i, groups in enumerate(members):
        inside = np.isin(codes, np.flatnonzero(groups)) & (kinds >= 0)
        wanted = pd.Series(kinds[inside]).value_counts(normalize=True).sort_index()
        np.testing.assert_allclose(pies.shares[i], wanted)
    assert pies.names == ["a", "b", "c"]
    assert pies.n_missing == int(((codes >= 0) & (kinds < 0)).sum())


def test_values_are_means_over_all_observations_of_a_set():
    values = np.array([1.0, 3.0, np.nan, 9.0, np.nan, 5.0])
    codes = np.array([0, 0, 0, 1, 2, -1])
    members = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], bool)
    pies = Pies.of(Numbers("age", values), codes, members)
    np.testing.assert_allclose(np.asarray(pies.scale.get_array())[[0, 1, 3]], [2.0, 9.0, 13 / 3])
    assert np.ma.getmaskarray(pies.scale.get_array()).tolist() == [False, False, True, False]
    assert pies.n_missing == 2
    assert pies.shares.any(axis=1).tolist() == [True, True, False, True]
    assert pies.scale.get_clim() == (2.0, 9.0)


def test_wedges_go_with_the_clock_from_the_top_and_unknown_is_grey():
    members = np.eye(2, dtype=bool)
    fill = Groups("kind", np.array([0, 1, 1, 1, -1]), ["a", "b"])
    pies = Pies.of(fill, np.array([0, 0, 0, 0, 1]), members, {"a": "red", "b": "blue"})
    ax = Picture(2, 2).add_subplot()
    pies.draw(ax, np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.2, 0.1]))
    wedges = [patch for patch in ax.patches if isinstance(patch, Wedge)]
    assert [(w.theta1, w.theta2) for w in wedges] == [(0.0, 90.0), (-270.0, 0.0)]
    assert [w.get_facecolor() for w in wedges] == [to_rgba("red"), to_rgba("blue")]
    rims = [patch for patch in ax.patches if not isinstance(patch, Wedge)]
    assert rims[1].get_facecolor() == to_rgba(MISSING)
    assert [rim.radius for rim in rims] == [0.2, 0.1]
