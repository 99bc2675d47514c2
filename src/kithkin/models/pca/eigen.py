"""Leading eigenvectors of a large symmetric matrix, known by its products with blocks of vectors or as an array."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.blas import dsymm

from kithkin.core.blocks import Array

TOLERANCE = 1e-4
MAX_PASSES = 12
WIDTH = 8  # vectors of a block of `array_eigenpairs`: fewer cost more time per product, more need a larger basis
STEP = 4 * WIDTH  # so many vectors more before the residuals are looked at again
ERROR = 1e-6


def leading_eigenpairs(
    multiply: Callable[[Array], Array], size: int, k: int, *, seed: int = 0, max_basis: int = 400
) -> tuple[Array, Array, int]:
    r"""Find the k largest eigenvalues of a positive semi-definite matrix A, and their eigenvectors.

    Block Lanczos with full orthogonalisation: a basis V grows by the part of A Q that is orthogonal to it, where Q
    is the newest block, and the eigenvectors are those of V' A V carried back. It ends when all k residuals
    :math:`\|A v - \theta v\|` are below 1e-4 of the eigenvalue, or after 12 products. When the basis is full it
    restarts from its leading vectors (thick restart).

    multiply: takes a block of vectors, size x b, and returns A times them as a new array.
    max_basis: most vectors that are kept at a time; at least three blocks of k + 10, and no more than all 12.
    Returns values, vectors, passes: k values descending, size x k orthonormal vectors (fewer if the rank is lower), and
        the products taken.
    Source: Golub and Underwood 1977, doi:10.1016/B978-0-12-587260-7.50018-2; Musco and Musco 2015, arXiv:1504.05477;
        thick restart: Wu and Simon 2000, doi:10.1137/S0895479898334605.
    """
    block = min(k + 10, size)
    limit = int(np.clip(max_basis, 3 * block, MAX_PASSES * block))
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, block)))
    basis, width, T = np.empty((size, limit)), 0, np.empty((0, 0))
    values, Y = np.empty(0), np.empty((0, 0))
    passes = 0
    while passes < MAX_PASSES:
        passes += 1
        if width + Q.shape[1] > limit:
            basis[:, :block] = basis[:, :width] @ Y[:, :block]
            width, T = block, np.diag(values[:block])
        W = multiply(Q)
        across, corner = basis[:, :width].T @ W, Q.T @ W
        T = np.block([[T, across], [across.T, (corner + corner.T) / 2]])
        basis[:, width : width + Q.shape[1]] = Q
        width += Q.shape[1]
        V = basis[:, :width]
        values, Y = np.linalg.eigh(T)
        values, Y = values[::-1], Y[:, ::-1]
        W -= V @ (V.T @ W)
        newest = Y[-Q.shape[1] :, :k]
        # directions of W beyond V that are not rounding error, and W in terms of them
        left, sizes, right = np.linalg.svd(W, full_matrices=False)
        keep = sizes > 1e-12 * max(values[0], 1e-300)
        Q, _ = np.linalg.qr(left[:, keep] - V @ (V.T @ left[:, keep]))
        residuals = np.linalg.norm(sizes[keep, None] * right[keep] @ newest, axis=0)
        done = len(values) >= k and bool(np.all(residuals <= TOLERANCE * np.maximum(values[:k], 0.0)))
        if done or Q.shape[1] == 0:
            break
    return values[:k], basis[:, :width] @ Y[:, :k], passes


def array_eigenpairs(A: Array, k: int) -> tuple[Array, Array]:
    r"""Find the k largest eigenvalues of a symmetric array, and their eigenvectors, to full accuracy.

    Block Lanczos until the residual of each pair is 1e-6 of the distance to its neighbours among the eigenvalues,
    which bounds the angle between what was found and the eigenvector. LAPACK where that takes too many vectors to be
    faster, as for equal eigenvalues, and for small arrays.

    A: size x size, float64 in Fortran order. Only the lower triangle is read; used up.
    Returns values, vectors: k values descending, size x k orthonormal vectors.
    Source: Golub and Underwood 1977, doi:10.1016/B978-0-12-587260-7.50018-2; the bound: Davis and Kahan 1970,
        doi:10.1137/0707001.
    """
    size = len(A)
    limit = (4 * k + 320) // STEP * STEP
    pairs = _lanczos(A, k, limit) if size >= 3 * limit else None
    if pairs is not None:
        return pairs
    values, vectors = eigh(A, lower=True, overwrite_a=True, subset_by_index=[size - k, size - 1], check_finite=False)
    return values[::-1], vectors[:, ::-1]


def _lanczos(A: Array, k: int, limit: int) -> tuple[Array, Array] | None:
    """Find the pairs of array_eigenpairs by block Lanczos; None if a basis of `limit` vectors does not hold them."""
    basis, T = np.empty((len(A), limit + WIDTH), order="F"), np.zeros((limit, limit))
    basis[:, :WIDTH], _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(A), WIDTH)))
    for width in range(WIDTH, limit + 1, WIDTH):
        V, newest = basis[:, :width], slice(width - WIDTH, width)
        W = dsymm(1.0, A, basis[:, newest], lower=1)
        T[:width, newest] = V.T @ W
        W -= V @ T[:width, newest]
        W -= V @ (V.T @ W)
        basis[:, width : width + WIDTH], sizes = np.linalg.qr(W)
        if np.abs(np.diag(sizes)).min() <= 1e-12 * np.abs(T[:width, newest]).max():
            return None
        if width < 2 * k or width % STEP:
            continue
        values, Y = eigh(T[:width, :width], lower=False)
        values, Y = values[::-1], Y[:, ::-1]
        gaps = -np.diff(values[: k + 1], prepend=np.inf)
        residuals = np.linalg.norm(sizes @ Y[newest, :k], axis=0)
        if np.all(residuals <= ERROR * np.minimum(gaps[:-1], gaps[1:])):
            return values[:k], V @ Y[:, :k]
    return None


def fixed_signs(components: Array) -> Array:
    """Turn each row so that its largest entry by size is positive: an eigenvector is known up to its sign only.

    >>> fixed_signs(np.array([[1.0, -2.0], [3.0, 1.0]])).tolist()
    [[-1.0, 2.0], [3.0, 1.0]]
    """
    largest = np.argmax(np.abs(components), axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)
    return np.ascontiguousarray(components * signs[:, None])
