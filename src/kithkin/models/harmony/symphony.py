"""Symphony: rows moved into the space of a harmonised reference, which stays as it is."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array, Blocks, even_ranges
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.harmony import assign_softly, unit_rows
from kithkin.models.harmony.assignment import TILE, Assignment, PartedRows, exponents_of, read_unit_rows
from kithkin.models.harmony.harmony import usual_clusters
from kithkin.models.harmony.ridge import ridge_offsets
from kithkin.models.kmeans import KMeans
from kithkin.models.table.blas import single_threaded

RIDGE = 1.0  # rows that the penalty of an offset counts as


class SoftClusters:
    """Soft clusters of a table of one batch: what Harmony would sum of it, without batches to mix.

    sizes_: sum of the responsibilities of each cluster, K float64.
    sums_: sum of the rows of each cluster, weighted by responsibility, K x d float64.
    """

    sizes_: Array
    sums_: Array

    def __init__(self, n_clusters: int | None = None, *, seed: int = 0) -> None:
        self.n_clusters, self.seed = n_clusters, seed

    def fit(self, blocks: Blocks, execution: Execution) -> SoftClusters:
        """Find the clusters by k-means of rows of length one, and sum over them."""
        n, d = blocks.shape
        k = usual_clusters(n) if self.n_clusters is None else self.n_clusters
        with single_threaded():
            values = read_unit_rows(blocks, execution)
            centers = KMeans(k, max_iter=0, n_starts=5, seed=self.seed).fit(values, execution).cluster_centers_
            rows = PartedRows(values, np.zeros(n, np.int32), 1, np.random.default_rng(self.seed))
            state = Assignment(rows, centers, 0.0, execution)
            self.sizes_, self.sums_ = state.finish(blocks, np.zeros((1, k, d), np.float32))
        return self


def map_onto(rows: Array, batches: Array, sizes: Array, sums: Array, execution: Execution) -> Array:
    r"""Move rows onto a reference, in place: offsets of their batches in each of its clusters are taken out.

    A row is assigned softly to the clusters by its cosine distance from their centers. In each cluster a ridge
    regression of the rows on their batch, in which the reference takes part with its :math:`N_k` rows and their sum
    :math:`C_k` and has no offset, gives the offset of each batch.

    rows: n x d float32, components by the loadings of the reference; overwritten and returned.
    batches: batch of each row from 0, n integers.
    sizes, sums: N (K) and C (K x d) of the reference.
    Source: Kang et al. 2021, doi:10.1038/s41467-021-25957-x.
    """
    exponents = exponents_of(sums)
    shape = int(batches.max()) + 1, *sums.shape

    def assigned(tile: tuple[int, int]) -> list[tuple[int, Array, Array]]:
        """Assign some rows; return each batch among them, its rows and their responsibilities."""
        own, values = batches[tile[0] : tile[1]], rows[tile[0] : tile[1]].copy()
        unit_rows(values)
        weights, unused = values @ exponents, np.zeros((1, len(sizes)))
        np.exp(weights, out=weights)
        assign_softly(weights, np.zeros(len(own), np.int32), np.ones((1, len(sizes)), np.float32), unused)
        found = ((batch, np.flatnonzero(own == batch)) for batch in np.unique(own).tolist())
        return [(batch, tile[0] + at, weights[at]) for batch, at in found]

    def add(tile: tuple[int, int]) -> list[tuple[int, Array, Array]]:
        parts = assigned(tile)
        return [(batch, weights.sum(axis=0, dtype=np.float64), weights.T @ rows[at]) for batch, at, weights in parts]

    def move(tile: tuple[int, int]) -> None:
        for batch, at, weights in assigned(tile):
            rows[at] -= weights @ offsets[batch]

    counts, totals, tiles = np.zeros(shape[:2]), np.zeros(shape), even_ranges(len(rows), TILE)
    with single_threaded():
        for parts in map_tasks(add, tiles, execution, "mapping"):
            for batch, count, total in parts:
                counts[batch] += count
                totals[batch] += total
        ridge, present = np.full_like(counts, RIDGE), np.ones(counts.shape, bool)
        offsets = ridge_offsets(counts, totals, ridge, present, (sizes, sums))[0].astype(np.float32)
        for _ in map_tasks(move, tiles, execution, "mapping"):
            pass
    return rows
