"""Who is nearest: all rows against all, or cells of rows against the cells around them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.distance import keep_smallest
from kithkin.kernels.neighbors import join, measure, offer
from kithkin.models.kmeans import KMeans

CELL_ROWS = 400  # rows of a cell, at 100,000 rows: a product of two of them stays in the second cache
PROBES = 16  # cells that each row is compared with
WIDTH = 15  # neighbours of which the neighbours are tried
ROUNDS = 6  # of trying them, at most
ENOUGH = 0.002  # share of neighbours that a round must change for another to follow
SPARE = 3  # more are kept than asked for, because scores are rounded more than distances are
TILE = 1024
HUGE = np.finfo(np.float32).max


def search(rows: Array, k: int, exact: bool, seed: int, execution: Execution) -> tuple[Array, Array]:
    """Find the k nearest others of each row.

    Parameters
    ----------
    rows
        n x d float32, finite, of a size whose squares single precision holds.
    k
        Neighbours, the row itself not counted; less than n.
    exact
        Whether to compare all rows with all.
    seed
        Of the cells.
    execution
        Threads.

    Returns
    -------
    Numbers of the neighbours, n x k int32, and their squared distances, n x k float32, ascending.

    Examples
    --------
    >>> found, squares = search(np.array([[0], [1], [3]], np.float32), 1, True, 0, Execution())
    >>> found.tolist(), squares.tolist()
    ([[1], [0], [1]], [[1.0], [1.0], [4.0]])
    """
    n = len(rows)
    order, bounds = _cells(rows, seed, execution)
    rows = rows[order]
    centers = np.add.reduceat(rows, bounds[:-1], axis=0, dtype=np.float64) / np.diff(bounds)[:, None]
    needed = n if exact else max(PROBES * _cell_rows(n), 4 * k)
    probes = _probes(centers, np.diff(bounds), needed)
    kept = min(n, k + 1 + SPARE)
    ids, squares = np.full((n, kept), -1, np.int32), np.full((n, kept), HUGE, np.float32)
    for _ in map_tasks(
        lambda c: _compare(rows, bounds, centers[c], probes[c], ids, squares, c),
        range(len(probes)),
        execution,
        "neighbors",
    ):
        pass
    parts = even_ranges(n, 8192)
    for _ in map_tasks(lambda r: measure(rows, *r, ids, squares), parts, execution):
        pass
    if not exact:
        ids, squares = _mend(rows, bounds, probes, ids, squares, execution)
    found, final = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    found[order], final[order] = order[ids[:, :k]], squares[:, :k]
    return found, final


def _cell_rows(n: int) -> int:
    """Rows of a cell: the share of all rows that is compared must not fall too fast, nor the work grow too fast."""
    return int(CELL_ROWS * max(1.0, n / 100_000) ** 0.45)


def _cells(rows: Array, seed: int, execution: Execution) -> tuple[Array, Array]:
    """Rows ordered by cell, and where each cell begins; no cell is larger than four times the usual size."""
    n = len(rows)
    usual = _cell_rows(n)
    n_cells = max(1, n // usual)
    model = KMeans(n_cells, max_iter=0, start="random", n_starts=1, n_sample=min(n, 64 * n_cells), seed=seed)
    labels = model.fit(rows, execution).labels_
    order = np.argsort(labels, kind="stable").astype(np.int32)
    edges = np.searchsorted(labels[order], np.arange(n_cells + 1))
    bounds = [0]
    for start, stop in pairwise(edges):
        if stop - start > 4 * usual:
            # rows that lie dense, or are equal: cut along the widest column, so that work stays linear
            members = order[start:stop]
            widest = rows[members].var(axis=0).argmax()
            order[start:stop] = members[np.argsort(rows[members, widest], kind="stable")]
            pieces = -(-(stop - start) // usual)
            bounds += [int(start + (stop - start) * i // pieces) for i in range(1, pieces + 1)]
        elif stop > start:
            bounds.append(int(stop))
    return order, np.array(bounds)


def _probes(centers: Array, sizes: Array, needed: int) -> list[Array]:
    """For each cell the cells nearest to it, itself included, until they hold as many rows as needed."""
    squares = np.einsum("ij,ij->i", centers, centers)
    probes = []
    for i, center in enumerate(centers):
        distance = squares - 2 * (centers @ center)
        distance[i] = -np.inf
        near = np.argsort(distance, kind="stable")
        probes.append(near[: 1 + int(np.searchsorted(np.cumsum(sizes[near]), needed))].astype(np.int32))
    return probes


def _compare(rows: Array, bounds: Array, center: Array, probes: Array, ids: Array, squares: Array, c: int) -> None:
    """Keep the nearest rows of the probed cells for each row of cell c."""
    first, last = bounds[c], bounds[c + 1]
    d = rows.shape[1]
    left = np.ones((last - first, d + 1), np.float32)
    np.subtract(rows[first:last], center, out=left[:, :d], casting="same_kind")
    numbers = np.concatenate([np.arange(bounds[p], bounds[p + 1], dtype=np.int32) for p in probes])
    for start in range(0, len(numbers), TILE):
        part = numbers[start : start + TILE]
        right = np.empty((len(part), d + 1), np.float32)
        np.subtract(rows[part], center, out=right[:, :d], casting="same_kind")
        right[:, d] = np.einsum("ij,ij->i", right[:, :d], right[:, :d])
        right[:, :d] *= -2
        keep_smallest(left @ right.T, part, squares[first:last], ids[first:last])


def _mend(
    rows: Array, bounds: Array, probes: list[Array], ids: Array, squares: Array, execution: Execution
) -> tuple[Array, Array]:
    """Offer each row the neighbours of its neighbours in cells that were not probed."""
    cell = np.repeat(np.arange(len(probes), dtype=np.int32), np.diff(bounds))
    seen = np.zeros((len(probes), len(probes)), np.bool_)
    for c, near in enumerate(probes):
        seen[c, near] = True

    def work(part: tuple[int, int], old: tuple[Array, ...], new: tuple[Array, ...]) -> int:
        return int(join(rows, *part, cell, seen, WIDTH, *old, *new))

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
