import numpy as np
import pytest
from scipy.linalg import eigh, subspace_angles

from kithkin.models.pca import eigen
from kithkin.models.pca.eigen import all_eigenpairs, array_eigenpairs, leading_eigenpairs


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
    return upper


@pytest.mark.parametrize("tie", [None, 1e-3])
def test_a_basis_finds_what_lapack_finds_in_noise_and_near_ties(tie):
    A = noise(400, tie)
    expected, vectors = eigh(A, subset_by_index=[390, 399])
    found, rows = eigen._lanczos(A, 10, 352)
    assert np.allclose(found, expected[::-1], rtol=1e-10)
    assert np.allclose(rows @ rows.T, np.eye(10), atol=1e-10)
    assert np.allclose(np.abs((rows.T * vectors[:, ::-1]).sum(axis=0)), 1, atol=1e-10)
    assert subspace_angles(rows.T, vectors).max() < 1e-5


@pytest.mark.parametrize(("tie", "limit"), [(0.0, 352), (None, 96)])
def test_a_basis_that_cannot_tell_is_given_up(tie, limit):
    assert eigen._lanczos(noise(400, tie), 10, limit) is None


@pytest.mark.parametrize("size", [300, 700, 1300])  # made tridiagonal at once; after a basis that cannot tell; LAPACK
@pytest.mark.parametrize("diagonal", [1.0, 0.0, [2.0, 2.0, 2.0]])
def test_array_of_equal_eigenvalues_or_low_rank(size, diagonal):
    diagonal = np.full(size, diagonal) if np.isscalar(diagonal) else np.r_[diagonal, np.zeros(size - len(diagonal))]
    values, vectors = array_eigenpairs(upper_only(np.diag(diagonal)), 4)
    assert np.allclose(values, np.sort(diagonal)[::-1][:4])
    assert np.allclose(vectors @ vectors.T, np.eye(4))
    assert np.allclose(diagonal * vectors, vectors * values[:, None])


@pytest.mark.parametrize("size", [60, 390, 410, 1000])
def test_array_equals_lapack(size):
    A = noise(size)
    expected, vectors = eigh(A, subset_by_index=[size - 5, size - 1])
    values, rows = array_eigenpairs(upper_only(A), 5)
    assert np.allclose(values, expected[::-1], rtol=1e-12)
    assert subspace_angles(rows.T, vectors).max() < 1e-5


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_all_pairs_of_a_small_array(scale):
    A = scale * noise(40)
    values, rows = all_eigenpairs(A)
    assert np.allclose(values, np.linalg.eigvalsh(A)[::-1], rtol=1e-12, atol=0)
    assert np.allclose(rows @ rows.T, np.eye(40), atol=1e-12)
    assert np.allclose((rows.T * values) @ rows, A, rtol=1e-10, atol=1e-12 * scale)
