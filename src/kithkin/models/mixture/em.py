"""Expectation and maximisation for a mixture of counts: one pass over the rows, then one task per range of genes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Blocks
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.mixture.m_step import maximize_genes
from kithkin.models.mixture.layout import Layout
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import Sums, add_up

MODES = ("poisson", "gene", "gene_cluster")
N_TASKS = 16


@dataclass(frozen=True)
class Prior:
    """What is known before.

    Attributes
    ----------
    shape
        Of the Gamma prior on every mean; it is centred on the gene's overall mean.
    weight
        Cells that each cluster has before any is seen.
    center, precision
        Normal prior on log phi: mean per gene, and precision (0: none).

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
        """Rate of the Gamma prior of each gene; a gene without counts is taken to have half a one."""
        found: Array = self.shape / np.maximum(means, 0.5 / exposure)
        return found

    def centers(self, n_genes: int) -> Array:
        """Mean of log phi of each gene."""
        return np.zeros(n_genes) if self.center is None else self.center

    def log_density(self, parameters: Parameters, layout: Layout) -> float:
        """What the priors add to the log-likelihood, without constants."""
        value = self.weight * float(parameters.log_weight.sum()) if self.weight > 0 else 0.0
        if self.shape > 0:
            rates = self.rates(layout.means, float(layout.size.sum()))
            value += self.shape * float(parameters.log_mean.sum())
            value -= float(rates @ np.exp(parameters.log_mean).sum(axis=1))
        if self.precision > 0:
            away = np.log(parameters.phi) - self.centers(layout.n_genes)[:, None]
            value -= 0.5 * self.precision * float((away**2).sum())
        return value


def maximize(
    sums: Sums,
    layout: Layout,
    mode: str,
    prior: Prior,
    start: Parameters | None = None,
    *,
    max_iter: int = 3,
    tolerance: float = 1e-6,
    execution: Execution | None = None,
) -> Parameters:
    """Means, dispersions and weights that raise the expected log joint, from `start` or from nothing.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> layout = survey(blocks)
    >>> sums = add_up(blocks, layout, np.zeros(2, int), 1)
    >>> np.exp(maximize(sums, layout, "poisson", Prior(shape=0)).log_mean).round(6).ravel().tolist()
    [0.75, 0.25]
    """
    effort = max_iter, tolerance, np.empty((2, 0, 0))
    return _maximized(sums, layout, mode, prior, start, effort, execution)


def describe(
    sums: Sums, layout: Layout, mode: str, prior: Prior, execution: Execution | None = None
) -> tuple[Parameters, Array, Array]:
    """Parameters from nothing to convergence, log-likelihood without constants, and variance of log mean, genes x K.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> layout = survey(blocks)
    >>> sums = add_up(blocks, layout, np.zeros(2, int), 1)
    >>> describe(sums, layout, "poisson", Prior(shape=0))[2].round(3).ravel().tolist()
    [0.333, 1.0]
    """
    about = np.zeros((2, layout.n_genes, len(sums.weight)))
    return _maximized(sums, layout, mode, prior, None, (100, 1e-9, about), execution), about[0], about[1]


def _maximized(
    sums: Sums,
    layout: Layout,
    mode: str,
    prior: Prior,
    start: Parameters | None,
    effort: tuple[int, float, Array],
    execution: Execution | None,
) -> Parameters:
    """Maximise with an effort of so many steps, to a tolerance; the third of it takes values and variances."""
    n_clusters, n_genes = len(sums.weight), layout.n_genes
    max_iter, tolerance, about = effort
    log_mean = np.empty((n_genes, n_clusters)) if start is None else start.log_mean.copy()
    phi = np.zeros((n_genes, n_clusters)) if start is None else start.phi.copy()
    rates, centers = prior.rates(layout.means, float(layout.size.sum())), prior.centers(n_genes)

    def work(piece: tuple[int, int]) -> None:
        maximize_genes(
            *(*piece, sums.V, sums.H, sums.W, layout.starts, layout.cap),
            *(layout.sum_nodes.values, layout.large_nodes.values, float(prior.shape), rates, centers),
            *(float(prior.precision), MODES.index(mode), start is None, max_iter, tolerance),
            *(log_mean, phi, *about),
        )

    cuts = np.linspace(0, n_genes, N_TASKS + 1).astype(int).tolist()
    deque(map_tasks(work, list(pairwise(cuts)), execution), maxlen=0)
    weight = sums.weight + prior.weight
    return Parameters(np.log(np.maximum(weight / weight.sum(), 1e-300)), log_mean, phi)


@dataclass(frozen=True)
class Ascent:
    """Where the iterations ended.

    Attributes
    ----------
    parameters, sums
        The mixture, and the sums over the rows under it.
    trace
        Log-likelihood with priors at each pass.
    converged
        Whether it ended by the tolerance.

    Examples
    --------
    >>> Ascent(None, None, [-3.0, -2.0], True).trace[-1]
    -2.0
    """

    parameters: Any
    sums: Any
    trace: list[float]
    converged: bool


def ascend(
    blocks: Blocks,
    layout: Layout,
    parameters: Parameters,
    mode: str,
    prior: Prior,
    *,
    max_iter: int,
    tolerance: float,
    execution: Execution | None = None,
) -> Ascent:
    """Expectation and maximisation until a pass gains less than `tolerance` for a row.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> blocks = InMemory(np.array([[4, 0], [3, 1], [0, 4], [1, 3]]))
    >>> start = Parameters(np.log([0.5, 0.5]), np.log([[0.6, 0.4], [0.4, 0.6]]), np.zeros((2, 2)))
    >>> found = ascend(blocks, survey(blocks), start, "poisson", Prior(), max_iter=50, tolerance=1e-6)
    >>> bool(np.all(np.diff(found.trace) >= 0)), np.exp(found.parameters.log_mean[0]).round(1).tolist()
    (True, [0.8, 0.2])
    """
    trace: list[float] = []
    while True:
        sums = add_up(blocks, layout, Tables.of(parameters, layout), parameters.n_clusters, execution=execution)
        trace.append(sums.likelihood + prior.log_density(parameters, layout))
        converged = len(trace) > 1 and trace[-1] - trace[-2] < tolerance * blocks.shape[0]
        if converged or len(trace) > max_iter:
            return Ascent(parameters, sums, trace, converged)
        parameters = maximize(sums, layout, mode, prior, parameters, execution=execution)
