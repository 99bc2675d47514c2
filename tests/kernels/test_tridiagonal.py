import numpy as np
import pytest

from kithkin.kernels.tridiagonal import diagonalize, tridiagonalize


def symmetric(n, seed=0):
    A = np.random.default_rng(seed).normal(size=(n, n))
    return A + A.T


def reduced(A):
    rows, diagonal, beside = np.empty(A.shape), np.empty(len(A)), np.empty(len(A))
    tridiagonalize(A.copy(), rows, diagonal, beside)
    return rows, diagonal, beside


@pytest.mark.parametrize("n", [1, 2, 3, 30])
def test_reflections_leave_what_is_beside_the_diagonal(n):
    A = symmetric(n)
    rows, diagonal, beside = reduced(A)
    T = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    assert beside[-1] == 0
    assert np.allclose(rows @ rows.T, np.eye(n), atol=1e-13)
    assert np.allclose(rows.T @ T @ rows, A, atol=1e-12)


@pytest.mark.parametrize(
    "A",
    [symmetric(50), np.ones((6, 6)), np.eye(5), np.zeros((4, 4)), np.diag(np.ones(8), 1) + np.diag(np.ones(8), -1)],
    ids=["random", "rank one", "equal", "zero", "path"],
)
def test_rotations_find_eigenvalues_and_vectors(A):
    rows, values, beside = reduced(A)
    assert diagonalize(values, beside, rows)
    assert np.allclose(np.sort(values), np.linalg.eigvalsh(A), atol=1e-12)
    assert np.allclose(rows @ rows.T, np.eye(len(A)), atol=1e-12)
    assert np.allclose((rows.T * values) @ rows, A, atol=1e-12)


def test_what_is_no_number_ends():
    rows, values, beside = reduced(np.full((3, 3), np.nan))
    assert not diagonalize(values, beside, rows)
