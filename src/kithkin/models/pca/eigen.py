"""Leading eigenvectors of a large symmetric matrix, known by its products with blocks of vectors or as an array."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh

from kithkin.core.blocks import Array
from kithkin.kernels.products import multiply, orthonormalize
from kithkin.kernels.tridiagonal import diagonalize, tridiagonalize

TOLERANCE = 1e-4
MAX_PASSES = 12
WIDTH = 8  # vectors of a block of `array_eigenpairs`: fewer cost more time per product, more need a larger basis
STEP = 4 * WIDTH  # so many vectors more before the residuals are looked at again
ERROR = 1e-6
SMALL, LARGE = 400, 1200  # rows of an array that is made tridiagonal at once, and of one where nothing else will do
TILE = 64


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
    r"""Find the k largest eigenvalues of a symmetric array, and their eigenvectors: the same bits on every processor.

    Block Lanczos until the residual of each pair is 1e-6 of the distance to its neighbours among the eigenvalues,
    which bounds the angle between what was found and the eigenvector. Small arrays, and those of up to 1,200 rows whose
    eigenvalues are too close for that, are made tridiagonal. What is left, large arrays with equal eigenvalues among
    the first k, is for LAPACK, whose last bits depend on the processor.

    A: size x size, float64 in C order. Only the upper triangle is read; used up.
    Returns values, vectors: k values descending, k x size orthonormal vectors.
    Source: Golub and Underwood 1977, doi:10.1016/B978-0-12-587260-7.50018-2; the bound: Davis and Kahan 1970,
        doi:10.1137/0707001.
    """
    size = len(A)
    for row in range(0, size, TILE):  # the other triangle, a strip at a time: a whole transpose would be another array
        strip = slice(row, row + TILE)
        A[row + TILE :, strip] = A[strip, row + TILE :].T
        corner = np.triu(A[strip, strip])
        A[strip, strip] = corner + np.triu(corner, 1).T
    limit = min((4 * k + 320) // STEP * STEP, (size - 1) // WIDTH * WIDTH)
    pairs = _lanczos(A, k, limit) if size > SMALL and limit > k else None
    if pairs is None and size <= LARGE:
        pairs = all_eigenpairs(A)
    if pairs is None:
        values, vectors = eigh(A, subset_by_index=[size - k, size - 1], check_finite=False)
        pairs = values[::-1], np.ascontiguousarray(vectors[:, ::-1].T)
    values, vectors = pairs
    return values[:k], vectors[:k]


def all_eigenpairs(A: Array) -> tuple[Array, Array] | None:
    """Find all eigenvalues of a small symmetric array, descending, and the eigenvectors as rows; None if it cannot.

    A: size x size, both triangles; not changed.

    >>> all_eigenpairs(np.array([[2.0, 1.0], [1.0, 2.0]]))[0].round(12).tolist()
    [3.0, 1.0]
    """
    vectors, (values, beside) = np.empty(A.shape), np.empty((2, len(A)))
    unit = np.ldexp(1.0, np.frexp(np.abs(A).max(initial=0.0))[1])  # a power of two: it rounds nothing
    tridiagonalize(A / unit, vectors, values, beside)
    if not diagonalize(values, beside, vectors):
        return None
    order = np.argsort(-values, kind="stable")
    return values[order] * unit, vectors[order]


def _lanczos(A: Array, k: int, limit: int) -> tuple[Array, Array] | None:
    """Find the pairs of array_eigenpairs by block Lanczos; None if a basis of `limit` vectors does not hold them."""
    size = len(A)
    rows, columns, T = np.empty((limit + WIDTH, size)), np.empty((size, limit + WIDTH)), np.zeros((limit, limit))
    rows[:WIDTH] = np.random.default_rng(0).random((WIDTH, size)) - 0.5  # normal ones would take logarithms
    orthonormalize(rows[:WIDTH], np.zeros((WIDTH, WIDTH)))
    columns[:, :WIDTH] = rows[:WIDTH].T
    for width in range(WIDTH, limit + 1, WIDTH):
        newest, after = slice(width - WIDTH, width), slice(width, width + WIDTH)
        W, shared = np.zeros((WIDTH, size)), np.zeros((2, WIDTH, width))
        multiply(rows[newest], A, W)
        for turn in shared:
            multiply(W, columns[:, :width], turn)
            multiply(-turn, rows[:width], W)
        T[:width, newest] = shared[0].T
        sizes = np.zeros((WIDTH, WIDTH))
        orthonormalize(W, sizes)
        if np.abs(np.diag(sizes)).min() <= 1e-12 * np.abs(T[:width, newest]).max():
            return None
        rows[after], columns[:, after] = W, W.T
        if width < 2 * k or width % STEP:
            continue
        values, Y = eigh(T[:width, :width], lower=False)
        values, Y = values[::-1], Y[:, ::-1]
        gaps = -np.diff(values[: k + 1], prepend=np.inf)
        residuals = np.linalg.norm(sizes @ Y[newest, :k], axis=0)
        if np.all(residuals <= ERROR * np.minimum(gaps[:-1], gaps[1:])):
            upper = np.triu(T[:width, :width])
            pairs = all_eigenpairs(upper + np.triu(upper, 1).T)
            if pairs is None:
                return None
            vectors = np.zeros((k, size))
            multiply(pairs[1][:k], rows[:width], vectors)
            return pairs[0][:k], vectors
    return None


def fixed_signs(components: Array) -> Array:
    """Turn each row so that its largest entry by size is positive: an eigenvector is known up to its sign only.

    >>> fixed_signs(np.array([[1.0, -2.0], [3.0, 1.0]])).tolist()
    [[-1.0, 2.0], [3.0, 1.0]]
    """
    largest = np.argmax(np.abs(components), axis=1)
    signs = np.where(components[np.arange(len(components)), largest] < 0, -1.0, 1.0)
    return np.ascontiguousarray(components * signs[:, None])
