"""Initialisation of a mixture by k-means and leave-one-out EM.

With far more genes than cells, a cell's own counts dominate the parameters of the cluster that it is in, and plain EM
leaves it there. Scoring each cell by clusters from which it is left out takes that pull away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution
from kithkin.models.kmeans import KMeans
from kithkin.models.mixture.em import Prior, maximize
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import gather_statistics
from kithkin.models.mixture.sample import Sample, components

ENOUGH = 0.01  # iterations end when one gains less for a cell
SHORT, LONG = 3, 8  # iterations of each start, and of the finalists
N_FINALISTS = 2
N_DIRECTIONS = 10  # principal components for k-means, or as many as there are clusters


@dataclass(frozen=True)
class StartState:
    """State of an initialisation."""

    parameters: Parameters  # of the genes of the sample
    z: Array  # responsibilities of the sampled rows, n x K
    score: float  # leave-one-out log-likelihood of the rows

    @property
    def n_occupied(self) -> int:
        """Number of clusters that are the likeliest one of a row."""
        return len(np.unique(self.z.argmax(axis=1)))


def refine(
    sample: Sample,
    z: Array,
    mode: str,
    prior: Prior,
    n_rounds: int,
    start: Parameters | None = None,
    execution: Execution | None = None,
) -> StartState:
    """Run at most n_rounds iterations of leave-one-out EM from responsibilities, while they gain."""
    layout, n_clusters = sample.layout, z.shape[1]
    execution = replace(Execution() if execution is None else execution, executor=None, progress=False)
    rates = prior.rates(layout.means, float(layout.size.sum()))
    statistics = gather_statistics(sample.blocks, layout, z, n_clusters, execution=execution)
    best: StartState | None = None
    parameters = start
    for _ in range(n_rounds):
        steps = 2 if parameters else 8
        parameters = maximize(
            statistics, layout, mode, prior, parameters, max_iter=steps, tolerance=1e-2, execution=execution
        )
        left_out = LeftOut.of(parameters, layout, statistics.V, statistics.W, prior.shape, rates, z.copy())
        tables = Tables.of(parameters, layout)
        statistics = gather_statistics(sample.blocks, layout, tables, n_clusters, left_out, execution)
        z = left_out.z
        gain = np.inf if best is None else statistics.likelihood - best.score
        if gain > 0:
            best = StartState(parameters, z, statistics.likelihood)
        if gain < ENOUGH * len(z):
            break
    if best is None:
        raise ValueError(n_rounds)
    return best


def kmeans_labels(scores: Array, n_clusters: int, seed: int) -> Array:
    """Cluster rows by one run of k-means on their components."""
    model = KMeans(n_clusters, max_iter=30, n_starts=1, seed=seed).fit(scores, Execution(threads=1))
    return np.asarray(model.labels_, np.int64)


def partition_of(labels: Array) -> bytes:
    """Name a partition: two that differ by the names of their clusters only are one."""
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int32).tobytes()


def best_start(
    sample: Sample, n_clusters: int, prior: Prior, n_starts: int, seed: int, execution: Execution | None = None
) -> StartState:
    """Run short leave-one-out EM from several k-means partitions, continue the best two, and return the better.

    The short runs are of Poisson mixtures, which are quick. They are compared with a dispersion for each gene: without
    it a cell or two with many counts may be likelier in a cluster of their own. Partitions are by turns on all
    components and on the first half, third and fourth of them, as single cells stand apart in the last ones where
    counts are deep. States with fewer empty clusters come first, then likelier ones.
    """
    n = sample.rows.shape[0]
    if n_clusters == 1:
        return refine(sample, np.ones((n, 1)), "gene", prior, 2, execution=execution)
    scores = components(sample, max(N_DIRECTIONS, n_clusters), seed)
    states: dict[bytes, StartState] = {}
    seen: set[bytes] = set()
    for start in range(n_starts):
        n_directions = max(2, scores.shape[1] // (1 + start % 4))
        labels = kmeans_labels(scores[:, :n_directions], n_clusters, seed * n_starts + start)
        if partition_of(labels) not in seen:
            seen.add(partition_of(labels))
            short = refine(sample, np.eye(n_clusters)[labels], "poisson", prior, SHORT, execution=execution)
            partition = partition_of(short.z.argmax(axis=1))
            if partition not in states:
                states[partition] = refine(sample, short.z, "gene", prior, 1, execution=execution)
    best = sorted(states.values(), key=lambda state: (-state.n_occupied, -state.score))[:N_FINALISTS]
    finalists = [refine(sample, state.z, "gene", prior, LONG, execution=execution) for state in best]
    return max(finalists, key=lambda state: (state.n_occupied, state.score))
