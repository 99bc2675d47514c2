"""Control genes of a set: drawn from the bins of the mean in which the set has genes, as scanpy and Seurat do."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from kithkin.core.blocks import Array


def mean_bins(means: Array, n_bins: int) -> Array:
    """Cut genes into bins of about equal size by their mean, as scanpy does.

    >>> mean_bins(np.array([0.1, 0.4, 0.2, 0.3]), 3).tolist()
    [0, 2, 1, 1]
    """
    size = max(1, round(len(means) / (n_bins - 1)))
    bins: Array = rankdata(means, method="min").astype(np.int64) // size
    return bins


def draw_controls(bins: Array, columns: Array, n_controls: int, seed: int) -> Array:
    """Draw control genes from each bin in which a set has a gene, without the genes of the set.

    >>> draw_controls(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1]), 50, 0).tolist()
    [2]
    """
    draws = np.random.RandomState(seed)  # the numbers that scanpy draws
    chosen = np.zeros(len(bins), bool)
    for one in np.unique(bins[columns]):
        pool = np.flatnonzero(bins == one)
        if n_controls < len(pool):
            pool = pool[draws.choice(len(pool), size=n_controls, replace=False)]
        chosen[pool] = True
    chosen[columns] = False
    return np.flatnonzero(chosen)
