"""What a mixture of counts may be started from, checked, and cells drawn from one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.models.mixture.parameters import Parameters

ROWS = 256  # cells that are drawn at a time, all genes of each


def checked_shares(shares: Array, n: int, n_clusters: int) -> Array:
    """Labels as int64, or shares with rows that sum to 1.

    Raises
    ------
    ParameterError
        If there is not one row for each cell, or they are not labels or shares of n_clusters.

    Examples
    --------
    >>> checked_shares(np.array([[1, 3]]), 1, 2).tolist()
    [[0.25, 0.75]]
    """
    K = n_clusters
    check(shares.ndim in (1, 2) and len(shares) == n, f"init must have {n} rows, got {shares.shape}")
    if shares.ndim == 1:
        check(shares.dtype.kind in "iu", "init must hold integers where it holds labels")
        check(bool(shares.max(initial=-1) < K), f"init must hold labels below n_clusters={K}, got {shares.max()}")
        return shares.astype(np.int64)
    check(shares.shape[1] == K, f"init must have n_clusters={K} columns, got {shares.shape[1]}")
    shares = shares.astype(np.float64)
    check(bool(np.all(shares >= 0) and np.all(np.isfinite(shares))), "init must be finite and at least 0")
    found: Array = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    return found


def simulate(parameters: Parameters, size: Array, seed: int) -> tuple[Any, Array]:
    """Counts (CSR, n x genes, int64) and clusters (int32, n) of cells with the given size factors.

    Examples
    --------
    >>> X, labels = simulate(Parameters(np.zeros(1), np.log([[0.5]]), np.zeros((1, 1))), np.full(1000, 10.0), 0)
    >>> bool(abs(X.mean() - 5.0) < 0.3), int(labels.max())
    (True, 0)
    """
    weights = np.exp(parameters.log_weight)
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(weights), len(size), p=weights / weights.sum()).astype(np.int32)
    mean, dispersion = np.exp(parameters.log_mean.T), parameters.phi.T
    parts = [sparse.csr_matrix((0, mean.shape[1]), dtype=np.int64)]
    for start in range(0, len(size), ROWS):
        rows = slice(start, start + ROWS)
        phi = dispersion[labels[rows]]
        rate = size[rows, None] * mean[labels[rows]]
        # where the dispersion is 0 the draw is not used
        shape = 1.0 / np.maximum(phi, 1e-6)
        rate = np.where(phi > 0, rng.gamma(shape) / shape * rate, rate)
        parts.append(sparse.csr_matrix(rng.poisson(rate)))
    return sparse.vstack(parts, "csr"), labels
