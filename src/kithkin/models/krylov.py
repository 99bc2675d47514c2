"""Leading eigenvectors of a large symmetric matrix that is known only by its products with blocks of vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kithkin.core.blocks import Array

TOLERANCE = 1e-4
MAX_PASSES = 12


def leading_eigenpairs(
    multiply: Callable[[Array], Array], size: int, k: int, *, seed: int = 0, max_basis: int = 400
) -> tuple[Array, Array, int]:
    r"""Find the k largest eigenvalues of a positive semi-definite matrix A, and their eigenvectors.

    Block Lanczos with full orthogonalisation: a basis V grows by the part of A Q that is orthogonal to it, where Q
    is the newest block, and the eigenvectors are those of V' A V carried back. It ends when all k residuals
    :math:`\|A v - \theta v\|` are below 1e-4 of the eigenvalue, or after 12 products. When the basis is full it
    restarts from its leading vectors (thick restart).

    Parameters
    ----------
    multiply
        Takes a block of vectors, size x b, and returns A times them as a new array.
    size
        Rows and columns of A.
    k
        How many pairs.
    seed
        Of the random first block.
    max_basis
        Most vectors that are kept at a time; at least three blocks of k + 10, and no more than all 12.

    Returns
    -------
    values, vectors, passes
        k values descending, size x k orthonormal vectors (fewer if the rank is lower), and the products taken.

    Notes
    -----
    Golub and Underwood 1977, doi:10.1016/B978-0-12-587260-7.50018-2; Musco and Musco 2015, arXiv:1504.05477;
    thick restart: Wu and Simon 2000, doi:10.1137/S0895479898334605.

    Examples
    --------
    >>> A = np.diag([9.0, 4.0, 1.0, 0.0])
    >>> leading_eigenpairs(lambda Q: A @ Q, 4, 2)[0].round(6).tolist()
    [9.0, 4.0]
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
        T = _grow(T, basis[:, :width].T @ W, Q.T @ W)
        basis[:, width : width + Q.shape[1]] = Q
        width += Q.shape[1]
        V = basis[:, :width]
        values, Y = np.linalg.eigh(T)
        values, Y = values[::-1], Y[:, ::-1]
        W -= V @ (V.T @ W)
        newest = Y[-Q.shape[1] :, :k]
        Q, sizes = _orthonormal(W, V, values[0])
        residuals = np.linalg.norm(sizes @ newest, axis=0)
        done = len(values) >= k and bool(np.all(residuals <= TOLERANCE * np.maximum(values[:k], 0.0)))
        if done or Q.shape[1] == 0:
            break
    return values[:k], basis[:, :width] @ Y[:, :k], passes


def fixed_signs(components: Array) -> Array:
    """Turn each row so that its largest entry by size is positive: an eigenvector is known up to its sign only.

    Examples
    --------
    >>> fixed_signs(np.array([[1.0, -2.0], [3.0, 1.0]])).tolist()
    [[-1.0, 2.0], [3.0, 1.0]]
    """
    largest = np.argmax(np.abs(components), axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)
    return np.ascontiguousarray(components * signs[:, None])


def _grow(T: Array, across: Array, corner: Array) -> Array:
    return np.block([[T, across], [across.T, (corner + corner.T) / 2]])


def _orthonormal(W: Array, V: Array, largest: float) -> tuple[Array, Array]:
    """Directions of W beyond V that are not rounding error, and W in terms of them."""
    left, sizes, right = np.linalg.svd(W, full_matrices=False)
    keep = sizes > 1e-12 * max(largest, 1e-300)
    Q = left[:, keep]
    Q = Q - V @ (V.T @ Q)
    Q, _ = np.linalg.qr(Q)
    return Q, sizes[keep, None] * right[keep]
