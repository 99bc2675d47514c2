"""Regressions solve their likelihood equations, also where reweighting diverges; shrunk ones are posterior modes."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import nbinom

from kithkin.kernels.negative_binomial import find_mode, regress, shrink

DESIGN = np.array([[1.0, 0], [1, 0], [1, 0], [1, 1], [1, 1], [1, 1]])


def regressed(counts, dispersion, size=None, design=DESIGN):
    (p, n), k = counts.shape, design.shape[1]
    out = np.empty((p, k)), np.empty((p, n)), np.empty((p, n)), np.empty(p, bool)
    log_size = np.zeros(n) if size is None else np.log(size)
    regress(counts, log_size, design, np.linalg.pinv(design), dispersion, 0.5, 1e-8, 250, *out)
    return out


def test_likelihood_equations_hold():
    rng = np.random.default_rng(0)
    size, dispersion = rng.uniform(0.5, 2, 6), rng.uniform(0.01, 0.5, 40)
    counts = rng.negative_binomial(1 / dispersion[:, None], 1 / (1 + 80 * size * dispersion[:, None])).astype(float)
    coefficients, means, leverages, fine = regressed(counts, dispersion, size)
    assert fine.all()
    np.testing.assert_allclose(means, size * np.exp(coefficients @ DESIGN.T))
    scores = ((counts - means) / (1 + dispersion[:, None] * means)) @ DESIGN
    assert np.abs(scores).max() < 0.01
    np.testing.assert_allclose(leverages.sum(axis=1), 2, rtol=1e-4)  # the trace of a projection


def test_two_groups_of_equal_size_have_their_means():
    counts = np.array([[10.0, 20, 30, 100, 120, 140]])
    coefficients, *_ = regressed(counts, np.array([0.1]))
    np.testing.assert_allclose(coefficients, [[np.log(20), np.log(6)]], rtol=1e-5)


def test_newton_steps_end_where_reweighting_diverges():
    counts = np.array([[3.0, 2, 1, 0, 0, 0, 2, 0, 5, 1, 0, 4, 19350, 0, 1, 0]])
    design = np.stack([np.ones(16), np.arange(16) % 2], axis=1)
    *_, fine = regressed(counts, np.array([8.0]), design=design)
    assert not fine[0]
    beta, gram = np.zeros(2), np.empty((2, 2))
    find_mode(beta, counts[0], np.zeros(16), design, 1 / 8.0, -1, 1.0, 1e3, 1e-8, 250, gram)
    for group in (0, 1):
        assert np.exp(beta[: group + 1].sum()) == pytest.approx(counts[0, design[:, 1] == group].mean(), rel=0.01)


def posterior(beta, y, log_size, r, column, scale):
    mean = np.exp(DESIGN @ beta + log_size)
    prior = np.log1p((beta[column] / scale) ** 2) + (np.delete(beta, column) ** 2).sum() / (2 * 15**2)
    return prior - nbinom.logpmf(y, r, r / (r + mean)).sum()


def test_shrunk_coefficients_are_modes_of_the_posterior():
    rng = np.random.default_rng(2)
    log_size, dispersion, scale = rng.normal(0, 0.3, 6), np.full(30, 0.2), 0.5
    effect = rng.normal(0, 1.2, (30, 1)) * (np.arange(6) >= 3)
    counts = rng.negative_binomial(5, 5 / (5 + 30 * np.exp(effect + log_size))).astype(float)
    start, *_ = regressed(counts, dispersion, np.exp(log_size))
    modes, deviations = np.empty(30), np.empty(30)
    shrink(counts, log_size, DESIGN, dispersion, start, 1, scale, 15.0, 1e-8, 250, modes, deviations)
    for y, first, found in zip(counts, start, modes, strict=True):
        near = {"initial_simplex": first + 0.05 * np.array([[0, 0], [1, 0], [0, 1]]), "xatol": 1e-6}
        mode = minimize(posterior, first, (y, log_size, 5.0, 1, scale), method="Nelder-Mead", options=near)
        assert found == pytest.approx(mode.x[1], abs=1e-3)
    assert (np.abs(modes) <= np.abs(start[:, 1]) + 1e-6).all()
    assert (deviations > 0).all()


def test_a_strong_effect_withstands_a_narrow_prior_and_a_weak_one_does_not():
    counts = np.array([[20.0, 25, 22, 400, 380, 420], [20, 25, 22, 26, 30, 24]])
    dispersion = np.full(2, 0.05)
    start, *_ = regressed(counts, dispersion)
    modes, deviations = np.empty(2), np.empty(2)
    shrink(counts, np.zeros(6), DESIGN, dispersion, start, 1, 1e-3, 15.0, 1e-8, 250, modes, deviations)
    assert modes[0] == pytest.approx(start[0, 1], rel=0.05)
    assert abs(modes[1]) < 1e-3
