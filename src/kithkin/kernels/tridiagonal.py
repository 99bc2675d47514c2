"""Eigenvectors of a small symmetric array by way of a tridiagonal one, the same bits on every processor.

LAPACK's depend on the BLAS beneath it, and this on the processor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MOST = 60  # rotations of one eigenvalue; about two are usual


@njit(cache=True, nogil=True)
def tridiagonalize(A, vectors, diagonal, beside):
    """Reduce a symmetric array to a tridiagonal one by Householder's reflections.

    A: float64 of n x n in C order, both triangles; used up.
    vectors (out): float64 of n x n: the rows q with A = q' T q.
    diagonal, beside (out): float64, n: the diagonal of T, and what is beside it, from the first; the last is 0.
    Source: Golub and Van Loan 2013, Matrix Computations, section 8.3.1.
    """
    n = len(A)
    vectors[:] = 0.0
    for i in range(n):
        vectors[i, i] = 1.0
        beside[i] = 0.0
    step = np.empty(n)
    for k in range(n - 1):
        u = np.zeros(n)
        square = 0.0
        for i in range(k + 1, n):
            u[i] = A[k, i]
            square += u[i] * u[i]
        beyond = square - u[k + 1] * u[k + 1]
        if k == n - 2 or beyond <= 0.0:
            beside[k] = u[k + 1]
            continue
        length = np.sqrt(square)
        beside[k] = -length if u[k + 1] > 0 else length
        u[k + 1] -= beside[k]
        scale = 2.0 / (beyond + u[k + 1] * u[k + 1])
        # A <- (1 - scale u u') A (1 - scale u u'), of the rows and columns that are left
        step[:] = 0.0
        for i in range(k + 1, n):
            x, row = u[i], A[i]
            for j in range(k + 1, n):
                step[j] += x * row[j]
        shared = 0.0
        for i in range(k + 1, n):
            step[i] *= scale
            shared += step[i] * u[i]
        shared *= 0.5 * scale
        for i in range(k + 1, n):
            step[i] -= shared * u[i]
        for i in range(k + 1, n):
            x, y, row = u[i], step[i], A[i]
            for j in range(k + 1, n):
                row[j] -= x * step[j] + y * u[j]
        # the reflection from the left on the rows collected so far
        step[:] = 0.0
        for i in range(k + 1, n):
            x, row = scale * u[i], vectors[i]
            for j in range(n):
                step[j] += x * row[j]
        for i in range(k + 1, n):
            x, row = u[i], vectors[i]
            for j in range(n):
                row[j] -= x * step[j]
    for k in range(n):
        diagonal[k] = A[k, k]


@njit(cache=True, nogil=True)
def diagonalize(diagonal, beside, vectors):
    """Rotate a tridiagonal array into a diagonal one (implicit QL), and return whether all eigenvalues were found.

    diagonal, beside: float64, n, as tridiagonalize leaves them; diagonal holds the eigenvalues on return, in no order.
    vectors: float64 of n x n, rows that are rotated along: in the end the eigenvector of each value.
    Source: Bowdler, Martin, Reinsch and Wilkinson 1968, doi:10.1007/BF02166681.
    """
    n = len(diagonal)
    for low in range(n):
        for _turn in range(_MOST + 1):
            high = low
            while high < n - 1:
                size = abs(diagonal[high]) + abs(diagonal[high + 1])
                if abs(beside[high]) <= 1.1e-16 * size:
                    break
                high += 1
            if high == low:
                break
            if _turn == _MOST:
                return False
            # Wilkinson's shift
            g = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low])
            r = np.sqrt(g * g + 1.0)
            g = diagonal[high] - diagonal[low] + beside[low] / (g + (r if g >= 0 else -r))
            sine, cosine, p = 1.0, 1.0, 0.0
            whole = True
            for i in range(high - 1, low - 1, -1):
                f, b = sine * beside[i], cosine * beside[i]
                r = np.sqrt(f * f + g * g)
                beside[i + 1] = r
                if r == 0.0:
                    diagonal[i + 1] -= p
                    beside[high] = 0.0
                    whole = False
                    break
                sine, cosine = f / r, g / r
                g = diagonal[i + 1] - p
                r = (diagonal[i] - g) * sine + 2.0 * cosine * b
                p = sine * r
                diagonal[i + 1] = g + p
                g = cosine * r - b
                one, other = vectors[i], vectors[i + 1]
                for j in range(n):
                    f = other[j]
                    other[j] = sine * one[j] + cosine * f
                    one[j] = cosine * one[j] - sine * f
            if whole:
                diagonal[low] -= p
                beside[low] = g
                beside[high] = 0.0
    return True
