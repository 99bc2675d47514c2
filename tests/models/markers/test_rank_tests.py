from __future__ import annotations

import numpy as np
from scipy import stats

from kithkin.models.markers.rank_tests import log_fold_change, two_sided, welch, wilcoxon


def test_wilcoxon_is_scipys_mann_whitney_without_continuity():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40), rng.integers(1, 7, 55)
    expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
    t = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(float)
    z, auc = wilcoxon(
        np.array([2 * expected.statistic]), np.array([(t**3 - t).sum()]), np.array([40.0]), np.array([55.0])
    )
    np.testing.assert_allclose(two_sided(z), expected.pvalue)
    np.testing.assert_allclose(auc, expected.statistic / (40 * 55))


def test_wilcoxon_of_equal_values_is_zero():
    n = np.array([5.0])
    z, auc = wilcoxon(n * n, np.array([10.0**3 - 10]), n, n)
    assert z.tolist() == [0.0]
    assert auc.tolist() == [0.5]


def test_welch_is_scipys():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 20), rng.normal(0.7, 3, 33)
    moments = (np.array([x.mean()]) for x in (a, b)), (np.array([x.var(ddof=1)]) for x in (a, b))
    t, p = welch(*moments[0], *moments[1], np.array([20.0]), np.array([33.0]))
    expected = stats.ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose((t[0], p[0]), (expected.statistic, expected.pvalue))


def test_huge_scores_give_zero_without_complaint():
    with np.errstate(all="raise"):
        p = two_sided(np.array([-500.0, 37.0, 1e6]))
    assert p[0] == p[2] == 0
    assert 0 < p[1] < 1e-290


def test_fold_change_of_large_means_does_not_overflow():
    np.testing.assert_allclose(log_fold_change(np.array([2000.0]), np.array([1000.0])), 1000 / np.log(2))
    assert np.isnan(log_fold_change(np.array([-1.0]), np.array([1.0])))[0]
    assert log_fold_change(np.array([0.0]), np.array([0.0])).tolist() == [0.0]
