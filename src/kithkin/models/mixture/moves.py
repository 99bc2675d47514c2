"""Split-and-merge moves for a mixture of counts: two clusters become one and another two, if that is likelier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TypeAlias

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution
from kithkin.models.mixture.em import Prior
from kithkin.models.mixture.sample import Sample, components
from kithkin.models.mixture.start import ENOUGH, StartState, kmeans_labels, refine

FEWEST_CELLS = 8  # smallest cluster that may be split
N_DIRECTIONS = 5  # principal components in which a cluster is split
PINNED = 1e6  # precision at which a dispersion does not move
TRIES = 4  # rejected moves that end the search

Pair: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Split:
    """Candidate split of a cluster."""

    gain: float  # in leave-one-out log-likelihood; -inf for a cluster that is too small
    rows: Array  # of the cluster
    second: Array  # responsibility of the second half for each of these rows

    @property
    def divides(self) -> bool:
        """Tell whether each half is the likelier one of a row."""
        return len(np.unique(self.second > 0.5)) == 2

    def divide(self, z: Array, k: int, new: int) -> None:
        """Move the responsibilities of the second half of cluster k to cluster `new`, in place."""
        z[self.rows, new] = z[self.rows, k] * self.second
        z[self.rows, k] *= 1.0 - self.second


def improve(
    sample: Sample,
    state: StartState,
    prior: Prior,
    seed: int,
    n_moves: int,
    execution: Execution | None = None,
    splits: dict[int, Split] | None = None,
) -> StartState:
    """Accept split-and-merge moves until none raises the leave-one-out log-likelihood.

    A candidate is scored on the cells of its clusters alone, with the dispersions held; the best are then refined on
    all cells. The mixture has a dispersion for each gene. New splits are added to those known, and those of clusters
    that moved are removed. Ueda et al. 2000, doi:10.1162/089976600300015088.
    """
    n_clusters, n_rejected = state.z.shape[1], 0
    splits = {} if splits is None else splits
    losses: dict[Pair, float] = {}
    rejected: set[tuple[int, Pair]] = set()
    for _ in range(n_moves if n_clusters > 2 else 0):
        held = hold_dispersions(state, prior)
        add_splits(splits, sample, state, held, seed, execution)
        for pair in set(closest_pairs(state)) - set(losses):
            losses[pair] = merge_loss(sample, state, pair, held, execution)
        moves = [(splits[k].gain - losses[pair], k, pair) for k, pair in product(splits, losses) if k not in pair]
        moves = [move for move in moves if move[1:] not in rejected]
        gain, k, pair = max(moves, default=(0.0, 0, (0, 0)))
        if gain <= 0 or n_rejected == TRIES:
            break
        first, second = pair
        z = state.z.copy()
        z[:, first] += z[:, second]
        z[:, second] = 0.0
        splits[k].divide(z, k, second)
        candidate = refine(sample, z, "gene", prior, 6, execution=execution)
        kept = candidate.n_occupied >= state.n_occupied
        if kept and candidate.score > state.score + ENOUGH * len(state.z):
            state, rejected = candidate, set()
            for cluster in (k, *pair):
                splits.pop(cluster, None)
            losses = {other: loss for other, loss in losses.items() if not {k, *pair} & set(other)}
        else:
            rejected.add((k, pair))
            n_rejected += 1
    return state


def revive(
    sample: Sample, state: StartState, prior: Prior, seed: int, execution: Execution | None = None
) -> StartState:
    """Give each cluster without rows one half of another, of that which gains most by being split.

    Where leave-one-out EM undoes each of the best few splits, the halves of the first stay as they are. A cluster of
    fewer than 8 cells is not split, nor one whose halves become one, so that some may stay empty.
    """
    n_clusters = state.z.shape[1]
    while state.n_occupied < n_clusters:
        held, sizes = hold_dispersions(state, prior), np.bincount(state.z.argmax(axis=1), minlength=n_clusters)
        splits = {k: split(sample, state, k, held, seed, execution) for k in np.flatnonzero(sizes).tolist()}
        order = sorted((k for k in splits if splits[k].divides), key=lambda k: -splits[k].gain)
        empty = int(sizes.argmin())
        divided: list[Array] = []
        for k in order[:TRIES]:
            z = state.z.copy()
            z[:, empty] = 0.0
            splits[k].divide(z, k, empty)
            divided.append(z / z.sum(axis=1, keepdims=True))
        refined = (refine(sample, z, "gene", prior, 6, execution=execution) for z in divided)
        more = next((one for one in refined if one.n_occupied > state.n_occupied), None)
        if more is None and divided:
            one = refine(sample, divided[0], "gene", prior, 1, execution=execution)
            more = replace(one, z=divided[0])  # its parameters and its score are of these responsibilities
        if more is None or more.n_occupied <= state.n_occupied:
            break
        state = more
    return state


def add_splits(
    splits: dict[int, Split],
    sample: Sample,
    state: StartState,
    held: Prior,
    seed: int,
    execution: Execution | None = None,
) -> None:
    """Add the split of each cluster that has none yet."""
    for k in set(range(state.z.shape[1])) - set(splits):
        splits[k] = split(sample, state, k, held, seed, execution)


def split(
    sample: Sample, state: StartState, k: int, held: Prior, seed: int, execution: Execution | None = None
) -> Split:
    """Split one cluster in two by k-means and leave-one-out EM."""
    rows = np.flatnonzero(state.z.argmax(axis=1) == k)
    if len(rows) < FEWEST_CELLS:
        return Split(-np.inf, rows, np.zeros(len(rows)))
    part = sample.part(rows)
    labels = kmeans_labels(components(part, N_DIRECTIONS, seed), 2, seed)
    one = refine(part, np.ones((len(rows), 1)), "gene", held, 1, execution=execution)
    two = refine(part, np.eye(2)[labels], "gene", held, 5, execution=execution)
    return Split(two.score - one.score, rows, two.z[:, 1])


def merge_loss(sample: Sample, state: StartState, pair: Pair, held: Prior, execution: Execution | None = None) -> float:
    """Compute the loss in leave-one-out log-likelihood when two clusters become one."""
    z = state.z[:, pair]
    rows = np.flatnonzero(np.isin(state.z.argmax(axis=1), pair))
    if len(rows) == 0:
        return 0.0
    part, z = sample.part(rows), z[rows] / z[rows].sum(axis=1, keepdims=True)
    apart = refine(part, z, "gene", held, 1, execution=execution)
    return apart.score - refine(part, np.ones((len(rows), 1)), "gene", held, 1, execution=execution).score


def hold_dispersions(state: StartState, prior: Prior) -> Prior:
    """Return a prior that holds the dispersions where they are, so that a candidate is judged by its means."""
    return replace(prior, center=np.log(np.maximum(state.parameters.phi[:, 0], 1e-6)), precision=PINNED)


def closest_pairs(state: StartState) -> list[Pair]:
    """List the K pairs of clusters whose square-root means differ least, weighted by size (Ward's criterion)."""
    roots, sizes = np.exp(0.5 * state.parameters.log_mean), state.z.sum(axis=0)
    pairs = list(combinations(range(len(sizes)), 2))
    cost = [
        float(((roots[:, a] - roots[:, b]) ** 2).sum() * sizes[a] * sizes[b] / max(sizes[a] + sizes[b], 1e-9))
        for a, b in pairs
    ]
    return [pairs[i] for i in np.argsort(cost, kind="stable")[: len(sizes)]]
