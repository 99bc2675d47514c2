"""Cells of a sample that all are compared with, and simulated doublets of these cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Block, Blocks, InMemory, Mapped, SparseRows
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.leiden import Leiden
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.pca.pca import PCA
from kithkin.models.table.normalize import LEAST_TARGET_SUM, check_counts, to_sparse
from kithkin.models.table.selection import Selection
from kithkin.models.variable_genes import VariableGenes

N_SIMULATED = 2  # doublets for each cell of the reference
N_COMPONENTS = 30
N_NEIGHBORS, RESOLUTION = 15, 0.5  # of the graph in which groups are found
# standard deviation of the logarithm of the counts, in that of the first component: doublets have more counts
SIZE_WEIGHT = 1 / 3


@dataclass
class Reference:
    """Cells of the reference and doublets of them, in the variable genes of the sample.

    Attributes
    ----------
    blocks
        All cells of the sample, in the variable genes.
    totals
        Counts of each cell over all genes, n.
    chosen
        Positions of the cells of the reference, ascending, m.
    genes
        Positions of the variable genes, ascending, p.
    rows
        Counts of the cells of the reference, m x p.
    parents
        Two cells of the reference for each simulated doublet, by their number in it, 2 x s.
    points, simulated
        Components of all cells, n x d float32, and of the simulated doublets, s x d; the last is the logarithm of
        the counts.
    """

    blocks: Blocks
    totals: Array
    chosen: Array
    genes: Array
    rows: sparse.csr_matrix
    parents: Array
    points: Array
    simulated: Array

    @staticmethod
    def of(
        blocks: Blocks,
        totals: Array,
        n_genes: int,
        n_sample: int,
        seed: int,
        execution: Execution,
    ) -> Reference:
        """Choose the cells, take their counts in one pass, and find components, in which all cells are then placed."""
        n = blocks.shape[0]
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(n, min(n, n_sample), replace=False))
        parts = [*map_blocks(partial(take_rows, chosen=chosen), blocks, execution, "doublets: cells")]
        whole = SparseRows.stack(parts).to_scipy()
        used = np.flatnonzero(np.diff(whole.tocsc().indptr) > 0)
        check(len(used) > 1, f"X must have counts in two genes at least, got {len(used)}")
        mask = np.zeros(blocks.shape[1], bool)
        mask[used[VariableGenes(min(n_genes, len(used)), "dispersion").fit(whole[:, used]).mask_]] = True
        rows = whole[:, mask].tocsr()
        del whole
        first = rng.integers(0, len(chosen), N_SIMULATED * len(chosen))
        second = (first + rng.integers(1, len(chosen), len(first))) % len(chosen)  # another cell
        own = totals[chosen]
        # the weights below were settled at this sum
        model = PCA(min(N_COMPONENTS, *(size - 1 for size in rows.shape)), target_sum=LEAST_TARGET_SUM)
        least = 20 * rows.shape[1] ** 2  # for the covariance of the genes
        enough = replace(execution, memory=max(execution.memory, least), executor=None)
        placed = model.fit_transform(rows, totals=own, execution=enough)
        if len(chosen) < n:
            blocks = Mapped(blocks, Selection(np.ones(n, bool), mask), n_columns=rows.shape[1])
            points = model.transform(blocks, totals, execution)
        else:
            blocks, points = InMemory(rows), placed
        simulated = model.transform(rows[first] + rows[second], own[first] + own[second], execution)
        spread = np.log(np.maximum(own, 1)).std()
        weight = SIZE_WEIGHT * float(placed[:, 0].std()) / spread if spread > 0 else 0.0
        parents = np.stack([first, second])
        return Reference(
            blocks,
            totals,
            chosen,
            np.flatnonzero(mask),
            rows,
            parents,
            with_size(points, totals, weight),
            with_size(simulated, own[parents].sum(axis=0), weight),
        )

    @property
    def own(self) -> Array:
        """Counts of the cells of the reference, m."""
        own: Array = self.totals[self.chosen]
        return own

    def doublets(self, numbers: Array) -> SparseRows:
        """Add the counts of the parents of some of the simulated doublets."""
        first, second = self.parents[:, numbers]
        sums = (self.rows[first] + self.rows[second]).tocsr()
        return SparseRows(sums.data.astype(np.int32), sums.indices, sums.indptr.astype(np.int64), sums.shape[1])

    def find_groups(self, seed: int, execution: Execution) -> Array:
        """Find groups of the cells of the reference by Leiden on the graph of their neighbours; m int32."""
        points = self.points[self.chosen, :-1]
        graph = Neighbors(min(N_NEIGHBORS, len(points)), seed=seed).fit(points, execution).connectivities_
        return Leiden(RESOLUTION, seed=seed).fit(graph).labels_


def with_size(points: Array, totals: Array, weight: float) -> Array:
    """Add the logarithm of the counts to components, as one more column."""
    size = weight * np.log(np.maximum(totals, 1))
    return np.column_stack([points, size]).astype(np.float32)


def take_rows(block: Block, start: int, chosen: Array) -> SparseRows:
    """Take the chosen rows of a block of counts, with int32 counts."""
    check_counts(block, "doublets", integers=True)
    rows = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + block.shape[0])] - start
    part: Any = block.rows(rows) if isinstance(block, SparseRows) else to_sparse(block[rows])
    return SparseRows(part.data.astype(np.int32), part.indices, part.indptr, part.n_columns)
