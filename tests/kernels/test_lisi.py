import numpy as np
import pytest
from scipy.optimize import brentq

from kithkin.kernels.lisi import inverse_simpson


def by_definition(distances, codes, n_codes, perplexity):
    """Width of the kernel by a root finder, and the index from the weights."""
    out = []
    for d, own in zip(np.asarray(distances, float), codes, strict=True):

        def weights(rate, d=d):
            w = np.exp(-rate * (d - d.min()))
            return w / w.sum()

        def excess(log_rate, weights=weights):
            w = weights(np.exp(log_rate))
            return -(w * np.log(np.maximum(w, 1e-300))).sum() - np.log(perplexity)

        shares = np.bincount(own[own >= 0], weights(np.exp(brentq(excess, -20, 20)))[own >= 0], n_codes)
        out.append(shares.sum() ** 2 / (shares**2).sum())
    return np.array(out)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_index_follows_the_definition_at_any_scale(scale):
    rng = np.random.default_rng(0)
    distances = scale * np.sort(rng.random((40, 30)) + rng.random((40, 1)), axis=1).astype(np.float32)
    codes = rng.integers(-1, 4, (40, 30))
    index = np.empty(40)
    inverse_simpson(distances, codes, 4, np.log(10.0), index)
    np.testing.assert_allclose(index, by_definition(distances, codes, 4, 10.0), rtol=1e-3)


def test_equal_distances_count_alike_and_nothing_known_is_nan():
    index = np.empty(2)
    inverse_simpson(np.zeros((2, 6)), np.array([[0, 0, 1, 1, 2, 2], [-1] * 6]), 3, np.log(2.0), index)
    assert index[0] == pytest.approx(3)
    assert np.isnan(index[1])
