import numpy as np
import pytest

from kithkin.core.errors import ParameterError
from kithkin.metrics.mean_effects import above_others


def test_each_cluster_is_held_against_the_weighted_mean_of_the_others():
    rng = np.random.default_rng(0)
    means, weights = rng.normal(size=(7, 4)), np.array([3.0, 0.0, 1.0, 2.0])
    above = above_others(means, weights)
    for k in range(4):
        others = [j for j in range(4) if j != k]
        expected = means[:, k] - np.average(means[:, others], axis=1, weights=weights[others])
        np.testing.assert_allclose(above[:, k], expected)


def test_one_cluster_has_no_effect_and_bad_weights_are_refused():
    assert above_others([[1.0], [2.0]], [0.3]).tolist() == [[0.0], [0.0]]
    for weights in ([1.0], [0.0, 0.0], [2.0, -1.0]):
        with pytest.raises(ParameterError, match="weights must be"):
            above_others(np.zeros((3, 2)), weights)
