"""A start for a mixture of counts that needs no luck: labels, then rounds in which every cell is scored without itself.

With far more genes than cells, a cell's own counts dominate the parameters of the cluster that it is in, and plain
iterations leave it there. Leaving the cell out before it is scored takes that pull away.
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
from kithkin.models.mixture.passes import Sums, add_up
from kithkin.models.mixture.sample import Sample, components

ENOUGH = 0.01  # a round that gains less for a cell is the last
SHORT, LONG = 3, 8  # rounds of a start, and of those that go on
N_FINALISTS = 2
N_DIRECTIONS = 10  # components in which cells are grouped, or as many as there are clusters


@dataclass(frozen=True)
class Stand:
    """How far a start has come.

    Attributes
    ----------
    parameters
        The mixture, of the genes of the sample.
    z
        Shares of the sampled rows, n x K.
    score
        Leave-one-out log-likelihood of the rows.

    Examples
    --------
    >>> Stand(Parameters(np.zeros(1), np.zeros((1, 1)), np.zeros((1, 1))), np.ones((2, 1)), -7.0).score
    -7.0
    """

    parameters: Parameters
    z: Array
    score: float


def rounds(
    sample: Sample,
    z: Array,
    mode: str,
    prior: Prior,
    n_rounds: int,
    start: Parameters | None = None,
    execution: Execution | None = None,
) -> Stand:
    """Leave-one-out rounds from shares of the rows: as many as gain something, and at most n_rounds.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.array([[9, 1], [8, 1], [1, 9], [1, 8]])
    >>> sample = Sample.of(InMemory(X), np.arange(4), X.sum(axis=1).astype(float))
    >>> found = rounds(sample, np.array([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6], [0.4, 0.6]]), "poisson", Prior(), 9)
    >>> found.z.round().tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    layout, n_clusters = sample.layout, z.shape[1]
    execution = replace(Execution() if execution is None else execution, executor=None, progress=False)
    rates = prior.rates(layout.means, float(layout.size.sum()))
    sums: Sums = add_up(sample.blocks, layout, z, n_clusters, execution=execution)
    best: Stand | None = None
    parameters = start
    for _ in range(n_rounds):
        parameters = maximize(
            sums, layout, mode, prior, parameters, max_iter=2 if parameters else 8, tolerance=1e-2, execution=execution
        )
        left_out = LeftOut.of(parameters, layout, sums.V, sums.W, prior.shape, rates, z.copy())
        sums = add_up(sample.blocks, layout, Tables.of(parameters, layout), n_clusters, left_out, execution)
        z = left_out.z
        gain = np.inf if best is None else sums.likelihood - best.score
        if gain > 0:
            best = Stand(parameters, z, sums.likelihood)
        if gain < ENOUGH * len(z):
            break
    if best is None:
        raise ValueError(n_rounds)
    return best


def first_labels(scores: Array, n_clusters: int, seed: int) -> Array:
    """Labels of rows by k-means on their components.

    Examples
    --------
    >>> first_labels(np.array([[0.0], [0.1], [5.0]]), 2, 0).tolist() in ([0, 0, 1], [1, 1, 0])
    True
    """
    model = KMeans(n_clusters, max_iter=30, n_starts=1, seed=seed).fit(scores, Execution(threads=1))
    return np.asarray(model.labels_, np.int64)


def best_start(
    sample: Sample, n_clusters: int, prior: Prior, n_starts: int, seed: int, execution: Execution | None = None
) -> Stand:
    """Several short runs from k-means, of which the likeliest with each row left out goes on.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.kron(np.array([[9, 1], [1, 9]]), np.ones((6, 2), int))
    >>> sample = Sample.of(InMemory(X), np.arange(12), X.sum(axis=1).astype(float))
    >>> best_start(sample, 2, Prior(), 3, 0).z.sum(axis=0).round().tolist()
    [6.0, 6.0]
    """
    n = sample.rows.shape[0]
    if n_clusters == 1:
        return rounds(sample, np.ones((n, 1)), "gene", prior, 2, execution=execution)
    scores = components(sample, max(N_DIRECTIONS, n_clusters), seed)
    starts: list[Stand] = []
    seen: set[bytes] = set()
    for start in range(n_starts):
        labels = first_labels(scores, n_clusters, seed * n_starts + start)
        name = _renamed(labels)
        if name not in seen:
            seen.add(name)
            starts.append(rounds(sample, np.eye(n_clusters)[labels], "poisson", prior, SHORT, execution=execution))
    starts.sort(key=lambda stand: -stand.score)
    return max(
        (rounds(sample, stand.z, "gene", prior, LONG, execution=execution) for stand in starts[:N_FINALISTS]),
        key=lambda stand: stand.score,
    )


def _renamed(labels: Array) -> bytes:
    """The same for two labellings that differ by names only."""
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    found: bytes = np.argsort(np.argsort(first))[number].astype(np.int32).tobytes()
    return found
