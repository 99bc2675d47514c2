"""Graphs of weighted links: what is checked before an algorithm takes one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.errors import ParameterError, check


def checked_graph(graph: Any) -> sparse.csr_matrix:
    """Give the graph as a canonical matrix, after checking that it is one of undirected weighted links.

    Parameters
    ----------
    graph
        n x n, sparse or dense.

    Raises
    ------
    ParameterError
        If it is not square, not symmetric, or has weights that are negative or not finite.

    Examples
    --------
    >>> checked_graph([[0, 2], [2, 0]]).nnz
    2
    """
    matrix = sparse.csr_matrix(graph)
    n_nodes, n_columns = matrix.shape
    check(n_nodes == n_columns, f"graph must be square, got {n_nodes} x {n_columns}")
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    values = matrix.data
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ParameterError("graph must have weights that are finite and not negative")
    rows = np.repeat(np.arange(n_nodes, dtype=matrix.indices.dtype), np.diff(matrix.indptr))
    out_of = np.bincount(rows, values, n_nodes)
    into = np.bincount(matrix.indices, values, n_nodes)
    check(np.allclose(out_of, into, rtol=1e-4, atol=1e-6), "graph must be symmetric, so that i-j weighs what j-i does")
    return matrix
