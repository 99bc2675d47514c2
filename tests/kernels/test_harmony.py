import numpy as np

from kithkin.kernels.harmony import assign_softly, unit_rows


def test_weights_become_responsibilities_and_are_counted():
    rng = np.random.default_rng(0)
    weights = rng.random((70, 9)).astype(np.float32) + np.float32(0.1)
    codes = rng.integers(0, 4, 70).astype(np.int32)
    penalty = rng.random((4, 9)).astype(np.float32) + np.float32(0.1)
    product = weights.astype(float) * penalty[codes]
    expected, sums = product / product.sum(axis=1, keepdims=True), np.ones((4, 9))
    logs = assign_softly(weights, codes, penalty, sums)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    np.testing.assert_allclose(logs, np.log(product.sum(axis=1)).sum(), rtol=1e-6)
    np.testing.assert_allclose(sums - 1, np.eye(4)[codes].T @ expected, rtol=1e-5)


def test_rows_become_of_length_one():
    rows = np.array([[3, 4], [0, 0], [-2, 0]], np.float32)
    unit_rows(rows)
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
