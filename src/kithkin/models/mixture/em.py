"""EM for a mixture of negative binomials: E steps over the rows, M steps over ranges of genes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array, Blocks
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.mixture.m_step import maximize_genes
from kithkin.models.mixture.count_layout import CountLayout
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import Statistics, gather_statistics

MODES = ("poisson", "gene", "gene_cluster")
N_TASKS = 16


@dataclass(frozen=True)
class Prior:
    """Hyper-parameters of the priors.

    Attributes
    ----------
    shape
        Shape of the Gamma prior on every mean; it is centred on the overall mean of the gene.
    weight
        Pseudo-count of cells added to each cluster.
    center, precision
        Normal prior on log phi: mean per gene, and precision (0: no prior).

    Examples
    --------
    >>> Prior().rates(np.array([0.5, 0.0]), 100.0).tolist()
    [2.0, 200.0]
    """

    shape: float = 1.0
    weight: float = 0.0
    center: Array | None = None
    precision: float = 0.0

    def rates(self, means: Array, exposure: float) -> Array:
        """Return the rate of the Gamma prior of each gene; a gene without counts is taken to have half a count."""
        rates: Array = self.shape / np.maximum(means, 0.5 / exposure)
        return rates

    def centers(self, n_genes: int) -> Array:
        """Return the prior mean of log phi of each gene."""
        return np.zeros(n_genes) if self.center is None else self.center

    def log_density(self, parameters: Parameters, layout: CountLayout) -> float:
        """Compute the log density of the priors, without constants."""
        value = self.weight * float(parameters.log_weight.sum()) if self.weight > 0 else 0.0
        if self.shape > 0:
            rates = self.rates(layout.means, float(layout.size.sum()))
            value += self.shape * float(parameters.log_mean.sum())
            value -= float(rates @ np.exp(parameters.log_mean).sum(axis=1))
        if self.precision > 0:
            deviation = np.log(parameters.phi) - self.centers(layout.n_genes)[:, None]
            value -= 0.5 * self.precision * float((deviation**2).sum())
        return value


@dataclass(frozen=True)
class Curvature:
    """Value and curvature of the M step, filled by `maximize`.

    Attributes
    ----------
    value
        Log-likelihood of each gene in each cluster without constants, genes x K.
    variance
        Asymptotic variance of each log mean, genes x K.
    """

    value: Array
    variance: Array


def maximize(
    statistics: Statistics,
    layout: CountLayout,
    mode: str,
    prior: Prior,
    start: Parameters | None = None,
    *,
    max_iter: int = 3,
    tolerance: float = 1e-6,
    curvature: Curvature | None = None,
    execution: Execution | None = None,
) -> Parameters:
    """M step: Newton's method on the expected complete-data log posterior, from `start` or from moments.

    With `curvature`, its arrays are filled at the optimum.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.count_layout import lay_out_counts
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> layout = lay_out_counts(blocks)
    >>> statistics = gather_statistics(blocks, layout, np.zeros(2, int), 1)
    >>> np.exp(maximize(statistics, layout, "poisson", Prior(shape=0)).log_mean).round(6).ravel().tolist()
    [0.75, 0.25]
    """
    n_clusters, n_genes = len(statistics.weight), layout.n_genes
    log_mean = np.empty((n_genes, n_clusters)) if start is None else start.log_mean.copy()
    phi = np.zeros((n_genes, n_clusters)) if start is None else start.phi.copy()
    rates, centers = prior.rates(layout.means, float(layout.size.sum())), prior.centers(n_genes)
    unused = np.empty((0, 0))
    value, variance = (unused, unused) if curvature is None else (curvature.value, curvature.variance)

    def maximize_range(genes: tuple[int, int]) -> None:
        # fmt: off
        maximize_genes(
            genes[0], genes[1],
            statistics.V, statistics.H, statistics.W, layout.starts, layout.cap,
            layout.sum_nodes.values, layout.large_nodes.values,
            float(prior.shape), rates, centers, float(prior.precision),
            MODES.index(mode), start is None, max_iter, tolerance,
            log_mean, phi, value, variance,
        )
        # fmt: on

    cuts = np.linspace(0, n_genes, N_TASKS + 1).astype(int).tolist()
    deque(map_tasks(maximize_range, list(pairwise(cuts)), execution), maxlen=0)
    weight = statistics.weight + prior.weight
    return Parameters(np.log(np.maximum(weight / weight.sum(), 1e-300)), log_mean, phi)


@dataclass(frozen=True)
class EMResult:
    """Result of EM.

    Attributes
    ----------
    parameters, statistics
        The mixture, and the sufficient statistics of the rows under it.
    trace
        Log posterior at each pass, without constants of the priors.
    converged
        Whether the tolerance ended the iterations.
    """

    parameters: Parameters
    statistics: Statistics
    trace: list[float]
    converged: bool


def run_em(
    blocks: Blocks,
    layout: CountLayout,
    parameters: Parameters,
    mode: str,
    prior: Prior,
    *,
    max_iter: int,
    tolerance: float,
    execution: Execution | None = None,
) -> EMResult:
    """Alternate E and M steps until a pass gains less than `tolerance` a row.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.count_layout import lay_out_counts
    >>> blocks = InMemory(np.array([[4, 0], [3, 1], [0, 4], [1, 3]]))
    >>> start = Parameters(np.log([0.5, 0.5]), np.log([[0.6, 0.4], [0.4, 0.6]]), np.zeros((2, 2)))
    >>> result = run_em(blocks, lay_out_counts(blocks), start, "poisson", Prior(), max_iter=50, tolerance=1e-6)
    >>> bool(np.all(np.diff(result.trace) >= 0)), np.exp(result.parameters.log_mean[0]).round(1).tolist()
    (True, [0.8, 0.2])
    """
    trace: list[float] = []
    while True:
        tables = Tables.of(parameters, layout)
        statistics = gather_statistics(blocks, layout, tables, parameters.n_clusters, execution=execution)
        trace.append(statistics.likelihood + prior.log_density(parameters, layout))
        converged = len(trace) > 1 and trace[-1] - trace[-2] < tolerance * blocks.shape[0]
        if converged or len(trace) > max_iter:
            return EMResult(parameters, statistics, trace, converged)
        parameters = maximize(statistics, layout, mode, prior, parameters, execution=execution)
