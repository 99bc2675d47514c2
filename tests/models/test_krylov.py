import numpy as np
import pytest

from kithkin.models.krylov import leading_eigenpairs


def matrix(size, decay):
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))
    return (Q * decay ** np.arange(size)) @ Q.T, Q


@pytest.mark.parametrize("max_basis", [0, 400])
def test_equals_eigh_with_and_without_restarts(max_basis):
    A, Q = matrix(300, 0.97)
    values, vectors, passes = leading_eigenpairs(lambda block: A @ block, 300, 8, max_basis=max_basis)
    assert np.allclose(values, 0.97 ** np.arange(8), rtol=1e-8)
    assert np.allclose(np.abs((vectors * Q[:, :8]).sum(axis=0)), 1, atol=1e-6)
    assert np.allclose(vectors.T @ vectors, np.eye(8), atol=1e-10)
    assert passes <= 12


def test_low_rank_and_small_matrices():
    A = np.zeros((6, 6))
    A[0, 0], A[1, 1] = 3.0, 2.0
    values, vectors, _ = leading_eigenpairs(lambda block: A @ block, 6, 4)
    assert np.allclose(values, [3, 2, 0, 0])
    assert vectors.shape == (6, 4)
    values, _, passes = leading_eigenpairs(np.zeros_like, 50, 2)
    assert np.allclose(values, 0)
    assert passes == 1


def test_seed_decides():
    A, _ = matrix(100, 0.9)
    one, other = (leading_eigenpairs(lambda block: A @ block, 100, 3, seed=5)[1] for _ in range(2))
    assert np.array_equal(one, other)
