import numpy as np
import pytest
from scipy.linalg import eigh, subspace_angles

from kithkin.models.pca import eigen
from kithkin.models.pca.eigen import array_eigenpairs, leading_eigenpairs


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


def noise(size, tie=None):
    """Covariance of noise with five directions beyond it; `tie` sets eigenvalues 10 and 11 so far apart."""
    X = np.random.default_rng(0).normal(size=(2 * size, size))
    X[:, :5] *= np.array([9.0, 7.0, 5.0, 4.0, 3.0])
    A = X.T @ X / len(X)
    if tie is not None:
        values, vectors = np.linalg.eigh(A)
        values[-11] = values[-10] - tie
        A = (vectors * values) @ vectors.T
    return A


def upper_only(A):
    """As array_eigenpairs takes it: the other triangle must not be read."""
    upper = np.triu(A)
    upper[np.tril_indices(len(A), -1)] = np.nan
    return upper.T


@pytest.mark.parametrize("tie", [None, 1e-3])
def test_a_basis_finds_what_lapack_finds_in_noise_and_near_ties(tie):
    A = noise(400, tie)
    expected, vectors = eigh(A, subset_by_index=[390, 399])
    found, basis = eigen._lanczos(upper_only(A), 10, 352)
    assert np.allclose(found, expected[::-1], rtol=1e-10)
    assert np.allclose(basis.T @ basis, np.eye(10), atol=1e-10)
    assert np.allclose(np.abs((basis * vectors[:, ::-1]).sum(axis=0)), 1, atol=1e-10)
    assert subspace_angles(basis, vectors).max() < 1e-5


@pytest.mark.parametrize(("tie", "limit"), [(0.0, 352), (None, 96)])
def test_a_basis_that_cannot_tell_is_given_up(tie, limit):
    assert eigen._lanczos(upper_only(noise(400, tie)), 10, limit) is None


@pytest.mark.parametrize("diagonal", [np.ones(1000), np.zeros(1000), np.where(np.arange(1000) < 3, 2.0, 0.0)])
def test_array_of_equal_eigenvalues_or_low_rank(diagonal):
    values, vectors = array_eigenpairs(np.asfortranarray(np.diag(diagonal)), 4)
    assert np.allclose(values, np.sort(diagonal)[::-1][:4])
    assert np.allclose(vectors.T @ vectors, np.eye(4))
    assert np.allclose(diagonal[:, None] * vectors, vectors * values)


def test_array_large_enough_for_a_basis_equals_lapack():
    A = noise(1000)
    vectors = eigh(A, subset_by_index=[995, 999])[1]
    assert subspace_angles(array_eigenpairs(upper_only(A), 5)[1], vectors).max() < 1e-5
