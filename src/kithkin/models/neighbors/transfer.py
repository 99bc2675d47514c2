"""Transfer of labels by nearest neighbours in an annotated reference."""

from __future__ import annotations

from typing import Self

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.distance import keep_smallest
from kithkin.models.kmeans import KMeans
from kithkin.models.table.blas import single_threaded

EXACT_BELOW = 20_000  # rows of the reference, from which on it is partitioned by k-means (inverted file)
PARTITION_ROWS = 500
PROBED = 8_000  # rows of the reference that a row is compared with, at least
TILE = 1024
HUGE = np.finfo(np.float32).max


class Votes:
    r"""Class votes of the nearest labelled rows of a reference.

    A row takes :math:`w_r = \exp(-(d_r / d_k)^2)` votes for the class of each of its k nearest reference rows, at
    distances :math:`d_1 \le \dots \le d_k`; votes are divided by their sum. Reference rows without a label are left
    out. A large reference is partitioned by k-means, and a row is compared with the partitions nearest to its own.

    n_neighbors: number of reference rows that vote.
    votes_: fraction of the votes for each class, m x classes float32.
    indices_: nearest reference rows by distance, m x k int32.
    distances_: distances to them, m x k float32.
    Source: Cover and Hart 1967, doi:10.1109/TIT.1967.1053964.
    """

    votes_: Array
    indices_: Array
    distances_: Array

    def __init__(self, n_neighbors: int = 15, *, seed: int = 0) -> None:
        self.n_neighbors, self.seed = n_neighbors, seed

    def fit(self, reference: Array, codes: Array, rows: Array, execution: Execution | None = None) -> Self:
        """Count the votes for each row.

        reference: n x d coordinates.
        codes: class of each reference row from 0, n; negative: without a label.
        rows: m x d coordinates in the same space.
        Raises ParameterError if the tables have different columns, hold NaN or infinity, or fewer reference rows than
            n_neighbors have a label.
        """
        execution = Execution() if execution is None else execution
        known = np.flatnonzero(np.asarray(codes) >= 0)
        right = f"codes must hold {len(reference)} numbers, one for each row, got {len(codes)}"
        check(len(codes) == len(reference), right)
        check_range("n_neighbors", self.n_neighbors, 1, len(known))
        same = reference.ndim == rows.ndim == 2 and reference.shape[1] == rows.shape[1]
        check(same, f"rows must have the columns of reference, got {rows.shape} and {reference.shape}")
        finite = bool(np.isfinite(reference).all() and np.isfinite(rows).all())
        check(finite, "coordinates must be finite, got NaN or infinity")
        middle = reference[known].mean(axis=0, dtype=np.float64)
        labelled, queries = (np.ascontiguousarray(table - middle, np.float32) for table in (reference[known], rows))
        with single_threaded():
            nearest, squares = nearest_rows(queries, labelled, self.n_neighbors, self.seed, execution)
        self.indices_, self.distances_ = known[nearest].astype(np.int32), np.sqrt(squares)
        widest = np.maximum(squares[:, -1:], np.finfo(np.float32).tiny)
        weights = np.exp(-(squares / widest))
        self.votes_ = np.zeros((len(rows), int(np.max(codes)) + 1), np.float32)
        np.add.at(self.votes_, (np.arange(len(rows))[:, None], np.asarray(codes)[self.indices_]), weights)
        self.votes_ /= weights.sum(axis=1, keepdims=True)
        return self


def nearest_rows(
    rows: Array, reference: Array, k: int, seed: int, execution: Execution, n_probed: int | None = None
) -> tuple[Array, Array]:
    """Return the k nearest reference rows of each row, and their squared distances, ascending.

    n_probed: compare with so many reference rows at least, instead of all of a small reference and 8,000 of a large.
    """
    whole = n_probed is None and len(reference) < EXACT_BELOW
    n_probed = PROBED if n_probed is None else n_probed
    n_partitions = 1 if whole else max(1, len(reference) // min(PARTITION_ROWS, max(1, n_probed // 4)))
    n_sample = min(len(reference), 64 * n_partitions)
    model = KMeans(n_partitions, max_iter=0, start="random", n_starts=1, n_sample=n_sample, seed=seed)
    labels = model.fit(reference, execution).labels_
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels, minlength=n_partitions))[:-1])
    sizes, centers = np.array([len(own) for own in members]), model.cluster_centers_
    ids, squares = np.full((len(rows), k), -1, np.int32), np.full((len(rows), k), HUGE, np.float32)
    nearest = model.predict(rows, execution)
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], np.arange(n_partitions + 1))
    pieces = [
        (partition, order[start : min(start + TILE, bounds[partition + 1])])
        for partition in range(n_partitions)
        for start in range(bounds[partition], bounds[partition + 1], TILE)
    ]

    def compare(piece: tuple[int, Array]) -> None:
        partition, own = piece
        near = np.argsort(np.square(centers - centers[partition]).sum(axis=1), kind="stable")
        needed = 1 + int(np.searchsorted(np.cumsum(sizes[near]), max(n_probed, 4 * k)))
        candidates = np.sort(np.concatenate([members[other] for other in near[:needed]])).astype(np.int32)
        mine, found, best = rows[own], np.full((len(own), k), -1, np.int32), np.full((len(own), k), HUGE, np.float32)
        for start in range(0, len(candidates), TILE):
            part = candidates[start : start + TILE]
            other = reference[part]
            keep_smallest(np.einsum("ij,ij->i", other, other) - 2 * (mine @ other.T), part, best, found)
        exact = np.square(mine[:, None] - reference[found]).sum(axis=2)
        by_distance = np.argsort(exact, axis=1, kind="stable")
        ids[own] = np.take_along_axis(found, by_distance, 1)
        squares[own] = np.take_along_axis(exact, by_distance, 1)

    for _ in map_tasks(compare, pieces, execution, "neighbors in the reference"):
        pass
    return ids, squares
