"""Search for nearest neighbours: all rows with all, or by an inverted file with as many lists as a sample needs."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  the BLAS of the kernels: to be loaded before its threads are limited

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.execute import Execution, map_tasks, track
from kithkin.core.spill import Spill
from kithkin.kernels.distance import keep_smallest
from kithkin.kernels.lists import HUGE, compare
from kithkin.kernels.neighbors import join, measure, offer
from kithkin.models.neighbors.inverted_file import (
    InvertedFile,
    build_lists,
    choose_lists,
    ranks_of_neighbors,
    rounds_of,
)
from kithkin.models.neighbors.sharded import search_on_workers
from kithkin.models.table.blas import single_threaded

SPARE = 5  # more are kept than asked for: scores are rounded more than distances, and more ways lead to neighbours
SAMPLE_ROWS = 1000  # whose neighbours are also searched exactly, to choose the lists and to tell the recall
GOAL = 0.97  # fraction of these neighbours to be found, below which the neighbours of neighbours are tried
AIM = 0.975  # fraction that the lists must hold
MOST_ROWS = 2000  # to compare a row with, times the binary logarithm of all
STEP = 1.1  # between widths that are tried
SEVERAL = 4  # rows of the lists that a row looks into, at least, for each neighbour
WIDTH = 20  # neighbours of which the neighbours are tried
ROUNDS = 8  # of trying them, at most
ENOUGH = 0.001  # fraction of neighbours that a round must change for another to follow
TILE = 1024
WIDE_SPARE = 16


def search(
    rows: Array, k: int, exact: bool, seed: int, execution: Execution, spill: Spill | None = None
) -> tuple[Array, Array, float]:
    """Find the k nearest others of each row.

    rows: n x d float32, finite, of a size whose squares single precision holds.
    k: neighbours, the row itself not counted; less than n.
    exact: compare all rows with all.
    spill: where the workers of an executor find the rows.
    Returns numbers of the neighbours, n x k int32, their squared distances, n x k float32, ascending, and the recall:
    1 if exact, else estimated.
    """
    n = len(rows)
    file = build_lists(rows, seed, execution)
    order, rows = file.order, rows[file.order]
    ids, squares, recall = ordered_neighbors(rows, file, k, exact, seed, execution, spill)
    del rows  # most of the memory
    neighbors, final = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    for start, stop in even_ranges(n, 8192):
        own = order[start:stop]
        neighbors[own], final[own] = order[ids[start:stop, :k]], squares[start:stop, :k]
    return neighbors, final, recall


def ordered_neighbors(
    rows: Array, file: InvertedFile, k: int, exact: bool, seed: int, execution: Execution, spill: Spill | None
) -> tuple[Array, Array, float]:
    """Find the k nearest others and a few more of rows that are ordered by list; return numbers, squares and recall."""
    n = len(rows)
    kept = min(n - 1, k + SPARE)
    n_runs, farthest = len(file.hubs), np.empty(0, np.float32)
    if exact:
        pairs = [(i, j) for i in range(n_runs) for j in range(i, n_runs)]
        chosen = np.empty((n, 0), np.uint16)
    else:
        sample = np.sort(np.random.default_rng(seed).choice(n, min(n, SAMPLE_ROWS), replace=False))
        nearest, farthest = nearest_of_sample(rows, sample, k, execution)
        width = choose_width(file, ranks_of_neighbors(file, rows, sample, nearest, execution), k)
        chosen, pairs = choose_lists(file, rows, width, sample, execution)
    by_workers = search_on_workers(rows, file, chosen, pairs, kept, spill, execution)
    if by_workers is not None:
        ids, squares = by_workers
    else:
        ids, squares = np.full((n, kept), -1, np.int32), np.full((n, kept), HUGE, np.float32)
        work = partial(compare_runs, rows, file, chosen, ids, squares)
        for together in track(rounds_of(pairs, n_runs), execution, "neighbors", unit="round"):
            for _ in map_tasks(work, together, execution, ahead=len(together)):  # of very different sizes
                pass
        del work
    del chosen, by_workers  # the repair needs as much
    alone = np.flatnonzero(ids[:, k - 1] < 0)  # rows far from all others, whose lists hold too few
    if len(alone):
        ids[alone, :k] = nearest_of_sample(rows, alone, k, execution)[0]
    for _ in map_tasks(lambda r: measure(rows, *r, ids, squares), even_ranges(n, 8192), execution):
        pass
    recall = 1.0 if exact else found_fraction(squares[sample, :k], farthest)
    if recall < GOAL:
        ids, squares = _repair(rows, ids, squares, execution)
        recall = found_fraction(squares[sample, :k], farthest)
    return ids, squares, recall


def compare_runs(
    rows: Array, file: InvertedFile, chosen: Array, ids: Array, squares: Array, pair: tuple[int, int]
) -> None:
    """Compare the rows of two runs of lists, where one looks into the list of the other, in place.

    rows, file: n x d float32, ordered, and their lists.
    chosen: n x width, the lists that each row looks into, or n x 0: all.
    ids, squares: n x kept int32 and float32, the nearest so far: changed.
    pair: numbers of the runs. Two calls at the same time must not share one.
    """
    first, second = ((int(file.runs[run]), int(file.runs[run + 1])) for run in pair)
    compare(rows, file.bounds, file.columns, chosen, first, second, ids, squares)


def nearest_of_sample(rows: Array, sample: Array, k: int, execution: Execution) -> tuple[Array, Array]:
    """Find the k nearest others of some rows by comparing them with all.

    rows: n x d float32.
    sample: numbers of rows.
    Returns the numbers, sample x k int32, and the squared distance of the farthest of them, float32.

    Examples
    --------
    >>> rows = np.array([[0.0], [1.0], [3.0]], np.float32)
    >>> nearest, farthest = nearest_of_sample(rows, np.array([0, 2]), 1, Execution())
    >>> nearest.tolist(), farthest.tolist()
    ([[1], [1]], [1.0, 4.0])
    """
    n, kept = len(rows), min(len(rows), k + 1 + WIDE_SPARE)

    def work(part: Array) -> tuple[Array, Array]:
        ids, best = np.full((len(part), kept), -1, np.int32), np.full((len(part), kept), HUGE, np.float32)
        left = np.ones((len(part), rows.shape[1] + 1), np.float32)
        left[:, :-1] = rows[part]
        for start in range(0, n, TILE):
            tile = rows[start : start + TILE]
            right = np.empty((len(tile), left.shape[1]), np.float32)
            np.multiply(tile, -2, out=right[:, :-1])
            right[:, -1] = np.einsum("ij,ij->i", tile, tile)
            numbers = np.arange(start, start + len(tile), dtype=np.int32)
            keep_smallest(left @ right.T, numbers, best, ids)
        true = np.square(rows[ids] - rows[part][:, None]).sum(axis=2)
        true[ids == part[:, None]] = np.inf
        order = np.argsort(true, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(true, order[:, -1:], 1)[:, 0]

    with single_threaded():
        parts = [sample[start:stop] for start, stop in even_ranges(len(sample), 256)]
        found = list(map_tasks(work, parts, execution, "sample of neighbors"))
    return np.concatenate([ids for ids, _ in found]), np.concatenate([far for _, far in found])


def found_fraction(squares: Array, farthest: Array) -> float:
    """Return the fraction of neighbours that are no farther than the farthest true one; ties count as found.

    squares: squared distances of the neighbours that were found, rows x k.
    farthest: squared distance of the true k-th neighbour of each row.

    Examples
    --------
    >>> found_fraction(np.array([[1.0, 4.0], [1.0, 9.0]]), np.array([4.0, 4.0]))
    0.75
    """
    return float((squares <= farthest[:, None] * np.float32(1 + 1e-5)).mean())


def choose_width(file: InvertedFile, ranks: Array, k: int) -> int:
    """Choose the number of lists that a row looks into: those that hold the neighbours of the sample, within limits.

    file: the lists.
    ranks: as ranks_of_neighbors returns them.
    k: neighbours of a row, of which the lists must hold several times as many.
    """
    n, n_lists = int(file.bounds[-1]), len(file.bounds) - 1
    width = max(1.0, SEVERAL * k * n_lists / n)
    most = max(width, MOST_ROWS * np.log2(n) * n_lists / n)
    while width < most and (ranks <= int(width)).mean() < AIM:
        width *= STEP
    return int(min(width, most, n_lists))


def _repair(rows: Array, ids: Array, squares: Array, execution: Execution) -> tuple[Array, Array]:
    """Offer each row the neighbours of its neighbours, until few of them are nearer."""

    def work(part: tuple[int, int], old: tuple[Array, ...], new: tuple[Array, ...]) -> int:
        return int(join(rows, *part, WIDTH, *old, *new))

    old = ids, squares, np.ones(ids.shape, np.bool_)
    new = np.empty_like(ids), np.empty_like(squares), np.empty(ids.shape, np.bool_)
    for _ in range(ROUNDS):
        offer(*old)
        # every row reads the lists of the round before, so that the order in which rows are done does not matter
        parts = even_ranges(len(rows), 8192)
        changes: int = sum(map_tasks(partial(work, old=old, new=new), parts, execution, "neighbors of neighbors"))
        old, new = new, old
        if changes < ENOUGH * ids.size:
            break
    return old[0], old[1]
