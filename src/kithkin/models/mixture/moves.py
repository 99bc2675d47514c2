"""Split-and-merge moves for a mixture of counts: two clusters become one and another two, if that is likelier."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import TypeAlias

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution
from kithkin.models.mixture.em import Prior
from kithkin.models.mixture.sample import Sample, components
from kithkin.models.mixture.start import ENOUGH, Stand, first_labels, rounds

FEWEST_CELLS = 8  # of a cluster that may be split
N_DIRECTIONS = 5  # components in which a cluster is cut in two
PINNED = 1e6  # precision at which a dispersion does not move
TRIES = 4  # moves that may fail before the search ends

Split: TypeAlias = tuple[float, Array, Array]  # gain in log-likelihood, rows, shares of the second half
Pair: TypeAlias = tuple[int, int]


def improve(
    sample: Sample,
    stand: Stand,
    prior: Prior,
    seed: int,
    n_moves: int,
    execution: Execution | None = None,
    splits: dict[int, Split] | None = None,
) -> Stand:
    """Moves until none gains, scored by the leave-one-out log-likelihood.

    A candidate is scored on the cells of its clusters alone, with the dispersions as they are; the best are then
    tried on all cells. Ueda et al. 2000, doi:10.1162/089976600300015088.

    Parameters
    ----------
    sample, stand
        Cells, and the mixture reached on them with a dispersion for each gene.
    prior
        As before.
    seed
        Of the cuts.
    n_moves
        Moves at most.
    execution
        Threads.
    splits
        Cuts of clusters that are known; new ones are added, and those of clusters that moved taken out.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.kron(np.array([[9, 1, 1], [1, 9, 1], [1, 1, 9]]), np.ones((20, 4))))
    >>> sample = Sample.of(InMemory(X), np.arange(60), X.sum(axis=1).astype(float))
    >>> bad = np.repeat([0, 0, 1, 2], [20, 20, 10, 10])  # two groups in one, and one cut in two
    >>> stand = rounds(sample, np.eye(3)[bad], "gene", Prior(), 3)
    >>> np.bincount(improve(sample, stand, Prior(), 0, 5).z.argmax(axis=1)).tolist()
    [20, 20, 20]
    """
    n_clusters, failed = stand.z.shape[1], 0
    splits = {} if splits is None else splits
    merges: dict[Pair, float] = {}
    tried: set[tuple[int, Pair]] = set()
    for _ in range(n_moves if n_clusters > 2 else 0):
        held = pinned(stand, prior)
        for k in set(range(n_clusters)) - set(splits):
            splits[k] = split(sample, stand, k, held, seed, execution)
        for pair in set(_near(stand)) - set(merges):
            merges[pair] = merge_loss(sample, stand, pair, held, execution)
        moves = [(splits[k][0] - merges[pair], k, pair) for k, pair in product(splits, merges) if k not in pair]
        moves = [move for move in moves if move[1:] not in tried]
        gain, k, pair = max(moves, default=(0.0, 0, (0, 0)))
        if gain <= 0 or failed == TRIES:
            break
        moved = rounds(sample, _moved(stand.z, pair, k, splits[k]), "gene", prior, 6, execution=execution)
        if moved.score > stand.score + ENOUGH * len(stand.z):
            stand, tried = moved, set()
            for c in (k, *pair):
                splits.pop(c, None)
            merges = {p: loss for p, loss in merges.items() if not {k, *pair} & set(p)}
        else:
            tried.add((k, pair))
            failed += 1
    return stand


def split(sample: Sample, stand: Stand, k: int, held: Prior, seed: int, execution: Execution | None = None) -> Split:
    """Cut one cluster in two; -inf as the gain if it is too small.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.kron(np.array([[9, 1], [1, 9]]), np.ones((6, 2), int))
    >>> sample = Sample.of(InMemory(X), np.arange(12), X.sum(axis=1).astype(float))
    >>> stand = rounds(sample, np.ones((12, 1)), "gene", Prior(), 3)
    >>> gain, rows, second = split(sample, stand, 0, pinned(stand, Prior()), 0)
    >>> bool(gain > 0), round(float(second.sum()))
    (True, 6)
    """
    rows = np.flatnonzero(stand.z.argmax(axis=1) == k)
    if len(rows) < FEWEST_CELLS:
        return -np.inf, rows, np.zeros(len(rows))
    part = sample.part(rows)
    labels = first_labels(components(part, N_DIRECTIONS, seed), 2, seed)
    one = rounds(part, np.ones((len(rows), 1)), "gene", held, 1, execution=execution)
    two = rounds(part, np.eye(2)[labels], "gene", held, 5, execution=execution)
    return two.score - one.score, rows, two.z[:, 1]


def merge_loss(sample: Sample, stand: Stand, pair: Pair, held: Prior, execution: Execution | None = None) -> float:
    """What the log-likelihood loses if two clusters become one.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.kron(np.array([[9, 1], [1, 9]]), np.ones((6, 2), int))
    >>> sample = Sample.of(InMemory(X), np.arange(12), X.sum(axis=1).astype(float))
    >>> stand = rounds(sample, np.eye(2)[np.repeat([0, 1], 6)], "gene", Prior(), 3)
    >>> merge_loss(sample, stand, (0, 1), pinned(stand, Prior())) > 0
    True
    """
    z = stand.z[:, pair]
    rows = np.flatnonzero(np.isin(stand.z.argmax(axis=1), pair))
    if len(rows) == 0:
        return 0.0
    part, z = sample.part(rows), z[rows] / z[rows].sum(axis=1, keepdims=True)
    apart = rounds(part, z, "gene", held, 1, execution=execution)
    return apart.score - rounds(part, np.ones((len(rows), 1)), "gene", held, 1, execution=execution).score


def pinned(stand: Stand, prior: Prior) -> Prior:
    """The same prior with the dispersions held where they are, so that a candidate is judged by its means.

    Examples
    --------
    >>> from kithkin.models.mixture.parameters import Parameters
    >>> one = np.ones((1, 1))
    >>> pinned(Stand(Parameters(np.zeros(1), one, one), one, 0.0), Prior()).centers(1).tolist()
    [0.0]
    """
    return replace(prior, center=np.log(np.maximum(stand.parameters.phi[:, 0], 1e-6)), precision=PINNED)


def _near(stand: Stand) -> list[Pair]:
    """The pairs of clusters, as many as there are clusters, that look cheapest to merge."""
    roots, sizes = np.exp(0.5 * stand.parameters.log_mean), stand.z.sum(axis=0)
    pairs = list(combinations(range(len(sizes)), 2))
    cost = [
        float(((roots[:, a] - roots[:, b]) ** 2).sum() * sizes[a] * sizes[b] / max(sizes[a] + sizes[b], 1e-9))
        for a, b in pairs
    ]
    return [pairs[i] for i in np.argsort(cost, kind="stable")[: len(sizes)]]


def _moved(z: Array, pair: Pair, k: int, found: Split) -> Array:
    """Shares after a merge of a pair, whose second place is taken by the second half of cluster k."""
    first, second = pair
    _, rows, half = found
    moved = z.copy()
    moved[:, first] += moved[:, second]
    moved[:, second] = 0.0
    moved[rows, second] = moved[rows, k] * half
    moved[rows, k] *= 1.0 - half
    return moved
