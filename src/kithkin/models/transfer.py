"""Labels of a reference carried over: what the nearest rows of an annotated table say about the rows of another."""

from __future__ import annotations

from typing import Self

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.distance import keep_smallest
from kithkin.models.kmeans import KMeans
from kithkin.models.table.blas import single_threaded

EXACT_BELOW = 20_000  # rows of the reference, above which it is put into cells
CELL_ROWS = 500
PROBED = 8_000  # rows of the reference that a row is compared with, at least
TILE = 1024
HUGE = np.finfo(np.float32).max


class Votes:
    r"""Votes of the nearest labelled rows of a reference.

    A row takes :math:`w_r = \exp(-(d_r / d_k)^2)` votes for the class of each of its k nearest reference rows, at
    distances :math:`d_1 \le \dots \le d_k`; votes are divided by their sum. Reference rows without a label are left
    out. A large reference is put into cells by k-means, and a row is compared with the cells nearest to its own.

    Parameters
    ----------
    n_neighbors
        Reference rows that vote.
    seed
        Of the cells.

    Attributes
    ----------
    votes_
        m x classes float32; each row adds up to 1.
    indices_
        m x k int32: which reference rows, by distance.
    distances_
        m x k float32.

    References
    ----------
    Cover and Hart 1967, doi:10.1109/TIT.1967.1053964.

    Examples
    --------
    >>> model = Votes(1).fit(np.array([[0.0], [1.0], [9.0]]), np.array([0, -1, 1]), np.array([[1.1], [8.0]]))
    >>> model.votes_.tolist(), model.indices_.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0], [2]])
    """

    votes_: Array
    indices_: Array
    distances_: Array

    def __init__(self, n_neighbors: int = 15, *, seed: int = 0) -> None:
        self.n_neighbors, self.seed = n_neighbors, seed

    def fit(self, reference: Array, codes: Array, rows: Array, execution: Execution | None = None) -> Self:
        """Count the votes for all rows.

        Parameters
        ----------
        reference
            n x d coordinates.
        codes
            n classes from 0; negative: without a label.
        rows
            m x d coordinates in the same space.
        execution
            Threads.

        Raises
        ------
        ParameterError
            If the tables have different columns, hold NaN or infinity, or fewer reference rows than n_neighbors have a
            label.
        """
        execution = Execution() if execution is None else execution
        known = np.flatnonzero(np.asarray(codes) >= 0)
        check(
            len(codes) == len(reference),
            f"codes must hold {len(reference)} numbers, one for each row, got {len(codes)}",
        )
        check_range("n_neighbors", self.n_neighbors, 1, len(known))
        same = reference.ndim == rows.ndim == 2 and reference.shape[1] == rows.shape[1]
        check(same, f"rows must have the columns of reference, got {rows.shape} and {reference.shape}")
        finite = bool(np.isfinite(reference).all() and np.isfinite(rows).all())
        check(finite, "coordinates must be finite, got NaN or infinity")
        middle = reference[known].mean(axis=0, dtype=np.float64)
        among, near = (np.ascontiguousarray(table - middle, np.float32) for table in (reference[known], rows))
        with single_threaded():
            found, squares = _nearest(near, among, self.n_neighbors, self.seed, execution)
        self.indices_, self.distances_ = known[found].astype(np.int32), np.sqrt(squares)
        widest = np.maximum(squares[:, -1:], np.finfo(np.float32).tiny)
        weights = np.exp(-(squares / widest))
        self.votes_ = np.zeros((len(rows), int(np.max(codes)) + 1), np.float32)
        np.add.at(self.votes_, (np.arange(len(rows))[:, None], np.asarray(codes)[self.indices_]), weights)
        self.votes_ /= weights.sum(axis=1, keepdims=True)
        return self


def _nearest(rows: Array, among: Array, k: int, seed: int, execution: Execution) -> tuple[Array, Array]:
    """The k nearest of `among` for each row, and their squared distances, ascending."""
    n_cells = 1 if len(among) < EXACT_BELOW else len(among) // CELL_ROWS
    model = KMeans(n_cells, max_iter=0, start="random", n_starts=1, n_sample=min(len(among), 64 * n_cells), seed=seed)
    labels = model.fit(among, execution).labels_
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels, minlength=n_cells))[:-1])
    sizes, centers = np.array([len(own) for own in members]), model.cluster_centers_
    ids, squares = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), HUGE, np.float32)
    nearest = model.predict(rows, execution)
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], np.arange(n_cells + 1))
    pieces = [
        (cell, order[start : min(start + TILE, bounds[cell + 1])])
        for cell in range(n_cells)
        for start in range(bounds[cell], bounds[cell + 1], TILE)
    ]

    def compare(piece: tuple[int, Array]) -> None:
        cell, own = piece
        near = np.argsort(np.square(centers - centers[cell]).sum(axis=1), kind="stable")
        needed = 1 + int(np.searchsorted(np.cumsum(sizes[near]), max(PROBED, 4 * k)))
        candidates = np.sort(np.concatenate([members[other] for other in near[:needed]])).astype(np.int32)
        ids[own], squares[own] = _compared(rows[own], among, candidates, k)

    for _ in map_tasks(compare, pieces, execution, "neighbors in the reference"):
        pass
    return ids, squares


def _compared(rows: Array, among: Array, candidates: Array, k: int) -> tuple[Array, Array]:
    """The k nearest candidates of a few rows."""
    ids, best = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), HUGE, np.float32)
    for start in range(0, len(candidates), TILE):
        part = candidates[start : start + TILE]
        other = among[part]
        scores = np.einsum("ij,ij->i", other, other) - 2 * (rows @ other.T)
        keep_smallest(scores, part, best, ids)
    squares = np.square(rows[:, None] - among[ids]).sum(axis=2)
    by_distance = np.argsort(squares, axis=1, kind="stable")
    return np.take_along_axis(ids, by_distance, 1), np.take_along_axis(squares, by_distance, 1)
