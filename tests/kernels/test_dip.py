"""The dip is the distance to the nearest unimodal distribution, found here by linear programmes."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linprog

from kithkin.kernels.dip import dip


def distance_with_mode(values, F, before, mode):
    """Least largest distance from a distribution function that is convex up to a value and concave from there.

    Unknowns are its values at all places, twice at the mode (where it may jump), and the distance.
    """
    k = len(values)
    rows, limits = [], []

    def at_most(limit, *terms):
        row = np.zeros(k + 2)
        for place, factor in terms:
            row[place] += factor
        rows.append(row)
        limits.append(limit)

    left, right = list(range(mode + 1)), list(range(mode + 1, k + 1))
    for i in range(k):
        low, high = (i if i <= mode else i + 1), (i + 1 if i >= mode else i)
        for place, target in ((low, before[i]), (high, F[i])):
            at_most(target, (place, 1), (k + 1, -1))
            at_most(-target, (place, -1), (k + 1, -1))
    at_most(0, (mode, 1), (mode + 1, -1))
    for places, x, sign in ((left, values[: mode + 1], 1), (right, values[mode:], -1)):
        for a, b in pairwise(places):
            at_most(0, (a, 1), (b, -1))
        for i in range(len(places) - 2):
            first, second = x[i + 1] - x[i], x[i + 2] - x[i + 1]
            terms = ((i + 2, -1 / second), (i + 1, 1 / second + 1 / first), (i, -1 / first))
            at_most(0, *((places[j], sign * factor) for j, factor in terms))
    goal = np.zeros(k + 2)
    goal[-1] = 1
    return linprog(goal, A_ub=np.array(rows), b_ub=np.array(limits), bounds=[(0, 1)] * (k + 2)).fun


def dip_by_definition(x):
    values, counts = np.unique(x, return_counts=True)
    F = counts.cumsum() / len(x)
    return min(distance_with_mode(values, F, F - counts / len(x), mode) for mode in range(len(values)))


@pytest.mark.parametrize("seed", range(24))
def test_it_is_the_distance_to_the_nearest_unimodal_distribution(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rng.integers(3, 13)) + 5 * (seed % 2) * (rng.random() < 0.7)
    x = np.where(np.arange(len(x)) % 2, x, rng.normal(size=len(x)))
    x = np.sort(np.round(1.5 * x) if seed % 3 == 0 else x)
    assert dip(x) == pytest.approx(max(dip_by_definition(x), 0.5 / len(x)), abs=1e-9)


def test_known_values():
    assert dip(np.linspace(0, 1, 50)) == pytest.approx(0.01)  # the least there is, 1 / (2 n)
    assert dip(np.full(9, 3.0)) == pytest.approx(1 / 18)
    assert dip(np.array([2.0])) == pytest.approx(0.5)
    two = np.repeat([0.0, 1.0], 500)  # two points: a quarter, the most there is
    assert dip(two) == pytest.approx(0.25)
    # of the density |x| on -1..1: the line through the middle that is d from F at -1, and touches F - d on its way
    square = 2 * np.arange(20_000) / 20_000 - 1
    x = np.sort(np.sign(square) * np.sqrt(np.abs(square)))
    assert dip(x) == pytest.approx(1.5 - np.sqrt(2), abs=1e-4)


def test_place_unit_direction_and_type_do_not_matter():
    rng = np.random.default_rng(0)
    x = np.sort(np.concatenate([rng.normal(size=300), rng.normal(4, 1, 200)]))
    found = dip(x)
    assert dip(7 + 2 * x) == pytest.approx(found)
    assert dip(-x[::-1].copy()) == pytest.approx(found)
    assert dip(x.astype(np.float32)) == pytest.approx(found, abs=1e-5)
    assert dip(np.sort(rng.permutation(x))) == found
