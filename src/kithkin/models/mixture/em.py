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
    """Hyper-parameters of the priors."""

    shape: float = 1.0  # of the Gamma prior on every mean, which is centred on the overall mean of the gene
    weight: float = 0.0  # pseudo-count of cells added to each cluster
    center: Array | None = None  # mean of the normal prior on log phi, for each gene
    precision: float = 0.0  # of the normal prior; 0: no prior

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
    """Value and curvature of the M step, filled by `maximize`."""

    value: Array  # log-likelihood of each gene in each cluster without constants, genes x K
    variance: Array  # asymptotic variance of each log mean, genes x K


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
    """Result of EM."""

    parameters: Parameters
    statistics: Statistics  # of the rows under these parameters
    trace: list[float]  # log posterior at each pass, without constants of the priors
    converged: bool  # whether the tolerance ended the iterations


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
    """Alternate E and M steps until a pass gains less than `tolerance` a row."""
    trace: list[float] = []
    while True:
        tables = Tables.of(parameters, layout)
        statistics = gather_statistics(blocks, layout, tables, parameters.n_clusters, execution=execution)
        trace.append(statistics.likelihood + prior.log_density(parameters, layout))
        converged = len(trace) > 1 and trace[-1] - trace[-2] < tolerance * blocks.shape[0]
        if converged or len(trace) > max_iter:
            return EMResult(parameters, statistics, trace, converged)
        parameters = maximize(statistics, layout, mode, prior, parameters, execution=execution)
