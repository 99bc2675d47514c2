"""Changes of shares are found, tests keep to their rate, and moderation is that of Smyth."""

import numpy as np
import pytest
from scipy.special import digamma, polygamma
from scipy.stats import t as student

from kithkin import models
from kithkin.core.errors import ParameterError
from kithkin.models.samples.composition import inverse_trigamma, variance_prior

DESIGN = np.stack([np.ones(6), np.arange(6) >= 3], axis=1).astype(float)


def drawn(seed, n_clusters=6, spread=80, growth=0.0):
    """Cells of six donors, whose shares scatter around common ones; the first cluster grows in the last three."""
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.full(n_clusters, 3.0))
    grown = base * np.exp(growth * (np.arange(n_clusters) == 0))
    means = [base, base, base, grown / grown.sum(), grown / grown.sum(), grown / grown.sum()]
    return np.array([rng.multinomial(rng.integers(200, 2000), rng.dirichlet(spread * mean)) for mean in means])


def test_it_is_a_linear_model_of_logits():
    counts = drawn(0)
    model = models.Composition().fit(counts, DESIGN)
    shares = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    logits = np.log(shares / (1 - shares))
    found = model.test(1)
    np.testing.assert_allclose(found.odds_ratios * np.log(2), logits[3:].mean(axis=0) - logits[:3].mean(axis=0))
    np.testing.assert_allclose(model.shares_, counts / counts.sum(axis=1, keepdims=True))
    pooled = (logits[:3].var(axis=0) + logits[3:].var(axis=0)) * 3 / 4
    free, common = model.prior_
    expected = np.full(6, common) if np.isinf(free) else (free * common + 4 * pooled) / (free + 4)
    np.testing.assert_allclose(model.variances_, expected)
    np.testing.assert_allclose((found.deviations * np.log(2)) ** 2, expected * 2 / 3)
    np.testing.assert_allclose(found.pvals, 2 * student.sf(np.abs(found.scores), model.degrees_))


@pytest.mark.parametrize("degrees", [1, 4, 30])
def test_the_prior_has_the_moments_of_the_log_variances(degrees):
    rng = np.random.default_rng(degrees)
    variances = 0.2 * 5 / rng.chisquare(5, 4000) * rng.chisquare(degrees, 4000) / degrees
    free, common = variance_prior(variances, degrees)
    assert free == pytest.approx(5, rel=0.25)
    assert common == pytest.approx(0.2, rel=0.1)
    logs = np.log(np.maximum(variances, 1e-5 * np.median(variances)))
    mean = np.log(common) + digamma(degrees / 2) - np.log(degrees / 2) - digamma(free / 2) + np.log(free / 2)
    assert logs.mean() == pytest.approx(mean, abs=1e-3)
    assert logs.var(ddof=1) == pytest.approx(polygamma(1, degrees / 2) + polygamma(1, free / 2), rel=1e-6)


def test_variances_that_hardly_differ_become_one():
    free, common = variance_prior(np.array([1.0, 1.1, 0.9, 1.05]), 4)
    assert np.isinf(free)
    assert common == pytest.approx(1, rel=0.5)
    assert variance_prior(np.zeros(3), 4)[1] > 0


@pytest.mark.parametrize("value", [1e-6, 0.01, 1.0, 50.0, 1e6])
def test_trigamma_is_inverted(value):
    assert polygamma(1, inverse_trigamma(value)) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("n_clusters", [2, 6, 15])
def test_without_an_effect_one_test_in_twenty_is_below_one_in_twenty(n_clusters):
    pvals = [models.Composition().fit(drawn(seed, n_clusters), DESIGN).test(1).pvals for seed in range(300)]
    share = np.mean(np.concatenate(pvals) < 0.05)
    assert 0.02 < share < 0.07  # of 600 to 4,500 tests, those of one draw depending on each other


def test_a_cluster_that_grows_is_found():
    found = [models.Composition().fit(drawn(seed, growth=1.0), DESIGN).test(1) for seed in range(60)]
    assert np.mean([one.pvals_adj[0] < 0.05 for one in found]) > 0.7
    assert np.mean([one.odds_ratios[0] for one in found]) > 1


def test_two_clusters_are_one_test():
    counts = drawn(1, 2)
    found = models.Composition().fit(counts, DESIGN).test(1)
    assert found.pvals[0] == pytest.approx(found.pvals[1])
    shares = (counts[:, 0] + 0.5) / (counts.sum(axis=1) + 1)
    logits = np.log(shares / (1 - shares))
    spread = np.sqrt((logits[:3].var(ddof=1) + logits[3:].var(ddof=1)) / 2 * 2 / 3)
    plain = 2 * student.sf(abs(logits[3:].mean() - logits[:3].mean()) / spread, 4)
    assert found.pvals[0] == pytest.approx(plain)


def test_what_is_wrong_is_named():
    model = models.Composition()
    with pytest.raises(ParameterError, match="X must have two clusters or more, got 1"):
        model.fit(np.ones((6, 1)), DESIGN)
    with pytest.raises(ParameterError, match="X must have counts in every sample, and row 2 has none"):
        model.fit(np.ones((6, 3)) * (np.arange(6) != 2)[:, None], DESIGN)
    with pytest.raises(ParameterError, match="design must have fewer columns than there are samples"):
        model.fit(np.ones((6, 3)), np.eye(6))
    with pytest.raises(ParameterError, match=r"column must be in 0\.\.1, got -1"):
        model.fit(drawn(0), DESIGN).test(-1)
