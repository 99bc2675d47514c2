"""Calibrated probabilities: exact ones stay where the model holds, and come down where genes depend on each other."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.metrics.calibration import expected_calibration_error
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.models.mixture.tempering import Halves, renamed, temperature_of, tempered


def drawn(spread, seed=0, n=400, p=200, gap=0.12):
    """Counts of two kinds; with a spread, programs of genes that rise and fall together in both."""
    rng = np.random.default_rng(seed)
    means = np.exp(rng.normal(-1, 1, (1, p)) + rng.normal(0, gap, (2, p)))
    truth = rng.integers(0, 2, n)
    programs = rng.normal(size=(n, 4)) @ rng.normal(0, spread, (4, p))
    return rng.poisson(means[truth] * np.exp(programs)), truth


def calibrated_odds(strength, n=6000, seed=1):
    """Log odds of two clusters from two independent measurements, as sure as they should be."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    odds = [strength * (2 * truth - 1) + np.sqrt(2 * strength) * rng.normal(size=n) for _ in range(2)]
    slope = LogisticRegression(C=np.inf, fit_intercept=False).fit(odds[0][:, None], truth).coef_[0, 0]
    assert slope == pytest.approx(1, rel=0.1)  # by scikit-learn, with the truth
    return [np.column_stack([np.zeros(n), one]) for one in odds]


@pytest.mark.parametrize("strength", [1.0, 3.0, 6.0])
@pytest.mark.parametrize("factor", [3.0, 30.0])
def test_temperature_of_two_measurements_is_the_factor_by_which_they_are_too_sure(strength, factor):
    first, second = calibrated_odds(strength)
    assert temperature_of([Halves(factor * first, factor * second)]) == pytest.approx(factor, rel=0.15)


def test_several_splits_are_one_estimate():
    pairs = [calibrated_odds(3.0, seed=seed) for seed in range(4)]
    splits = [Halves(8 * first, 8 * second) for first, second in pairs]
    assert temperature_of(splits) == pytest.approx(8, rel=0.06)


def test_likelihood_is_that_of_a_loop_over_rows():
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 5, (2, 50, 3))
    total = 0.0
    for own, other in ((first, second), (second, first)):
        q, r = (np.exp(m / 2) / np.exp(m / 2).sum(axis=1, keepdims=True) for m in (own, other))
        labels = other.argmax(axis=1)
        shares = np.array([[1e-3 + r[labels == label, k].sum() for k in range(3)] for label in range(3)])
        shares /= shares.sum(axis=0)
        total += np.mean([np.log(sum(q[i, k] * shares[labels[i], k] for k in range(3))) for i in range(50)])
    assert Halves(first, second).log_likelihood(2.0) == pytest.approx(total / 2, rel=1e-12)


def test_clusters_are_renamed_one_to_one():
    rng = np.random.default_rng(3)
    joint, order = rng.normal(size=(300, 5)), rng.permutation(5)
    assert np.array_equal(renamed(joint[:, order], joint.argmax(axis=1)), joint)


def measured(spread, gap, seed=0, **settings):
    """Calibration error of exact and calibrated probabilities, and the model."""
    X, truth = drawn(spread, seed, gap=gap)
    model = CountMixture(2, **settings).fit(X)
    right = model.labels_ == (truth if (model.labels_ == truth).mean() > 0.5 else 1 - truth)
    exact = model.predict_proba(X)
    assert np.array_equal(exact, model.probabilities_)
    calibrated = model.calibrate(X).predict_proba(X)
    assert np.array_equal(calibrated.argmax(axis=1), model.labels_)
    assert np.array_equal(model.probabilities_, exact)
    before, after = (expected_calibration_error(p.max(axis=1).clip(0, 1), right) for p in (exact, calibrated))
    return before, after, model


@pytest.mark.parametrize("seed", [0, 1])
def test_clear_clusters_stay_clear(seed):
    _, after, model = measured(0.0, 0.3, seed)
    assert after < 0.02
    assert model.temperature_ < 2
    assert model.agreement_ > 0.9


@pytest.mark.parametrize(("seed", "gap", "limit"), [(1, 0.2, 0.04), (2, 0.2, 0.04), (2, 0.12, 0.12)])
def test_calibrated_probabilities_are_near_the_truth_where_exact_ones_are_too_sure(seed, gap, limit):
    before, after, model = measured(0.1, gap, seed)
    assert before > 0.05
    assert after < min(limit, before / 2)
    assert model.temperature_ > 1.5


def test_dependent_genes_make_probabilities_too_sure_and_calibration_mends_a_part():
    before, after, _ = measured(0.2, 0.3)
    assert before > 0.1
    assert after < 0.7 * before


def test_calibration_is_the_same_for_all_blocks_and_threads():
    X, _ = drawn(0.2, n=200)
    model = CountMixture(2).fit(X)
    found = model.calibrate(InMemory(X, rows=200), execution=Execution(threads=1)).temperature_
    again = model.calibrate(InMemory(X, rows=37), execution=Execution(threads=3)).temperature_
    assert found == pytest.approx(again, rel=1e-3)
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1, atol=1e-6)


def test_a_new_fit_is_not_calibrated():
    X, _ = drawn(0.2, n=200)
    model = CountMixture(2).fit(X).calibrate(X)
    assert model.temperature_ > 1
    assert model.fit(X).temperature_ == 1.0
    assert np.array_equal(model.predict_proba(X), model.probabilities_)


def test_wrong_calls():
    X, _ = drawn(0.2, n=100)
    model = CountMixture(2).fit(X)
    with pytest.raises(ParameterError, match=r"n_splits must be in 1\.\.1000, got 0"):
        model.calibrate(X, n_splits=0)
    with pytest.raises(ParameterError, match="must name two genes at least"):
        CountMixture(2).fit(X, columns=[0], size=np.ones(100)).calibrate(X, np.ones(100))
    with pytest.raises(ParameterError, match="X must have 200 columns"):
        model.calibrate(X[:, :50])
    assert np.allclose(tempered(np.zeros((2, 4)), 3.0), 0.25)
