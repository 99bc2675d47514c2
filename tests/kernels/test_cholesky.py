import numpy as np
import pytest

from kithkin.kernels.cholesky import factor, half_solve, solve, weigh


@pytest.mark.parametrize("k", [1, 2, 7])
def test_small_systems_are_solved(k):
    rng = np.random.default_rng(k)
    design, weights, right, out = rng.normal(size=(20, k)), rng.uniform(0.1, 3, 20), rng.normal(size=k), np.empty(k)
    gram = np.zeros((k, k))
    weigh(design, weights, 0.5, gram)
    full = (design.T * weights) @ design + 0.5 * np.eye(k)
    np.testing.assert_allclose(np.tril(gram), np.tril(full))
    assert factor(gram)
    np.testing.assert_allclose(np.tril(gram), np.linalg.cholesky(full))
    solve(gram, right, out)
    np.testing.assert_allclose(out, np.linalg.solve(full, right))
    assert half_solve(gram, right, out) == pytest.approx(right @ np.linalg.solve(full, right))


def test_what_is_not_positive_definite_is_told():
    assert not factor(np.array([[1.0, 2.0], [2.0, 1.0]]))
