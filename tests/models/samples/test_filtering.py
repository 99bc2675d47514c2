import numpy as np
import pytest
from scipy.stats import false_discovery_control

from kithkin.models.samples.filtering import filtered_adjustment, lowess, n_rejected
from kithkin.models.table.adjustment import adjust


def test_as_many_are_found_as_by_scipy():
    pvals = np.random.default_rng(0).uniform(size=200) ** 3
    for fdr in (0.01, 0.05, 0.3):
        assert n_rejected(np.sort(pvals), fdr) == (false_discovery_control(pvals) < fdr).sum()
    assert n_rejected(np.array([]), 0.05) == 0


def test_genes_with_few_counts_are_filtered_where_that_finds_more():
    rng = np.random.default_rng(1)
    means = np.exp(rng.normal(3, 2, 3000))
    pvals = rng.uniform(size=3000)
    strong = means > np.quantile(means, 0.8)
    pvals[strong] = np.where(rng.random(strong.sum()) < 0.3, 10 ** -rng.uniform(2, 5, strong.sum()), pvals[strong])
    pvals[:5] = np.nan
    found = filtered_adjustment(pvals, means, 0.05)
    plain = np.full(3000, np.nan)
    plain[5:] = adjust(pvals[5:])
    assert (found < 0.05).sum() > (plain < 0.05).sum()
    cut = means[~np.isnan(found)].min()
    assert np.isnan(found[means < cut]).all()
    np.testing.assert_allclose(found[5:][means[5:] >= cut], adjust(pvals[5:][means[5:] >= cut]))


def test_without_findings_all_genes_with_counts_stay():
    pvals, means = np.random.default_rng(2).uniform(size=100), np.r_[np.zeros(10), np.arange(1, 91.0)]
    pvals[:10] = np.nan
    found = filtered_adjustment(pvals, means, 0.05)
    assert np.isnan(found).tolist() == [True] * 10 + [False] * 90
    assert np.isnan(filtered_adjustment(np.full(3, np.nan), np.arange(3.0), 0.05)).all()


def test_lowess_follows_a_curve_and_not_an_outlier():
    x = np.linspace(0, 1, 50)
    y = np.sin(3 * x)
    spoilt = y.copy()
    spoilt[25] += 5
    np.testing.assert_allclose(lowess(x, y, 0.2), y, atol=0.01)
    np.testing.assert_allclose(lowess(x, spoilt, 0.2), y, atol=0.05)
    assert lowess(x, np.zeros(50), 0.2).tolist() == pytest.approx([0.0] * 50)
