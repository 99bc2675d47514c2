import numpy as np
from scipy.stats import false_discovery_control

from kithkin.models.table.adjustment import adjust


def test_equals_scipys_false_discovery_control_in_every_row():
    pvals = np.random.default_rng(2).random((3, 200)) ** 3
    pvals[1, :50] = 0.5
    np.testing.assert_allclose(adjust(pvals), [false_discovery_control(row) for row in pvals])
    np.testing.assert_allclose(adjust(pvals[0]), false_discovery_control(pvals[0]))


def test_what_is_not_tested_stays_missing_and_does_not_count():
    pvals = np.random.default_rng(3).random((2, 100)) ** 3
    pvals[0, ::3] = np.nan
    tested = ~np.isnan(pvals[0])
    found = adjust(pvals)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(pvals))
    np.testing.assert_allclose(found[0, tested], false_discovery_control(pvals[0, tested]))


def test_none_at_all():
    assert np.isnan(adjust(np.full(3, np.nan))).all()
    assert adjust(np.zeros((2, 0))).shape == (2, 0)
    assert adjust(np.zeros(0)).shape == (0,)
