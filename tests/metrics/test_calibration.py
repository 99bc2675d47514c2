import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from kithkin.core.errors import ParameterError
from kithkin.metrics.calibration import expected_calibration_error, log_loss


def test_error_is_the_weighted_difference_of_the_bins():
    rng = np.random.default_rng(0)
    probability = rng.random(500)
    correct = rng.random(500) < probability**2
    expected = 0.0
    for low in np.arange(10) / 10:
        own = (probability >= low) & (probability < low + 0.1)
        expected += own.mean() * abs(probability[own].mean() - correct[own].mean())
    assert expected_calibration_error(probability, correct) == pytest.approx(expected, rel=1e-9)
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0
    assert np.isnan(expected_calibration_error([], []))


def test_bad_values_are_refused():
    with pytest.raises(ParameterError, match="one value a row"):
        expected_calibration_error([0.5], [True, False])
    with pytest.raises(ParameterError, match=r"probability must be in 0\.\.1"):
        expected_calibration_error([1.5], [True])
    with pytest.raises(ParameterError, match="n_bins must be in"):
        expected_calibration_error([0.5], [True], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_loss_agrees_with_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(4), 300).astype(dtype)
    probability[0] = [0, 1, 0, 0]
    labels = rng.integers(0, 4, 300)
    labels[0] = 0  # a sure error is large, and finite
    expected = sklearn_metrics.log_loss(labels, probability, labels=range(4))
    assert log_loss(probability, labels) == pytest.approx(expected, rel=1e-6)
    assert np.isnan(log_loss(np.empty((0, 4)), np.empty(0, int)))


def test_bad_values_of_log_loss_are_refused():
    with pytest.raises(ParameterError, match="n x K and labels n"):
        log_loss([[0.5, 0.5]], [0, 1])
    with pytest.raises(ParameterError, match=r"labels must be in 0\.\.1, got 2"):
        log_loss([[0.5, 0.5]], [2])
    with pytest.raises(ParameterError, match="labels must be integers"):
        log_loss([[0.5, 0.5]], [0.0])
    with pytest.raises(ParameterError, match=r"probability must be in 0\.\.1"):
        log_loss([[1.5, 0.5]], [0])
    with pytest.raises(ParameterError, match="value above 0"):
        log_loss([[0.0, 0.0]], [0])
