"""Slopes of one table between neighbouring rows of another."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from kithkin.core.errors import ParameterError

Array: TypeAlias = np.ndarray[Any, Any]
TILE = 2**24  # bytes of one tile of distances, and of one piece of a table
SAME = 1e-12  # squared distance, over the squared lengths, at which rounding leaves open whether rows differ


def slopes(X: Any, Y: Any, n_neighbors: int, sample: int | None = None, seed: int = 0) -> Array:
    """Compute distance in Y over distance in X between rows and their nearest neighbours in X.

    Rows that are equal in X (closer than a millionth of their length from the mean) are no neighbours.

    X: n x p, dense or sparse.
    Y: n x q, dense or sparse.
    sample: number of random rows; by default all rows.
    Returns rows x n_neighbors, nearest first; NaN where there are fewer. Rows without any neighbour are left out.
    Raises ParameterError if the tables differ in rows, n_neighbors is less than 1, or no row has a neighbour.
    """
    X, Y = (table.tocsr() if sparse.issparse(table) else np.asarray(table) for table in (X, Y))
    if X.ndim != 2 or Y.ndim != 2 or X.shape[0] != Y.shape[0]:
        raise ParameterError(f"X and Y must be tables of the same rows, got shapes {X.shape} and {Y.shape}")
    if n_neighbors < 1 or (sample is not None and sample < 1):
        raise ParameterError(f"n_neighbors and sample must be at least 1, got {n_neighbors!r} and {sample!r}")
    n = X.shape[0]
    drawn = np.arange(n)
    if sample is not None and sample < n:
        drawn = np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    center = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
    step = max(1, min(len(drawn), 512, TILE // (8 * max(1, X.shape[1]))))
    ratios = []
    for start in range(0, len(drawn), step):
        rows = drawn[start : start + step]
        near = _nearest(X, center, rows, n_neighbors)
        there = near[:, 0] >= 0
        rows, near = rows[there], near[there]
        ratio = np.full(near.shape, np.nan)
        for column, others in enumerate(near.T):
            known = others >= 0
            # recomputed as differences: exact also where rows lie close together, unlike the products of the search
            change, distance = (np.linalg.norm(_rows(T, rows[known]) - _rows(T, others[known]), axis=1) for T in (Y, X))
            ratio[known, column] = change / distance
        ratios.append(ratio)
    out = np.concatenate(ratios) if ratios else np.zeros((0, 1))
    if len(out) == 0:
        raise ParameterError("X must have rows that differ")
    return out


def _nearest(X: Any, center: Array, rows: Array, k: int) -> Array:
    """Find the nearest rows that differ, nearest first; -1 where there are fewer."""
    n, p = X.shape
    own = _rows(X, rows) - center
    length = np.einsum("ij,ij->i", own, own)
    best, near = np.full((len(rows), k), np.inf), np.full((len(rows), k), -1)
    step = max(k, TILE // (8 * max(p, len(rows), 1)))
    for start in range(0, n, step):
        others = _rows(X, slice(start, start + step)) - center
        lengths = np.einsum("ij,ij->i", others, others)
        sums = length[:, None] + lengths
        distances = sums - 2 * (own @ others.T)
        distances[distances <= SAME * sums] = np.inf
        numbers = np.broadcast_to(np.arange(start, start + len(others)), distances.shape)
        distances, numbers = np.hstack([best, distances]), np.hstack([near, numbers])
        order = np.argpartition(distances, k - 1, axis=1)[:, :k]
        best, near = (np.take_along_axis(table, order, 1) for table in (distances, numbers))
    order = np.lexsort((near, best), axis=1)
    best, near = (np.take_along_axis(table, order, 1) for table in (best, near))
    out: Array = np.where(np.isfinite(best), near, -1)
    return out


def _rows(table: Any, which: Any) -> Array:
    rows = table[which]
    return np.asarray(rows.toarray() if sparse.issparse(rows) else rows, dtype=np.float64)
