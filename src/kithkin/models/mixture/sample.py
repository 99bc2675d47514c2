"""A sample of the rows in memory, on which a mixture of counts is started, and its principal components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.gram import add_transposed, times_vectors
from kithkin.models.mixture.layout import Layout, survey
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.normalize import to_sparse

FEWEST = 5.0  # counts that a gene must have in the sample to count in the start
SPARE = 8  # vectors beyond those wanted, and rounds, of the power method
ROUNDS = 6


@dataclass(frozen=True)
class Sample:
    """Some rows of a table of counts.

    Attributes
    ----------
    rows
        The rows in compressed form, int32.
    layout
        Their genes and size factors.
    chosen
        Which rows of the table they are, ascending.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> sample = Sample.of(InMemory(np.array([[6, 0], [1, 1]])), np.array([1]), np.array([6.0, 2.0]), fewest=1)
    >>> sample.rows.to_dense().tolist(), sample.layout.size.tolist()
    ([[1, 1]], [2.0])
    """

    rows: SparseRows
    layout: Layout
    chosen: Array

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
        """Take rows of a table, in one pass; genes with fewer counts than `fewest` in them are left out."""
        parts = [*map_blocks(partial(_taken, chosen=chosen), blocks, execution, "sample")]
        data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
        lengths = np.concatenate([np.diff(part.indptr) for part in parts])
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = SparseRows(data, indices, indptr, blocks.shape[1])
        used = np.zeros(blocks.shape[1], bool)
        used[slice(None) if columns is None else columns] = True
        enough = np.bincount(indices, data, blocks.shape[1]) >= fewest
        if (used & enough).any():
            used &= enough
        return Sample(rows, survey(Rows(rows), used, size[chosen], Execution(threads=1)), chosen)

    @property
    def blocks(self) -> Blocks:
        """The rows as blocks."""
        return Rows(self.rows)

    def part(self, rows: Array) -> Sample:
        """Some of the rows, with the same genes and prior."""
        lengths = np.diff(self.rows.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(indptr[-1]) + np.repeat(self.rows.indptr[:-1][rows] - indptr[:-1], lengths)
        taken = SparseRows(self.rows.data[at], self.rows.indices[at], indptr, self.rows.n_columns)
        return Sample(taken, self.layout.rows(rows), self.chosen[rows])


class Rows:
    """Rows in compressed form as blocks: as `InMemory`, without a copy in another format.

    Examples
    --------
    >>> Rows(SparseRows(np.array([2]), np.array([0]), np.array([0, 1]), 1)).shape
    (1, 1)
    """

    is_sparse = True

    def __init__(self, rows: SparseRows) -> None:
        self._rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        n_blocks = max(1, round(len(rows.data) / 2**20))
        cuts = np.linspace(0, rows.shape[0], n_blocks + 1).astype(int).tolist()
        self.ranges = list(pairwise(cuts))

    def read(self, start: int, stop: int) -> Block:
        """Rows start to stop, as views."""
        return self._rows.take(start, stop)


def _taken(block: Block, start: int, chosen: Array) -> SparseRows:
    rows = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + block.shape[0])] - start
    if not isinstance(block, SparseRows):
        block, rows = to_sparse(block[rows]), np.arange(len(rows))
    lengths = np.diff(block.indptr)[rows]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    at = np.arange(indptr[-1]) + np.repeat(block.indptr[:-1][rows] - indptr[:-1], lengths)
    data, indices = block.data[at].astype(np.int32), block.indices[at].astype(np.int32)
    return SparseRows(data, indices, indptr, block.n_columns)


def components(sample: Sample, n_components: int, seed: int) -> Array:
    """Rows in the directions in which sqrt(x / s) varies most, n x n_components: the noise of counts is even there.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.array([[9, 1], [8, 1], [1, 9], [1, 8]])
    >>> sample = Sample.of(InMemory(X), np.arange(4), X.sum(axis=1).astype(float))
    >>> np.sign(components(sample, 1, 0)[:, 0]).tolist() in ([1, 1, -1, -1], [-1, -1, 1, 1])
    True
    """
    values, places, starts = _roots(sample)
    n, p = sample.rows.shape[0], sample.layout.n_genes
    k = min(n_components + SPARE, n, p)
    Q = np.random.default_rng(seed).normal(size=(n, k))
    sums = np.bincount(places, values, p) / n
    across = np.empty((n, k))
    with single_threaded():
        for _ in range(ROUNDS):
            Q, _ = np.linalg.qr(Q)
            loadings = np.zeros((p, k))
            add_transposed(values, places, starts, Q, loadings)
            loadings -= np.outer(sums, Q.sum(axis=0))
            times_vectors(values, places, starts, loadings, across)
            Q = across - sums @ loadings
        U, lengths, _ = np.linalg.svd(Q, full_matrices=False)
    # Q is Z Z' U: its lengths are squares of those of the scores
    found: Array = U[:, :n_components] * np.sqrt(lengths[:n_components])
    return found


def _roots(sample: Sample) -> tuple[Array, Array, Array]:
    """Square roots of x / s of the chosen genes: values, places and starts of the rows."""
    places = sample.layout.position[sample.rows.indices]
    lengths, keep = np.diff(sample.rows.indptr), places >= 0
    values = np.repeat(1.0 / sample.layout.size, lengths)
    values *= sample.rows.data
    np.sqrt(values, out=values)
    starts = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[sample.rows.indptr]
    return values[keep], places[keep], starts
