"""Simulation of cells from a mixture of negative binomials."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.models.mixture.parameters import Parameters

ROWS = 256  # cells that are drawn at a time, all genes of each


def simulate(parameters: Parameters, size: Array, seed: int) -> tuple[Any, Array]:
    """Draw counts (CSR, n x genes, int64) and clusters (int32, n) of cells with the given size factors."""
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
