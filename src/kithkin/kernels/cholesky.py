"""Small symmetric systems, one for each gene: too small for LAPACK, whose call costs more than the work."""

from __future__ import annotations

import math

from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def factor(matrix):
    """Replace the lower triangle of a symmetric matrix by its Cholesky factor; False if it is not positive definite."""
    k = len(matrix)
    for i in range(k):
        for j in range(i + 1):
            total = matrix[i, j]
            for m in range(j):
                total -= matrix[i, m] * matrix[j, m]
            if i > j:
                matrix[i, j] = total / matrix[j, j]
            elif total > 0.0:
                matrix[i, i] = math.sqrt(total)
            else:
                return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def half_solve(lower, vector, out):
    """Solve lower out = vector, and return the squared length of out."""
    square = 0.0
    for i in range(len(vector)):
        total = vector[i]
        for m in range(i):
            total -= lower[i, m] * out[m]
        out[i] = total / lower[i, i]
        square += out[i] * out[i]
    return square


@njit(cache=True, nogil=True, error_model="numpy")
def solve(lower, vector, out):
    """Solve lower lower' out = vector."""
    half_solve(lower, vector, out)
    for i in range(len(vector) - 1, -1, -1):
        total = out[i]
        for m in range(i + 1, len(vector)):
            total -= lower[m, i] * out[m]
        out[i] = total / lower[i, i]


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(design, weights, ridge, out):
    """Write the lower triangle of design' diag(weights) design + ridge to out."""
    n, k = design.shape
    for i in range(k):
        for j in range(i + 1):
            out[i, j] = ridge if i == j else 0.0
    for row in range(n):
        weight = weights[row]
        for i in range(k):
            weighted = weight * design[row, i]
            for j in range(i + 1):
                out[i, j] += weighted * design[row, j]
