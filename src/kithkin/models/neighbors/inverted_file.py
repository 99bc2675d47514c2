"""Inverted file: rows in lists around centers, lists in runs, and the runs that each row looks into."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array, even_ranges, offsets
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.lists import find_lists, list_ranks, move_centers, nearest_center

LIST_ROWS = 400  # rows of a list: the smaller, the fewer rows are compared for nothing, and the less BLAS is worth
ROUNDS = 3  # of Lloyd's algorithm, after which centers hardly move
SAMPLE = 64  # rows for each center on which they are found
LIMIT = 4  # times the usual size, above which a list is cut
INSIDE = 0.99  # fraction of the lists of the sample that lie in the runs among which all rows choose


@dataclass(frozen=True, slots=True)
class InvertedFile:
    """Rows ordered by list, and lists ordered by run.

    Attributes
    ----------
    order
        int32, the number of each row before it was ordered.
    bounds
        First row of each list, and the end.
    runs
        First list of each run, and the end.
    columns
        d x lists float32, the center of each list in a column.
    hubs
        runs x d float32, the centers of the runs.
    """

    order: Array
    bounds: Array
    runs: Array
    columns: Array
    hubs: Array

    @property
    def run_of(self) -> Array:
        """int32, the run of each list."""
        return np.repeat(np.arange(len(self.runs) - 1, dtype=np.int32), np.diff(self.runs))

    @property
    def list_of(self) -> Array:
        """int32, the list of each ordered row."""
        return np.repeat(np.arange(len(self.bounds) - 1, dtype=np.int32), np.diff(self.bounds))


def build_lists(rows: Array, seed: int, execution: Execution) -> InvertedFile:
    """Partition rows by k-means in two levels, runs and lists in them, the same on every processor.

    `KMeans` takes its labels from products of BLAS, whose last bits depend on the processor.

    rows: n x d float32.
    """
    n = len(rows)
    rng = np.random.default_rng(seed)
    n_runs = max(1, round(np.sqrt(n) / 8))
    sample = np.sort(rng.choice(n, min(n, SAMPLE * n_runs), replace=False))
    hubs = _centers(rows[sample], n_runs, rng)
    labels = np.empty(n, np.int32)
    columns = np.ascontiguousarray(hubs.T)
    for _ in map_tasks(lambda r: nearest_center(rows, *r, columns, labels), even_ranges(n, 8192), execution):
        pass
    by_run = np.argsort(labels, kind="stable").astype(np.int32)
    ends = offsets(np.bincount(labels, minlength=n_runs))
    filled = np.flatnonzero(np.diff(ends))

    def divide(run: int) -> tuple[Array, Array]:
        return _lists(rows, by_run[ends[run] : ends[run + 1]], np.random.default_rng((seed, run)))

    parts = list(map_tasks(divide, filled.tolist(), execution, "partitions"))
    sizes = [pieces for _, pieces in parts]
    bounds = offsets(np.concatenate(sizes))
    order = np.concatenate([members for members, _ in parts])
    centers = np.empty((len(bounds) - 1, rows.shape[1]), np.float32)
    for number, (first, last) in enumerate(pairwise(bounds)):
        centers[number] = rows[order[first:last]].mean(axis=0, dtype=np.float64)
    runs = offsets(np.array([len(pieces) for pieces in sizes]))
    return InvertedFile(order, bounds, runs, np.ascontiguousarray(centers.T), hubs[filled])


def _lists(rows: Array, members: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Order the rows of a run by list, and return the sizes of the lists, of which none is large."""
    near = rows[members]
    labels = np.zeros(len(near), np.int32)
    n_lists = max(1, round(len(near) / LIST_ROWS))
    step = max(1, len(near) // (SAMPLE * n_lists))
    columns = np.ascontiguousarray(_centers(near[::step], n_lists, rng).T)
    nearest_center(near, 0, len(near), columns, labels)
    ordered, sizes = [], []
    for label in range(n_lists):
        part = np.flatnonzero(labels == label)
        if len(part) > LIMIT * LIST_ROWS:
            # rows that lie dense, or are equal: cut along the widest column, so that work stays linear
            part = part[np.argsort(near[part, near[part].var(axis=0).argmax()], kind="stable")]
        pieces = -(-len(part) // LIST_ROWS) if len(part) > LIMIT * LIST_ROWS else 1
        if len(part):
            ordered.append(members[part])
            sizes += [len(part) * (i + 1) // pieces - len(part) * i // pieces for i in range(pieces)]
    return np.concatenate(ordered), np.array(sizes)


def _centers(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Find centers by Lloyd's algorithm from rows drawn at random."""
    centers = rows[np.sort(rng.choice(len(rows), count, replace=False))]
    labels = np.empty(len(rows), np.int32)
    for _ in range(ROUNDS):
        nearest_center(rows, 0, len(rows), np.ascontiguousarray(centers.T), labels)
        move_centers(rows, labels, centers)
    return centers


def ranks_of_neighbors(file: InvertedFile, rows: Array, sample: Array, neighbors: Array, execution: Execution) -> Array:
    """Count how many lists either row of a pair must look into until it finds the other, for neighbours of a sample.

    file: the lists.
    rows: n x d float32, ordered.
    sample: numbers of some rows.
    neighbors: sample x k, numbers of their nearest others.
    Returns sample x k int32, the smaller of both counts.
    """
    list_of = file.list_of

    def work(part: tuple[int, int]) -> Array:
        found = np.empty((part[1] - part[0], neighbors.shape[1]), np.int32)
        back = np.empty(1, np.int32)
        for row, (i, others) in enumerate(zip(sample[slice(*part)], neighbors[slice(*part)], strict=True)):
            list_ranks(rows, i, file.columns, list_of[others], found[row])
            for a, j in enumerate(others):
                list_ranks(rows, j, file.columns, list_of[i : i + 1], back)
                found[row, a] = min(found[row, a], back[0])
        return found + 1

    return np.concatenate(list(map_tasks(work, even_ranges(len(sample), 32), execution)))


def choose_lists(
    file: InvertedFile, rows: Array, width: int, sample: Array, execution: Execution
) -> tuple[Array, list[tuple[int, int]]]:
    """Choose the lists that each row looks into, and find the pairs of runs that have rows to compare, nearest first.

    file: the lists.
    rows: n x d float32, ordered.
    width: number of lists that a row looks into.
    sample: numbers of some rows; how near the runs of their lists are decides among how many runs all rows choose.
    Returns n x width numbers of lists, ascending, and pairs of runs.
    """
    n_runs, n_lists, run_of = len(file.hubs), len(file.bounds) - 1, file.run_of
    kind = np.uint16 if n_lists <= np.iinfo(np.uint16).max else np.int32
    hubs = file.hubs.T.astype(np.float64)
    squares = np.stack([np.square(hubs - hubs[:, [run]]).sum(axis=0) for run in range(n_runs)])
    by_distance = np.argsort(squares, axis=1, kind="stable")
    rank_of = np.argsort(by_distance, axis=1, kind="stable")

    own = run_of[file.list_of[sample]]
    best = np.empty((len(sample), width), kind)
    every = np.arange(n_lists)
    picked = np.ascontiguousarray(rows[sample])
    for _ in map_tasks(
        lambda r: find_lists(picked, *r, file.columns, every, best), even_ranges(len(sample), 64), execution
    ):
        pass
    enough = 1 + int(np.quantile(rank_of[own[:, None], run_of[best]], INSIDE, method="higher"))

    chosen, seen = np.empty((len(rows), width), kind), np.eye(n_runs, dtype=np.bool_)

    def work(run: int) -> None:
        near = np.sort(by_distance[run, :enough])
        candidates = np.concatenate([np.arange(file.runs[r], file.runs[r + 1]) for r in near])
        start, stop = (int(file.bounds[at]) for at in file.runs[run : run + 2])
        find_lists(rows, start, stop, file.columns, candidates, chosen)
        seen[run, run_of[chosen[start:stop].ravel()]] = True

    for _ in map_tasks(work, range(n_runs), execution):
        pass
    first, second = np.nonzero(np.triu(seen | seen.T))
    order = np.lexsort((second, first, squares[first, second]))
    return chosen, list(zip(first[order].tolist(), second[order].tolist(), strict=True))


def rounds_of(pairs: list[tuple[int, int]], n_runs: int) -> list[list[tuple[int, int]]]:
    """Sort pairs of runs into rounds in which no run comes twice, each pair into the first that has room.

    Examples
    --------
    >>> rounds_of([(0, 0), (1, 1), (0, 1), (1, 2), (0, 2)], 3)
    [[(0, 0), (1, 1)], [(0, 1)], [(1, 2)], [(0, 2)]]
    """
    busy = [0] * n_runs  # a bit for each round
    rounds: list[list[tuple[int, int]]] = []
    for one, other in pairs:
        taken = busy[one] | busy[other]
        number = (~taken & (taken + 1)).bit_length() - 1
        busy[one] |= 1 << number
        busy[other] |= 1 << number
        if number == len(rounds):
            rounds.append([])
        rounds[number].append((one, other))
    return rounds
