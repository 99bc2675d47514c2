"""Open gates as sets of features of rows and clusters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from kithkin.core.errors import ParameterError

Array: TypeAlias = np.ndarray[Any, Any]
OPEN = 0.1  # a gate of a row counts as open above it; models set what is below to 0
CLUSTER_OPEN = 0.55  # a gate of a cluster counts as open above it: one half, where they rest untrained, and a margin
TILE = 2**24  # bytes of a dense piece of a table


def open_gates(gates: Any, threshold: float = OPEN) -> sparse.csr_matrix:
    """Threshold gates.

    Parameters
    ----------
    gates
        n x p, dense or sparse.
    threshold
        A gate is open above it, at least 0.

    Returns
    -------
    csr_matrix
        Open gates as n x p booleans.

    Raises
    ------
    ParameterError
        If gates are not a table, or the threshold is below 0.

    Examples
    --------
    >>> open_gates(np.array([[0.05, 1.0], [0.9, 0.0]])).toarray().tolist()
    [[False, True], [True, False]]
    """
    if not threshold >= 0:
        raise ParameterError(f"threshold must be at least 0, got {threshold!r}")
    if getattr(gates, "ndim", 0) != 2:
        raise ParameterError(f"gates must be a table of rows x features, got {np.ndim(gates)} dimensions")
    if sparse.issparse(gates):
        opened = sparse.csr_matrix(gates > threshold)
        opened.sort_indices()
        return opened
    parts = [sparse.csr_matrix(gates[a:b] > threshold) for a, b in row_ranges(gates)]
    return sparse.csr_matrix(sparse.vstack(parts)) if parts else sparse.csr_matrix(gates.shape, dtype=bool)


def cluster_features(gates: Any, labels: Any, n_features: int | None = None, *, threshold: float = OPEN) -> Array:
    """Choose the features of each cluster whose gates are open in most of its rows.

    Parameters
    ----------
    gates
        n x p, dense or sparse.
    labels
        Codes from 0, n; rows with a negative code are left out.
    n_features
        Number of features of each cluster, those open in the most rows, the first ones on ties; fewer where fewer are
        open in any row. By default the features open in more than half of the rows, which may be none.
    threshold
        A gate is open above it.

    Returns
    -------
    ndarray
        K x p booleans, K one more than the largest code; none for a cluster without rows.

    Raises
    ------
    ParameterError
        If there is not one code for each row, or n_features is not a whole number of at least 1.

    Examples
    --------
    >>> cluster_features(np.array([[1, 0], [1, 0], [0, 1]]), [0, 0, 1]).tolist()
    [[True, False], [False, True]]
    >>> cluster_features(np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]]), [0, 0, 1], 1).tolist()
    [[False, True, False], [False, False, True]]
    """
    if n_features is not None and (not isinstance(n_features, (int, np.integer)) or n_features < 1):
        raise ParameterError(f"n_features must be a whole number of at least 1, got {n_features!r}")
    opened, codes = open_gates(gates, threshold), checked_codes(labels, gates.shape[0])
    known = np.flatnonzero(codes >= 0)
    members = sparse.csr_matrix(
        (np.ones(len(known)), (codes[known], known)), (int(codes.max(initial=-1)) + 1, len(codes))
    )
    rows = (members @ opened.astype(np.float64)).toarray()
    if n_features is None:
        majority: Array = 2 * rows > np.bincount(codes[known])[:, None]
        return majority
    most = np.argsort(-rows, axis=1, kind="stable")[:, :n_features]
    out = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(out, most, np.take_along_axis(rows, most, 1) > 0, 1)
    return out


def used_gates(opened: sparse.csr_matrix, X: Any) -> sparse.csr_matrix:
    """Keep the open gates on values that are not zero.

    opened: n x p booleans, from `open_gates`.
    X: values, n x p, dense or sparse; by default no value is zero.
    Raises ParameterError if the shapes differ.

    >>> used_gates(open_gates(np.ones((1, 3))), np.array([[0, 2, 0]])).toarray().tolist()
    [[False, True, False]]
    """
    if X is None:
        return opened
    if X.shape != opened.shape:
        raise ParameterError(f"X and gates must have the same shape, got {X.shape} and {opened.shape}")
    if sparse.issparse(X):
        used = sparse.csr_matrix(opened.multiply(X != 0))
    else:
        rows = np.repeat(np.arange(opened.shape[0]), np.diff(opened.indptr))
        kept = np.asarray(X)[rows, opened.indices] != 0
        used = sparse.csr_matrix((kept[kept], (rows[kept], opened.indices[kept])), opened.shape)
    used.eliminate_zeros()
    return used


def gated_values(X: Any, gates: Any) -> sparse.csr_matrix:
    """Multiply values by gates, and drop zeros.

    Raises ParameterError if the shapes differ.

    >>> gated_values(np.array([[2, 0, 4]]), np.array([[0.5, 1, 0]])).toarray().tolist()
    [[1.0, 0.0, 0.0]]
    """
    if X.shape != gates.shape:
        raise ParameterError(f"X and gates must have the same shape, got {X.shape} and {gates.shape}")
    if sparse.issparse(gates):
        return sparse.csr_matrix(gates.multiply(X))
    if sparse.issparse(X):
        return sparse.csr_matrix(X.multiply(gates))
    parts = [sparse.csr_matrix(np.asarray(X[a:b], float) * gates[a:b]) for a, b in row_ranges(X)]
    return sparse.csr_matrix(sparse.vstack(parts))


def row_ranges(table: Any) -> list[tuple[int, int]]:
    """Cut the rows of a table into ranges that are small when dense.

    >>> row_ranges(np.zeros((3, 2**20)))
    [(0, 2), (2, 3)]
    """
    n, p = table.shape
    return list(pairwise([*range(0, n, max(1, TILE // (8 * max(1, p)))), n])) if n else []


def checked_codes(labels: Any, n_rows: int) -> Array:
    """Check labels, and return them as int64 codes, one for each row.

    Raises ParameterError if they are not.
    """
    codes = np.asarray(labels)
    if codes.shape != (n_rows,) or codes.dtype.kind not in "iub":
        raise ParameterError(f"labels must hold {n_rows} integer codes, got {codes.dtype} of shape {codes.shape}")
    return codes.astype(np.int64, copy=False)
