import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.metrics.calibration import expected_calibration_error


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
