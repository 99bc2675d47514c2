"""The passes over stored values and columns against NumPy."""

import numpy as np
import pytest

from kithkin.kernels.counting_sort import counting_sort
from kithkin.kernels.values import scan_floats, take_columns


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "values", [[], [0.0], [1, 2, 3], [0.5, 0, -2], [np.nan, 1], [1, np.inf], [-np.inf], [3e38, 1], [-0.0, 1]]
)
def test_scan_of_floats(values, dtype):
    values = np.array(values, dtype)
    low, high, zeros, finite, whole = scan_floats(values)
    assert finite == np.isfinite(values).all()
    assert zeros == (values == 0).sum()
    if finite:
        assert whole == np.array_equal(values, np.trunc(values))
        assert (low, high) == ((values.min(), values.max()) if values.size else (0, 0))


def test_columns_are_copied_and_their_order_is_seen():
    indptr, out = np.array([0, 2, 2, 4]), np.empty(4, np.uint16)
    assert take_columns(np.array([1, 3, 0, 2]), indptr, 4, out) == (-1, True)
    assert out.tolist() == [1, 3, 0, 2]
    assert take_columns(np.array([3, 1, 0, 2]), indptr, 4, out) == (-1, False)
    assert take_columns(np.array([1, 1, 0, 2]), indptr, 4, out) == (-1, False)
    assert take_columns(np.array([1, 3, 0, 4]), indptr, 4, out)[0] == 3
    assert take_columns(np.array([-1, 3, 0, 4]), indptr, 4, out)[0] == 0


def test_counting_order_is_a_stable_sort():
    keys = np.random.default_rng(0).integers(0, 7, 100)
    order, starts = counting_sort(keys, 9)
    assert np.array_equal(order, np.argsort(keys, kind="stable"))
    assert np.array_equal(starts, np.searchsorted(keys[order], np.arange(10)))
