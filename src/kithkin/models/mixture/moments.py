"""Moments of each gene from the sufficient statistics: constants of the likelihood, dispersion by moments."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from kithkin.core.blocks import Array
from kithkin.models.mixture.count_layout import CountLayout
from kithkin.models.mixture.passes import Statistics

FEWEST = 20.0  # counts below which the dispersion of a gene is noise
N_BINS = 20
SMALLEST = 1e-3


def sum_over_counts(statistics: Statistics, layout: CountLayout, values: Array, beyond: Array) -> Array:
    """Sum a function of the count over cells, K x genes.

    It is given by its values at counts 0, ..., cap (0 at 0 and 1), and beyond at the nodes of large counts.
    """
    gene = np.repeat(np.arange(layout.n_genes), np.diff(layout.starts))
    slot = np.arange(len(gene)) - layout.starts[gene]
    large = slot >= layout.cap
    weight = np.empty(len(gene))
    weight[~large] = values[slot[~large] + 1]
    weight[large] = ((beyond - values[layout.cap]) / layout.large_nodes.values)[slot[large] - layout.cap]
    return np.stack([np.bincount(gene, row * weight, layout.n_genes) for row in statistics.H])


def constants(statistics: Statistics, layout: CountLayout) -> Array:
    """Sum x log s - log x! over cells, K x genes: the terms that do not depend on the parameters."""
    logs: Array = statistics.V @ layout.sum_nodes.x
    return logs - sum_over_counts(
        statistics, layout, gammaln(np.arange(layout.cap + 1) + 1.0), gammaln(layout.large_nodes.values + 1.0)
    )


def dispersion_trend(statistics: Statistics, layout: CountLayout) -> Array:
    """Estimate the trend of log dispersion with log mean, by moments within clusters.

    The moments of a gene may be negative, and all genes count, so that noise does not pass for dispersion: in each
    of 20 bins of the mean, the variance beyond Poisson is divided by the sum of squared means.
    """
    sizes = layout.sum_nodes.values
    counts, weighted = statistics.V.sum(axis=2), statistics.V @ sizes
    once, twice = statistics.W @ sizes, statistics.W @ sizes**2
    mean = counts / np.maximum(once, 1e-300)[:, None]
    x, large = np.arange(layout.cap + 1.0), layout.large_nodes.values
    spread = mean**2 * twice[:, None]
    excess = (sum_over_counts(statistics, layout, x * (x - 1), large * (large - 1)) - 2 * mean * weighted + spread).sum(
        axis=0
    )
    base, total = spread.sum(axis=0), counts.sum(axis=0)
    known = np.flatnonzero((total >= FEWEST) & (base > 0))
    if len(known) == 0:
        return np.full(layout.n_genes, np.log(0.1))
    log_mean = np.log(np.maximum(layout.means, 1e-300))
    bins = np.array_split(known[np.argsort(log_mean[known], kind="stable")], min(N_BINS, len(known)))
    centers = np.array([log_mean[part].mean() for part in bins])
    height = [np.log(max(excess[part].sum() / base[part].sum(), SMALLEST)) for part in bins]
    trend: Array = np.interp(log_mean, centers, height)
    return trend
