"""Sample of the rows in memory, on which a mixture is initialised, and its principal components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.gram import add_transposed, times_vectors
from kithkin.models.mixture.count_layout import CountLayout, lay_out_counts
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.normalize import to_sparse

FEWEST = 5.0  # counts that a gene must have in the sample to take part in the initialisation
SPARE = 8  # vectors beyond those wanted, and rounds, of the power method
ROUNDS = 6


@dataclass(frozen=True)
class Sample:
    """Sample of the rows of a table of counts."""

    rows: SparseRows  # int32
    layout: CountLayout  # of their genes and size factors
    chosen: Array  # positions of the rows in the table, ascending

    @staticmethod
    def of(
        blocks: Blocks,
        chosen: Array,
        size: Array,
        columns: Array | None = None,
        *,
        fewest: float = FEWEST,
        execution: Execution | None = None,
    ) -> Sample:
        """Take rows of a table, in one pass; leave out genes with fewer than `fewest` counts in them."""
        rows = SparseRows.stack([*map_blocks(partial(take_rows, chosen=chosen), blocks, execution, "sample")])
        used = np.zeros(blocks.shape[1], bool)
        used[slice(None) if columns is None else columns] = True
        enough = np.bincount(rows.indices, rows.data, blocks.shape[1]) >= fewest
        if (used & enough).any():
            used &= enough
        return Sample(rows, lay_out_counts(Rows(rows), used, size[chosen], Execution(threads=1)), chosen)

    @property
    def blocks(self) -> Blocks:
        """Return the rows as blocks."""
        return Rows(self.rows)

    def part(self, rows: Array) -> Sample:
        """Return some of the rows, with the same genes."""
        return Sample(self.rows.rows(rows), self.layout.rows(rows), self.chosen[rows])


class Rows:
    """Compressed rows in memory as blocks: as `InMemory`, without a copy in another format."""

    is_sparse = True

    def __init__(self, rows: SparseRows) -> None:
        self._rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        n_blocks = max(1, round(len(rows.data) / 2**20))
        cuts = np.linspace(0, rows.shape[0], n_blocks + 1).astype(int).tolist()
        self.ranges = list(pairwise(cuts))

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop, as views."""
        return self._rows.take(start, stop)


def take_rows(block: Block, start: int, chosen: Array) -> SparseRows:
    """Take the sampled rows of a block, with int32 counts and indices."""
    rows = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + block.shape[0])] - start
    if not isinstance(block, SparseRows):
        block, rows = to_sparse(block[rows]), np.arange(len(rows))
    taken = block.rows(rows)
    return SparseRows(taken.data.astype(np.int32), taken.indices.astype(np.int32), taken.indptr, taken.n_columns)


def components(sample: Sample, n_components: int, seed: int) -> Array:
    """Compute principal component scores of sqrt(x / s), n x n_components, by block power iteration.

    The square root stabilises the variance of counts.
    """
    positions = sample.layout.position[sample.rows.indices]
    lengths, keep = np.diff(sample.rows.indptr), positions >= 0
    values = np.repeat(1.0 / sample.layout.size, lengths)
    values *= sample.rows.data
    np.sqrt(values, out=values)
    starts = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[sample.rows.indptr]
    values, positions = values[keep], positions[keep]
    n, p = sample.rows.shape[0], sample.layout.n_genes
    k = min(n_components + SPARE, n, p)
    Q = np.random.default_rng(seed).normal(size=(n, k))
    means = np.bincount(positions, values, p) / n
    across = np.empty((n, k))
    with single_threaded():
        for _ in range(ROUNDS):
            Q, _ = np.linalg.qr(Q)
            loadings = np.zeros((p, k))
            add_transposed(values, positions, starts, Q, loadings)
            loadings -= np.outer(means, Q.sum(axis=0))
            times_vectors(values, positions, starts, loadings, across)
            Q = across - means @ loadings
        U, squares, _ = np.linalg.svd(Q, full_matrices=False)
    # Q is Z Z' U: its singular values are the squares of those of Z
    scores: Array = U[:, :n_components] * np.sqrt(squares[:n_components])
    return scores
