"""Probabilities of labels hold for labels that no propagation saw."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.execute import Execution
from kithkin.metrics.calibration import expected_calibration_error
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.propagation.calibration import (
    ENOUGH,
    Calibration,
    calibrate,
    held_out_labels,
    held_out_votes,
)
from kithkin.models.propagation.propagation import Propagation
from kithkin.models.propagation.seeds import probabilities


def groups(n, seed=0):
    """Three groups that overlap."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    return (rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[truth]).astype(np.float32), truth


def test_the_temperature_that_made_labels_is_found():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(4), 4000).astype(np.float32)
    for temperature in (0.4, 1.0, 2.5):
        P = probabilities(scores, temperature)
        codes = (P.cumsum(axis=1) < rng.random((len(P), 1))).sum(axis=1).clip(max=3)
        found = calibrate(scores, codes)
        assert found.temperature == pytest.approx(temperature, rel=0.08)
        assert found.n_held_out == 4000
        assert found.accuracy == pytest.approx((scores.argmax(axis=1) == codes).mean())
        assert found.error < 0.03
    assert found.error_before > 0.1


def test_a_handful_of_labels_moves_the_temperature_little():
    few = calibrate(np.array([[0.6, 0.4]] * 3), np.zeros(3, int))
    many = calibrate(np.array([[0.6, 0.4]] * 300), np.zeros(300, int))
    assert many.temperature < few.temperature < 1
    assert few.temperature > 0.7


def test_rows_without_a_score_are_left_out():
    found = calibrate(np.array([[np.nan, np.nan], [0.0, 0.0], [0.5, 0.2]]), np.array([0, 1, 0]))
    assert found.n_held_out == 1
    assert calibrate(np.empty((0, 2)), np.empty(0, int)) == Calibration(
        1.0, 0, *[pytest.approx(np.nan, nan_ok=True)] * 3
    )


def test_each_label_is_held_out_once_and_the_last_of_a_kind_never():
    X, truth = groups(300)
    graph = Neighbors(10).fit(X).connectivities_
    codes = np.where(np.arange(300) % 5 == 0, truth, -1)
    codes[1] = 3
    scores, held = held_out_labels(Propagation(0.7), graph, codes, 0)
    assert scores.shape == (60, 4)
    np.testing.assert_array_equal(np.bincount(held, minlength=4), [*np.bincount(codes[codes >= 0])[:3], 0])
    assert (scores.argmax(axis=1) == held).mean() > 0.6


def test_many_labels_are_held_out_in_part():
    X, truth = groups(4000)
    graph = Neighbors(10).fit(X).connectivities_
    scores, held = held_out_labels(Propagation(0.7), graph, truth, 0)
    assert ENOUGH <= len(held) == len(scores) < 1000


@pytest.mark.parametrize("alpha", [0.5, 0.95])
def test_probabilities_of_other_cells_are_calibrated(alpha):
    X, truth = groups(3000)
    graph = Neighbors(15).fit(X).connectivities_
    known = np.random.default_rng(1).random(3000) < 0.2
    codes = np.where(known, truth, -1)
    model = Propagation(alpha).fit(graph, codes[:, None] == np.arange(3))
    found = calibrate(*held_out_labels(model, graph, codes, 0))
    F, right = model.scores_[~known], model.scores_[~known].argmax(axis=1) == truth[~known]
    before, after = (
        expected_calibration_error(probabilities(F, t).max(axis=1), right) for t in (1.0, found.temperature)
    )
    assert after < 0.05
    assert after < before
    assert abs(found.error - after) < 0.05
    assert abs(found.accuracy - right.mean()) < 0.06


def test_votes_are_tried_on_rows_of_the_reference_that_are_held_out():
    X, truth = groups(1000)
    codes = np.where(np.arange(1000) % 10 == 0, -1, truth)
    scores, held = held_out_votes(Propagation(0.5), X, codes, 300, 15, 0, Execution())
    assert scores.shape == (300, 3)
    assert (held >= 0).all()
    assert (scores.argmax(axis=1) == held).mean() > 0.6
    assert len(held_out_votes(Propagation(0.5), X, codes, 10**6, 15, 0, Execution())[1]) == 450
    small = held_out_votes(Propagation(0.5), X[:40], codes[:40], 300, 15, 0, Execution())
    assert small[0].shape == (0, 3)
    assert len(small[1]) == 0


def test_threads_change_nothing():
    X, truth = groups(900)
    graph = sparse.csr_matrix(Neighbors(10).fit(X).connectivities_)
    one, other = (held_out_labels(Propagation(0.7), graph, truth, 0, Execution(threads=t)) for t in (1, 3))
    np.testing.assert_array_equal(one[0], other[0])
    one, other = (held_out_votes(Propagation(0.7), X, truth, 200, 9, 0, Execution(threads=t)) for t in (1, 3))
    np.testing.assert_array_equal(one[0], other[0])
