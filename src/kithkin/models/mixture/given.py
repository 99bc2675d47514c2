"""Parameters, means and responsibilities of a mixture that are given: checks, first statistics, and a layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Blocks
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import CAPS, EXACT, SUMS, CountLayout, Nodes
from kithkin.models.mixture.em import Prior
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import Statistics, gather_statistics

LIMIT = 16  # counts up to it are tabulated; larger ones, rare among cells, are computed


def checked_parameters(log_mean: Any, log_dispersion: Any, weights: Any) -> Parameters:
    """Check log means and log dispersions (None: Poisson), K x p, and weights (None: equal), K, that sum to 1."""
    log_mean = np.asarray(log_mean, np.float64)
    check(log_mean.ndim == 2 and log_mean.size > 0, f"log_mean must be K x p, got {log_mean.shape}")
    K = len(log_mean)
    poisson = np.full(log_mean.shape, -np.inf)
    log_dispersion = poisson if log_dispersion is None else np.asarray(log_dispersion, np.float64)
    weights = np.full(K, 1 / K) if weights is None else np.asarray(weights, np.float64)
    check(
        log_dispersion.shape == log_mean.shape,
        f"log_dispersion must be {log_mean.shape}, as log_mean, got {log_dispersion.shape}",
    )
    check(weights.shape == (K,), f"weights must hold {K} numbers, one for each cluster, got {weights.shape}")
    check(bool(np.isfinite(log_mean).all()), "log_mean must be finite: a mean of 0 makes every count impossible")
    check(bool((log_dispersion < np.inf).all()), "log_dispersion must be below infinity, and -inf where Poisson")
    check(bool((weights > 0).all()), f"weights must be above 0, got {weights.min()}")
    check(bool(abs(weights.sum() - 1) < 1e-4), f"weights must sum to 1, got {weights.sum()}")
    columns = np.ascontiguousarray(log_mean.T), np.ascontiguousarray(np.exp(log_dispersion.T))
    return Parameters(np.log(weights / weights.sum()), *columns)


def lay_out_given(parameters: Parameters, columns: Array, n_columns: int) -> CountLayout:
    """Lay out tables for counts that are not seen yet; nodes follow the sizes of the rows that come."""
    n_genes = len(columns)
    position = np.full(n_columns, -1, np.int32)
    position[columns] = np.arange(n_genes, dtype=np.int32)
    nodes = Nodes.over(1.0, 1.0, EXACT)
    return CountLayout(
        position=position,
        size=np.zeros(0),
        starts=np.arange(n_genes + 1, dtype=np.int64) * LIMIT,
        limits=np.full(n_genes, LIMIT, np.int64),
        cap=CAPS[0],
        score_nodes=nodes,
        sum_nodes=nodes,
        large_nodes=Nodes.over(CAPS[0], CAPS[0] + 1.0, SUMS),
        means=np.exp(parameters.log_mean) @ np.exp(parameters.log_weight),
    )


def given_statistics(
    init: Array,
    blocks: Blocks,
    layout: CountLayout,
    prior: Prior,
    n_clusters: int,
    columns: Array,
    execution: Execution | None = None,
) -> Statistics:
    """Gather the statistics of a first M step by labels (n), responsibilities (n x K) or means (K x p), in one pass."""
    n, width, K = *blocks.shape, n_clusters
    as_means = init.ndim == 2 and init.shape in ((K, width), (K, len(columns)))
    if as_means:
        twice = (
            f"init of shape {init.shape} may be responsibilities or means: give means as a mixture of from_parameters"
        )
        check(init.shape != (n, K), twice)
        means = init[:, columns] if init.shape[1] == width else init
        start = smoothed_means(means.astype(np.float64), layout, prior)
        return gather_statistics(blocks, layout, Tables.of(start, layout), K, execution=execution)
    return gather_statistics(blocks, layout, checked_responsibilities(init, n, K), K, execution=execution)


def smoothed_means(means: Array, layout: CountLayout, prior: Prior) -> Parameters:
    """Return a Poisson mixture with given means, K x p, of equal weights.

    Means are those of cells with a K-th of all counts, under the Gamma prior, so that none is 0.
    """
    check(bool(np.all(means >= 0) and np.all(np.isfinite(means))), "means of init must be finite and at least 0")
    total = float(layout.size.sum())
    exposure = total / len(means)
    smooth = (means * exposure + prior.shape) / (exposure + prior.rates(layout.means, total))
    log_mean = np.ascontiguousarray(np.log(smooth).T)
    return Parameters(np.full(len(means), -np.log(len(means))), log_mean, np.zeros(log_mean.shape))


def checked_responsibilities(z: Array, n: int, n_clusters: int) -> Array:
    """Check an initialisation, which is labels as int64, or responsibilities with rows that sum to 1."""
    K = n_clusters
    check(z.ndim in (1, 2) and len(z) == n, f"init must have {n} rows, got {z.shape}")
    if z.ndim == 1:
        check(z.dtype.kind in "iu", "init must hold integers where it holds labels")
        check(bool(z.max(initial=-1) < K), f"init must hold labels below n_clusters={K}, got {z.max()}")
        return z.astype(np.int64)
    check(z.shape[1] == K, f"init must have n_clusters={K} columns, got {z.shape[1]}")
    z = z.astype(np.float64)
    check(bool(np.all(z >= 0) and np.all(np.isfinite(z))), "init must be finite and at least 0")
    normalized: Array = z / np.maximum(z.sum(axis=1, keepdims=True), 1e-300)
    return normalized
