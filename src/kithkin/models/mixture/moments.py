"""What the sums of a mixture tell of each gene without a fit: constants of the likelihood, dispersion by moments."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from kithkin.core.blocks import Array
from kithkin.models.mixture.layout import Layout
from kithkin.models.mixture.passes import Sums

FEWEST = 20.0  # counts of a gene from which its dispersion tells something
N_BINS = 20
SMALLEST = 1e-3


def sum_of(sums: Sums, layout: Layout, values: Array, beyond: Array) -> Array:
    """Sum over cells of a function of the count, K x genes.

    Parameters
    ----------
    sums, layout
        The counts.
    values
        The function at counts 0, ..., cap; 0 at 0 and 1.
    beyond
        The function at the nodes of large counts.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.passes import add_up
    >>> from kithkin.models.mixture.layout import survey
    >>> blocks = InMemory(np.array([[3, 0], [2, 1]]))
    >>> layout = survey(blocks)
    >>> x = np.arange(layout.cap + 1.0)
    >>> sums = add_up(blocks, layout, np.zeros(2, int), 1)
    >>> sum_of(sums, layout, x * (x - 1), layout.large_nodes.values * 0).tolist()
    [[8.0, 0.0]]
    """
    gene = np.repeat(np.arange(layout.n_genes), np.diff(layout.starts))
    place = np.arange(len(gene)) - layout.starts[gene]
    large = place >= layout.cap
    weight = np.empty(len(gene))
    weight[~large] = values[place[~large] + 1]
    weight[large] = ((beyond - values[layout.cap]) / layout.large_nodes.values)[place[large] - layout.cap]
    return np.stack([np.bincount(gene, row * weight, layout.n_genes) for row in sums.H])


def constants(sums: Sums, layout: Layout) -> Array:
    """Sum over cells of x log s - log x!, K x genes: what the M step leaves out of the log-likelihood.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.passes import add_up
    >>> from kithkin.models.mixture.layout import survey
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> layout = survey(blocks)
    >>> constants(add_up(blocks, layout, np.zeros(2, int), 1), layout).round(4).tolist()  # 3 log 2 - log 2, log 2
    [[1.3863, 0.6931]]
    """
    logs: Array = sums.V @ layout.sum_nodes.x
    return logs - sum_of(
        sums, layout, gammaln(np.arange(layout.cap + 1) + 1.0), gammaln(layout.large_nodes.values + 1.0)
    )


def dispersion_trend(sums: Sums, layout: Layout) -> Array:
    """Log dispersion as a function of the log mean, by moments within clusters: where a prior may be centred.

    The moments of a gene may be negative, and all genes count, so that noise does not pass for dispersion: in each
    of 20 bins of the mean, what cells vary more than a Poisson variable is divided by the sum of squared means.

    Returns
    -------
    ndarray
        Genes.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.passes import add_up
    >>> from kithkin.models.mixture.layout import survey
    >>> rng = np.random.default_rng(0)
    >>> blocks = InMemory(rng.poisson(5 * rng.gamma(2, 0.5, (500, 100))))
    >>> layout = survey(blocks, size=np.ones(500))
    >>> trend = dispersion_trend(add_up(blocks, layout, np.zeros(500, int), 1), layout)
    >>> bool(np.all(abs(np.exp(trend) - 0.5) < 0.2))
    True
    """
    sizes = layout.sum_nodes.values
    counts, weighted = sums.V.sum(axis=2), sums.V @ sizes
    once, twice = sums.W @ sizes, sums.W @ sizes**2
    mean = counts / np.maximum(once, 1e-300)[:, None]
    x, large = np.arange(layout.cap + 1.0), layout.large_nodes.values
    spread = mean**2 * twice[:, None]
    more = (sum_of(sums, layout, x * (x - 1), large * (large - 1)) - 2 * mean * weighted + spread).sum(axis=0)
    base, total = spread.sum(axis=0), counts.sum(axis=0)
    known = np.flatnonzero((total >= FEWEST) & (base > 0))
    if len(known) == 0:
        return np.full(layout.n_genes, np.log(0.1))
    log_mean = np.log(np.maximum(layout.means, 1e-300))
    bins = np.array_split(known[np.argsort(log_mean[known], kind="stable")], min(N_BINS, len(known)))
    at = np.array([log_mean[part].mean() for part in bins])
    height = [np.log(max(more[part].sum() / base[part].sum(), SMALLEST)) for part in bins]
    found: Array = np.interp(log_mean, at, height)
    return found
