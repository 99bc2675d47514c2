import numpy as np
import pytest
from scipy import stats

from kithkin.models.support.dip_test import QUANTILES, SIZES, TAILS, dip_pvalue, dip_test


@pytest.mark.parametrize(("n", "sets"), [(15, 2000), (70, 1000), (700, 300), (6000, 200)])
def test_p_of_uniform_values_is_uniform(n, sets):
    """Also of numbers of values between those of the table, and beyond."""
    rng = np.random.default_rng(n)
    p = np.array([dip_test(rng.random(n))[1] for _ in range(sets)])
    assert stats.kstest(p, "uniform").pvalue > 0.005
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / sets))


def test_p_of_other_distributions_with_one_mode_is_larger():
    rng = np.random.default_rng(0)
    for draw in (rng.standard_normal, rng.standard_exponential, rng.standard_cauchy):
        assert np.mean([dip_test(draw(400))[1] <= 0.05 for _ in range(200)]) <= 0.01


def test_p_falls_with_the_dip_far_beyond_the_table():
    for n in (4, 37, 500, 10**6):
        p = [dip_pvalue(found, n) for found in np.linspace(0.5 / n, 0.25, 400)]
        assert (np.diff(p) <= 0).all()
        assert p[0] == 1
        assert 0 <= p[-1] < (0.05 if n == 4 else 1e-8)
    assert len(QUANTILES) == len(SIZES)
    assert {len(row) for row in QUANTILES} == {len(TAILS)}


def test_two_modes_are_found_and_few_values_are_not_tested():
    rng = np.random.default_rng(1)
    found, p = dip_test(np.concatenate([rng.normal(0, 1, 200), rng.normal(4, 1, 200)]))
    assert p < 1e-4
    assert found > 0.04
    assert dip_test(np.array([0.0, 0.0, 9.0])) == (0.0, 1.0)
