"""Quality of neighbour searches and embeddings."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.spatial import cKDTree

from kithkin.core.errors import ParameterError
from kithkin.door import guard

__all__ = ["class_accuracy", "recall", "trustworthiness"]

Array: TypeAlias = np.ndarray[Any, Any]
TILE = 2**24  # bytes of one tile of distances


def __dir__() -> list[str]:
    return __all__


def recall(indices: Array, exact: Array) -> float:
    """Recall: fraction of the exact neighbours that were found.

    Parameters
    ----------
    indices
        Neighbours found, n x a integers.
    exact
        True neighbours, n x k integers.

    Raises
    ------
    ParameterError
        If the two have different numbers of rows, or none.

    Examples
    --------
    >>> recall(np.array([[1, 2], [0, 2]]), np.array([[2, 1], [0, 3]]))
    0.75
    """
    indices, exact = np.asarray(indices), np.asarray(exact)
    if indices.ndim != 2 or exact.ndim != 2 or len(indices) != len(exact) or exact.size == 0:
        raise ParameterError(f"indices and exact must have the same rows, got shapes {indices.shape} and {exact.shape}")
    n_found = 0
    for start in range(0, len(exact), 4096):
        pair = indices[start : start + 4096, :, None] == exact[start : start + 4096, None, :]
        n_found += int(pair.any(axis=1).sum())
    return n_found / exact.size


def trustworthiness(X: Array, Y: Array, n_neighbors: int = 5, *, sample: int | None = None, seed: int = 0) -> float:
    """Trustworthiness, 0..1: neighbours in an embedding that are neighbours in the data.

    Each neighbour in Y that is not among the n_neighbors nearest in X costs the number of ranks by which it is beyond.

    Parameters
    ----------
    X
        Data, n x p.
    Y
        Embedding, n x d.
    n_neighbors
        Number of neighbours, without the row itself; less than half of the rows.
    sample
        Number of random rows to average over, all by default. Ranks are among all rows in either case.
    seed
        Seed of the sample.

    Raises
    ------
    ParameterError
        If the rows differ in number or n_neighbors or sample is out of range.

    References
    ----------
    Venna and Kaski, Neighborhood preservation in nonlinear projection methods (2001), doi:10.1007/3-540-44668-0_68.

    Examples
    --------
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> trustworthiness(X, X[:, :1], n_neighbors=2)
    1.0
    """
    X, Y = np.asarray(X, np.float64), np.asarray(Y, np.float64)
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y):
        raise ParameterError(f"X and Y must be tables of the same rows, got shapes {X.shape} and {Y.shape}")
    n = len(X)
    if not 1 <= n_neighbors < n / 2:
        raise ParameterError(f"n_neighbors must be in 1..{(n - 1) // 2}, got {n_neighbors}")
    rows = _rows(n, sample, seed)
    near = _nearest(cKDTree(Y), rows, n_neighbors)
    center = X.mean(axis=0, dtype=np.float64)
    X = X - center
    squares = np.einsum("ij,ij->i", X, X)
    step, beyond = max(1, TILE // (8 * n)), 0
    for start in range(0, len(rows), step):
        part, neighbors = rows[start : start + step], near[start : start + step]
        distances = squares - 2 * (X[part] @ X.T)
        distances[np.arange(len(part)), part] = np.inf
        reached = np.take_along_axis(distances, neighbors, 1)
        for j in range(n_neighbors):
            ranks = 1 + (distances < reached[:, j, None]).sum(axis=1)
            beyond += int(np.maximum(ranks - n_neighbors, 0).sum())
    return 1.0 - beyond * 2.0 / (len(rows) * n_neighbors * (2.0 * n - 3.0 * n_neighbors - 1.0))


def class_accuracy(Y: Array, labels: Any, n_neighbors: int = 1, *, sample: int | None = None, seed: int = 0) -> float:
    """Leave-one-out accuracy of a nearest-neighbour classifier in an embedding.

    Parameters
    ----------
    Y
        Embedding, n x d.
    labels
        Class of each row, n: numbers, strings or categories.
    n_neighbors
        Number of neighbours that vote, without the row itself; the first class in order wins a tie.
    sample
        Number of random rows to average over, all by default.
    seed
        Seed of the sample.

    Raises
    ------
    ParameterError
        If labels and rows differ in number, or n_neighbors or sample is out of range.

    Examples
    --------
    >>> class_accuracy(np.array([[0.0], [0.1], [5.0], [5.2]]), ["a", "a", "b", "b"])
    1.0
    """
    Y = np.asarray(Y, np.float64)
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    if Y.ndim != 2 or len(codes) != len(Y):
        raise ParameterError(f"labels must have one value per row, got {len(codes)} for {len(Y)} rows")
    if not 1 <= n_neighbors < len(Y):
        raise ParameterError(f"n_neighbors must be in 1..{len(Y) - 1}, got {n_neighbors}")
    rows = _rows(len(Y), sample, seed)
    tree, right = cKDTree(Y), 0
    for start in range(0, len(rows), 4096):
        part = rows[start : start + 4096]
        near = codes[_nearest(tree, part, n_neighbors)]
        votes = np.zeros((len(part), int(codes.max()) + 1), np.int64)
        np.add.at(votes, (np.repeat(np.arange(len(part)), n_neighbors), near.ravel()), 1)
        right += int((votes.argmax(axis=1) == codes[part]).sum())
    return right / len(rows)


def _rows(n: int, sample: int | None, seed: int) -> Array:
    if sample is None:
        return np.arange(n)
    if not 1 <= sample <= n:
        raise ParameterError(f"sample must be in 1..{n}, got {sample}")
    return np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))


def _nearest(tree: cKDTree, rows: Array, k: int) -> Array:
    """Find the k nearest others of the rows; among equal points the row itself may not come first, or at all."""
    nearest: Array = np.asarray(tree.query(tree.data[rows], k + 1)[1])
    own = nearest == rows[:, None]
    own[~own.any(axis=1), k] = True
    nearest = nearest[~own].reshape(len(rows), k)
    return nearest


guard(globals())
