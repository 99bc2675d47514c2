from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from kithkin.kernels.permutation import pearson_tail, permutation_pvals, permutation_tails, sum_tails


def moments(values):
    mean = values.mean() if len(values) else 0.0
    deviation = values - mean
    return (mean, (deviation**2).mean(), (deviation**3).mean()) if len(values) else (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("n", "held"), [(1, 3), (5, 3), (5, 60), (60, 5), (90, 70), (40, 100), (50, 50)])
def test_of_values_that_are_all_equal_it_is_the_hypergeometric_distribution(n, held):
    for k in range(max(0, n + held - 100), min(n, held) + 1):
        above, below = permutation_tails(2.5 * k, n, 100, held, 2.5, 0.0, 0.0)
        exact = stats.hypergeom(100, held, n)
        if min(n, 100 - n) * min(held, 100 - held) / 100 <= 30:
            assert above == pytest.approx(exact.sf(k - 1), rel=1e-9, abs=1e-300)
            assert below == pytest.approx(exact.cdf(k), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("seed", range(4))
def test_tails_are_close_to_those_of_all_groups(seed):
    """Rows with zeros and skewed values: all 15,504 groups of 5 among 20."""
    rng = np.random.default_rng(seed)
    rows = np.where(rng.random(20) < 0.5, 0.0, rng.gamma(2.0, 1.0, 20))
    held = rows[rows != 0]
    sums = np.array([rows[list(group)].sum() for group in combinations(range(20), 5)])
    for total in np.quantile(sums, [0.01, 0.05, 0.3, 0.5, 0.8, 0.95, 0.99, 0.999]):
        above, below = permutation_tails(total, 5, 20, len(held), *moments(held))
        assert above == pytest.approx((sums >= total - 1e-9).mean(), rel=0.5, abs=0.01)
        exact = (sums <= total + 1e-9).mean()  # the thin tail, which is rather taken too heavy
        assert 0.6 * exact - 0.01 <= below <= 2.5 * exact + 0.02


def test_a_group_and_the_rest_have_each_others_tails():
    rng = np.random.default_rng(0)
    rows = np.where(rng.random(90) < 0.7, 0.0, rng.normal(2, 1, 90))
    held = rows[rows != 0]
    for n in (3, 30, 60, 87):
        above, below = permutation_tails(rows[:n].sum(), n, 90, len(held), *moments(held))
        other = permutation_tails(rows[n:].sum(), 90 - n, 90, len(held), *moments(held))
        assert (above, below) == pytest.approx((other[1], other[0]), rel=1e-6)


def test_pearson_tails_are_those_of_a_gamma_distribution():
    for skewness in (0.2, 0.7, 1.5):
        for z in (0.5, 2.0, 4.0):
            assert pearson_tail(z, skewness) == pytest.approx(stats.pearson3.sf(z, skewness), rel=0.06)
            assert pearson_tail(z, -skewness) >= stats.norm.sf(z)
    assert pearson_tail(1.3, 0.0) == pytest.approx(stats.norm.sf(1.3))
    assert pearson_tail(-3.0, 2.0) == 1.0  # below the least value of the distribution


def test_nothing_to_draw_from_has_tails_of_one():
    assert permutation_tails(0.0, 5, 20, 0, 0.0, 0.0, 0.0) == (1.0, 1.0)
    assert permutation_tails(3.0, 20, 20, 4, 1.0, 0.5, 0.0) == (1.0, 1.0)
    assert sum_tails(4.0, 4, 4, 1.0, 0.5, 0.1) == (1.0, 1.0)


def test_far_tails_are_neither_zero_nor_missing():
    pvals = np.empty(3)
    ones = np.array([200.0, 2000.0, 10.0]), np.array([200, 2000, 10]), np.array([10_000, 5000, 4000])
    permutation_pvals(*ones, np.array([200, 2000, 10]), np.ones(3), np.zeros(3), np.zeros(3), pvals)
    exact = 2 * stats.hypergeom.sf(9, 4000, 10, 10)
    assert pvals[2] == pytest.approx(exact, rel=1e-6)
    assert np.isfinite(pvals).all()
