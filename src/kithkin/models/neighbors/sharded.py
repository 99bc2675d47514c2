"""Search by the workers of an executor: each finds the neighbours of the rows of a run of lists, among all it looks at.

Every pair of runs is compared twice, once for each: so nothing needs to be merged, and what travels back is what was
found. In this process a pair is compared once for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  the BLAS of the kernels: to be loaded before its threads are limited

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution, send_tasks
from kithkin.core.spill import Spill
from kithkin.kernels.lists import HUGE, compare
from kithkin.models.neighbors.inverted_file import InvertedFile, rounds_of
from kithkin.models.table.blas import single_threaded

ROWS, CHOSEN = 0, 1  # parts of the file of a run


@dataclass(frozen=True)
class RunSearch:
    """Run of lists, for the rows of which a worker finds the neighbours.

    spill: a file for each run, with its rows and the lists that they look into; and one for the lists.
    run: number of the run.
    n_runs: number of all.
    pairs: the run and each of those that it is compared with, smaller number first.
    kept: neighbours of a row.
    """

    spill: Spill
    run: int
    n_runs: int
    pairs: list[tuple[int, int]]
    kept: int


def search_on_workers(
    rows: Array,
    file: InvertedFile,
    chosen: Array,
    pairs: list[tuple[int, int]],
    kept: int,
    spill: Spill | None,
    execution: Execution,
) -> tuple[Array, Array] | None:
    """Find the nearest others of all rows on workers; None where there are none, or they cannot be given the rows.

    rows, file, chosen: as in `compare_runs`.
    pairs: pairs of runs to compare.
    kept: neighbours of a row.
    Returns numbers and scores of the nearest, n x kept int32 and float32, bit for bit as `compare_runs` leaves them.
    """
    executor, n_runs = execution.executor, len(file.hubs)
    if executor is None or spill is None or not spill.prepare(rows.nbytes + chosen.nbytes, executor):
        return None
    ends = file.bounds[file.runs]
    for run in range(n_runs):
        own = slice(int(ends[run]), int(ends[run + 1]))
        spill.write(run, [[rows[own].ravel()], [chosen[own].ravel()]])
    spill.write(n_runs, [[file.bounds, file.runs, file.columns.ravel()]])
    of_run: list[list[tuple[int, int]]] = [[] for _ in range(n_runs)]
    for pair in (pair for together in rounds_of(pairs, n_runs) for pair in together):
        for run in set(pair):
            of_run[run].append(pair)
    ids, squares = np.empty((len(rows), kept), np.int32), np.empty((len(rows), kept), np.float32)
    tasks = (RunSearch(spill, run, n_runs, of_run[run], kept) for run in range(n_runs))
    for run, part in enumerate(send_tasks(nearest_of_run, tasks, executor, execution, "neighbors")):
        own = slice(int(ends[run]), int(ends[run + 1]))
        ids[own], squares[own] = part
    return ids, squares


def nearest_of_run(task: RunSearch) -> tuple[Array, Array]:
    """Compare the rows of a run with those of each run that has rows near them; numbers and scores, as `compare`."""
    spill = task.spill
    bounds, runs, columns = spill.read(task.n_runs, 0)
    columns = columns.reshape(-1, len(bounds) - 1)
    ends = bounds[runs]

    def load(run: int) -> tuple[Array, Array]:
        n = int(ends[run + 1] - ends[run])
        (own,), (lists,) = spill.read(run, ROWS), spill.read(run, CHOSEN)
        return own.reshape(n, -1), lists.reshape(n, lists.size // n)

    mine = load(task.run)
    ids = np.full((len(mine[0]), task.kept), -1, np.int32)
    squares = np.full(ids.shape, HUGE, np.float32)
    for pair in task.pairs:
        first, second = (mine if run == task.run else load(run) for run in pair)
        n_first, same = len(first[0]), pair[0] == pair[1]
        rows, lists = (one if same else np.concatenate([one, other]) for one, other in zip(first, second, strict=True))
        places, numbered, local, centers = lists_together(pair, bounds, runs, columns)
        near = numbered[lists] if lists.shape[1] else lists.astype(np.int32)
        # the rows of the other run keep nothing: their scores are already lower than any that could come
        all_ids = np.zeros((len(rows), task.kept), np.int32)
        all_squares = np.full(all_ids.shape, -HUGE, np.float32)
        own = slice(0, n_first) if pair[0] == task.run else slice(n_first, len(rows))
        all_ids[own], all_squares[own] = ids, squares
        with single_threaded():
            compare(rows, local, centers, near, *places, all_ids, all_squares)
        ids, squares = all_ids[own], all_squares[own]
        new = ids >= 0  # numbers in this pair; those of all rows are kept below -1 until the end
        number = np.where(ids < n_first, ids + ends[pair[0]], ids - n_first + ends[pair[1]])
        ids = np.where(new, -2 - number, ids).astype(np.int32)
    return np.where(ids < -1, -2 - ids, ids).astype(np.int32), np.ascontiguousarray(squares)


def lists_together(
    pair: tuple[int, int], bounds: Array, runs: Array, columns: Array
) -> tuple[tuple[tuple[int, int], tuple[int, int]], Array, Array, Array]:
    """Number the lists of two runs as if there were no others, but for one without rows between both.

    pair: numbers of the runs, ascending.
    bounds, runs, columns: as in `InvertedFile`.
    Returns the ranges of both; the new number of every list: those before, between and behind are -1, that of the empty
    one, and one past the last; bounds; and centers.
    """
    (a, b), (c, d) = ((int(runs[run]), int(runs[run + 1])) for run in pair)
    numbered = np.full(len(bounds) - 1, b - a, np.int32)
    numbered[:a], numbered[a:b] = -1, np.arange(b - a)
    if a == c:
        return ((0, b - a), (0, b - a)), numbered, bounds[a : b + 1] - bounds[a], np.ascontiguousarray(columns[:, a:b])
    second = b - a + 1, b - a + 1 + d - c
    numbered[c:d], numbered[d:] = np.arange(*second), second[1]
    local = np.concatenate([bounds[a : b + 1] - bounds[a], bounds[b] - bounds[a] + bounds[c : d + 1] - bounds[c]])
    centers = np.concatenate([columns[:, a:b], columns[:, a : a + 1], columns[:, c:d]], axis=1)
    return ((0, b - a), second), numbered, local, centers
