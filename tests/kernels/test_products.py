from functools import reduce

import numpy as np
import pytest

from kithkin.kernels.products import multiply, orthonormalize


@pytest.mark.parametrize(("n", "m", "k"), [(1, 1, 1), (9, 7, 300), (8, 12, 5), (3, 0, 4)])
def test_products_are_sums_in_the_order_of_rows(n, m, k):
    rng = np.random.default_rng(0)
    left, right, out = rng.normal(size=(n, m)), rng.normal(size=(m, k)), rng.normal(size=(n, k))
    left[rng.random((n, m)) < 0.5] = 0
    expected = reduce(lambda sums, i: sums + left[:, i : i + 1] * right[i], range(m), out)
    multiply(left, right, out)
    assert np.array_equal(out, expected)


def test_rows_become_orthonormal_and_are_known_from_what_they_were():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 40)) * np.array([1, 1e-8, 1, 1e5, 1])[:, None]
    rows[2] = rows[0] + 1e-9 * rng.normal(size=40)
    before, sizes = rows.copy(), np.zeros((5, 5))
    orthonormalize(rows, sizes)
    assert np.allclose(rows @ rows.T, np.eye(5), atol=1e-12)
    assert np.allclose(sizes.T @ rows, before, rtol=1e-12, atol=1e-12)
    assert np.array_equal(sizes, np.triu(sizes))


def test_a_row_that_depends_on_others_becomes_zero():
    rows = np.array([[3.0, 4.0, 0.0], [6.0, 8.0, 0.0], [0.0, 0.0, 2.0]])
    orthonormalize(rows, np.zeros((3, 3)))
    assert np.allclose(rows, [[0.6, 0.8, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
