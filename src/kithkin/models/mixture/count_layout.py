"""Layout of a count table for the mixture kernels: genes, size factors, histogram slots and interpolation nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.mixture.sums import survey_counts
from kithkin.models.table.columns import choose
from kithkin.models.table.normalize import check_counts, sparse_pieces

EXACT, SUMS = 1e-12, 1e-8  # relative errors of interpolation, for likelihoods and for sums of an M step
CAPS = (256, 128, 64)  # counts up to one of these have a slot of their own in every gene
LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Nodes:
    """Chebyshev nodes in the logarithm of a variable, with barycentric weights."""

    x: Array
    weights: Array  # M, as x

    @property
    def values(self) -> Array:
        """Return the variable at the nodes."""
        values: Array = np.exp(self.x)
        return values

    @staticmethod
    def over(low: float, high: float, tolerance: float) -> Nodes:
        r"""Choose enough nodes to interpolate log(1 + a v), v in low..high.

        Its singularities lie on :math:`\mathrm{Im} \log v = \pm\pi`; with h the half-width of the range, Bernstein's
        ellipse has :math:`\rho = \pi/h + \sqrt{(\pi/h)^2 + 1}`, and the error falls like :math:`\rho^{-M}`.
        Trefethen, Approximation theory and approximation practice (2019), doi:10.1137/1.9781611975949.
        """
        first, last = np.log(low), np.log(high)
        half = max((last - first) / 2, 1e-3)  # one size for all cells is a range too
        rho = np.pi / half + np.sqrt((np.pi / half) ** 2 + 1)
        n_nodes = int(np.ceil(-np.log(tolerance) / np.log(rho))) + 2
        n_nodes = max(4, -(-n_nodes // 4) * 4)  # loops over them are made of vectors of four
        angles = (2 * np.arange(n_nodes) + 1) * np.pi / (2 * n_nodes)
        signs = np.where(np.arange(n_nodes) % 2, -1.0, 1.0)
        return Nodes((first + last) / 2 + half * np.cos(angles), signs * np.sin(angles))


@dataclass(frozen=True)
class CountLayout:
    """Genes, size factors and interpolation nodes of a table of counts."""

    position: Array  # of each column among the chosen genes, or -1, int32
    size: Array  # size factor of each row, n
    starts: Array  # first histogram slot of each gene, and one past the last
    limits: Array  # largest count of each gene, at most cap
    cap: int
    score_nodes: Nodes  # of the size factor, for likelihoods
    sum_nodes: Nodes  # of the size factor, for sums
    large_nodes: Nodes  # of counts above cap
    means: Array  # sum of the counts of each gene divided by the sum of size factors
    first: int = 0  # row to which the first size factor belongs

    @property
    def n_genes(self) -> int:
        """Number of chosen genes."""
        return len(self.means)

    def size_of(self, rows: slice) -> Array:
        """Return the size factors of some rows."""
        part: Array = self.size[rows.start - self.first : rows.stop - self.first]
        return part

    def only(self, start: int, stop: int) -> CountLayout:
        """Return the layout for rows start to stop alone."""
        return replace(self, size=self.size_of(slice(start, stop)), first=start)

    def rows(self, chosen: Array | slice) -> CountLayout:
        """Return the layout of some of the rows."""
        return replace(self, size=self.size[chosen])

    def with_size(self, size: Array) -> CountLayout:
        """Return the layout of other rows with the same genes."""
        return replace(self, size=size, score_nodes=Nodes.over(float(size.min()), float(size.max()), EXACT))


def lay_out_counts(
    blocks: Blocks, columns: Array | None = None, size: Array | None = None, execution: Execution | None = None
) -> CountLayout:
    """Lay out the counts of a table, in one pass.

    Columns are a mask or positions of the genes to use, all when None. Size factors are by default the counts of a row
    over all columns. A value that is not a count, a row without counts, and a size factor of 0 raise ParameterError.
    """
    chosen = choose(columns, blocks.shape[1])
    largest, sums, totals = np.zeros(blocks.shape[1], np.int64), np.zeros(blocks.shape[1]), []
    for part, added, rows in map_blocks(count_block, blocks, execution, "counts"):
        np.maximum(largest, part, out=largest)
        sums += added
        totals.append(rows)
    size = checked_size(np.concatenate([np.zeros(0), *totals]), size)
    largest, sums = largest[chosen], sums[chosen]
    position = np.full(blocks.shape[1], -1, np.int32)
    position[chosen] = np.arange(len(chosen), dtype=np.int32)
    # where all genes have large counts the slots must not outgrow the nodes
    cap = next((cap for cap in CAPS if np.minimum(largest, cap).sum() <= 16 * len(chosen)), CAPS[-1])
    large = Nodes.over(cap, max(float(largest.max(initial=1)), cap + 1.0), SUMS)
    slots = np.minimum(largest, cap) + np.where(largest > cap, len(large.x), 0)
    low, high = float(size.min()), float(size.max())
    return CountLayout(
        position=position,
        size=size,
        starts=np.concatenate([[0], np.cumsum(slots)]).astype(np.int64),
        limits=np.minimum(largest, cap),
        cap=cap,
        score_nodes=Nodes.over(low, high, EXACT),
        sum_nodes=Nodes.over(low, high, SUMS),
        large_nodes=large,
        means=sums / size.sum(),
    )


def checked_size(totals: Array, size: Array | None) -> Array:
    """Check size factors; the totals of the rows where none are given."""
    if size is None:
        empty = np.flatnonzero(totals <= 0)
        check(
            len(empty) == 0, f"every row needs counts, but row {empty[:1].sum()} has none: leave it out, or give size"
        )
        return totals
    given = np.asarray(size, np.float64).reshape(-1)
    check(len(given) == len(totals), f"size must hold {len(totals)} numbers, one for each row, got {len(given)}")
    check(bool(np.all(given > 0) and np.all(np.isfinite(given))), "size must be finite and above 0")
    return given


def count_pieces(block: Block) -> Iterator[tuple[int, SparseRows]]:
    """Cut a block into pieces with int32 counts and indices: one type for all tables, so kernels compile once."""
    parts = [(0, block)] if isinstance(block, SparseRows) else sparse_pieces(block)
    for offset, piece in parts:
        data, indices = piece.data.astype(np.int32, copy=False), piece.indices.astype(np.int32, copy=False)
        yield offset, SparseRows(data, indices, piece.indptr, piece.n_columns)


def count_block(block: Block, _start: int) -> tuple[Array, Array, Array]:
    """Return the largest count and the sum of each column of a block, and the sum of each row; refuse other values."""
    check_counts(block, "count_mixture", integers=True)
    values: Any = block.data if isinstance(block, SparseRows) else block
    check(values.size == 0 or values.max() <= LARGEST_COUNT, f"counts must be at most {LARGEST_COUNT}")
    largest, sums, totals = np.zeros(block.shape[1], np.int64), np.zeros(block.shape[1]), np.zeros(block.shape[0])
    for offset, piece in count_pieces(block):
        rows = totals[offset : offset + piece.shape[0]]
        survey_counts(piece.data, piece.indices, piece.indptr, largest, sums, rows)
    return largest, sums, totals
