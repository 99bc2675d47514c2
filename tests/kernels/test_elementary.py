import numpy as np
from numba import njit

from kithkin.kernels.elementary import exponential, log1p, single_exponential


@njit
def each(values, logarithm, out):
    for i in range(len(values)):
        out[i] = log1p(values[i]) if logarithm else exponential(values[i])


def found(values, logarithm):
    out = np.empty(len(values))
    each(values, logarithm, out)
    return out


def test_logarithm_is_good_to_a_unit_in_the_last_place():
    rng = np.random.default_rng(0)
    values = np.concatenate([np.exp(rng.uniform(-60, 60, 20_000)), np.arange(1, 2000) * 0.37, [2**0.5 - 1, 1.0, 1e300]])
    expected = np.log1p(values.astype(np.longdouble))
    assert np.all(np.abs(found(values, True) - expected) <= 1.01 * np.spacing(expected.astype(np.float64)))
    assert found(np.zeros(1), True).tolist() == [0.0]


def test_logarithm_rises():
    values = np.sort(np.concatenate([np.linspace(0.4, 0.43, 5000), np.linspace(0.99, 1.01, 5000)]))
    assert np.all(np.diff(found(values, True)) >= 0)


def test_exponential_is_good_to_two_units_in_the_last_place():
    values = np.random.default_rng(0).uniform(-700, 700, 20_000)
    expected = np.exp(values.astype(np.longdouble))
    assert np.all(np.abs(found(values, False) - expected) <= 2 * np.spacing(expected.astype(np.float64)))
    assert found(np.array([0.0, -np.inf, -800.0]), False).tolist() == [1.0, 0.0, 0.0]


@njit
def each_single(values, out):
    for i in range(len(values)):
        out[i] = single_exponential(values[i])


def test_exponential_in_single_precision_is_good_to_a_unit_in_the_last_place():
    values = -np.random.default_rng(0).uniform(0, 87, 20_000).astype(np.float32)
    out = np.empty_like(values)
    each_single(values, out)
    expected = np.exp(values.astype(np.float64))
    assert np.all(np.abs(out - expected) <= 1.01 * np.spacing(expected.astype(np.float32)))
    each_single(np.array([0.0, -np.inf, -90.0], np.float32), out)
    assert out[:3].tolist() == [1.0, 0.0, 0.0]
