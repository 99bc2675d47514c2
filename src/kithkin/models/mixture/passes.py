"""One pass over a table of counts: responsibilities of the rows, and sufficient statistics for the next M step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.core.own_rows import PerRow, RowValues
from kithkin.kernels.mixture.sums import add_statistics
from kithkin.models.mixture.count_layout import CountLayout, checked_size, count_block, count_pieces
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.parameters import Tables, to_responsibilities
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory


@dataclass(frozen=True)
class Statistics:
    """Sufficient statistics of an E step: see `kithkin.kernels.mixture.sums.add_statistics`."""

    V: Array  # clusters x genes x nodes
    H: Array  # clusters x slots
    W: Array  # clusters x nodes
    weight: Array  # sum of the responsibilities of each cluster
    likelihood: float  # sum of the log-likelihood of the rows
    joint: float  # sum of log p(row, its likeliest cluster)


def gather_statistics(
    blocks: Blocks,
    layout: CountLayout,
    by: Tables | Array,
    n_clusters: int,
    left_out: LeftOut | None = None,
    execution: Execution | None = None,
) -> Statistics:
    """Gather sufficient statistics in one pass, added in a fixed order.

    They are gathered by the tables of a mixture, from which responsibilities are computed (E step); or by labels, n
    (negative: no cluster); or by responsibilities, n x K. With tables and `left_out`, each row is left out of its
    clusters and its new responsibilities are kept (threads of this process only).
    """
    given = by if isinstance(by, Tables) else RowValues(by)
    function = partial(gather_share, layout=layout, by=given, n_clusters=n_clusters, left_out=left_out)
    limited = within_memory(execution, 8 * n_clusters * (layout.n_genes * len(layout.sum_nodes.x)))
    V, H, W, weight, totals = reduce_blocks(function, blocks, limited, "mixture")
    return Statistics(V, H, W, weight, float(totals[0]), float(totals[1]))


def gather_share(
    run: BlockRun, _start: int, layout: CountLayout, by: Tables | RowValues, n_clusters: int, left_out: LeftOut | None
) -> tuple[Array, ...]:
    """Gather the sufficient statistics of a run of blocks."""
    nodes, large = layout.sum_nodes, layout.large_nodes
    V = np.zeros((n_clusters, layout.n_genes, len(nodes.x)))
    H, W = np.zeros((n_clusters, int(layout.starts[-1]))), np.zeros((n_clusters, len(nodes.x)))
    weight, totals = np.zeros(n_clusters), np.zeros(2)
    for start, block in run:
        for offset, piece in count_pieces(block):
            rows = slice(start + offset, start + offset + piece.shape[0])
            if isinstance(by, Tables):
                z, likelihood = row_responsibilities(piece, rows, by, left_out)
                totals += likelihood.sum(), (likelihood + np.log(z.max(axis=1))).sum()
            else:
                z = as_responsibilities(by[rows], n_clusters)
            weight += z.sum(axis=0)
            # fmt: off
            add_statistics(
                piece.data, piece.indices, piece.indptr, layout.position, layout.size_of(rows), layout.starts,
                layout.cap, large.x, large.weights, nodes.x, nodes.weights, z, V, H, W,
            )
            # fmt: on
    return V, H, W, weight, totals


def row_responsibilities(
    piece: SparseRows, rows: slice, tables: Tables, left_out: LeftOut | None = None
) -> tuple[Array, Array]:
    """Compute the responsibilities of some rows, rows x K, and their log-likelihood."""
    size = tables.layout.size_of(rows)
    scores = tables.scores(piece, size)
    if left_out is not None:
        left_out.change_scores(piece, rows, size, scores)
    z, likelihood = to_responsibilities(scores, tables.parameters.log_weight)
    if left_out is not None:
        left_out.z[rows] = z
    return z, likelihood


def as_responsibilities(by: Array, n_clusters: int) -> Array:
    """Convert labels to responsibilities, rows x K; responsibilities stay."""
    if by.ndim == 2:
        return np.ascontiguousarray(by, dtype=np.float64)
    z = np.zeros((len(by), n_clusters))
    known = np.flatnonzero(by >= 0)
    z[known, by[known]] = 1.0
    return z


def score_block(block: Block, start: int, tables: Tables, size: PerRow | None) -> tuple[Array, Array]:
    """Compute responsibilities and log-likelihood of the rows of a block, whose totals are the default size factors."""
    tables, own = tables_of_block(block, start, tables, size)
    parts = [(np.empty((0, tables.parameters.n_clusters)), np.empty(0))]
    with_sizes = replace(tables, layout=replace(tables.layout, size=own, first=0))
    for offset, piece in count_pieces(block):
        parts.append(row_responsibilities(piece, slice(offset, offset + piece.shape[0]), with_sizes))
    z, likelihood = zip(*parts, strict=True)
    return np.concatenate(z), np.concatenate(likelihood)


def component_block(block: Block, start: int, tables: Tables, size: PerRow | None) -> Array:
    """Compute the log-likelihood of the rows of a block in each cluster, rows x K."""
    tables, own = tables_of_block(block, start, tables, size)
    out = np.empty((block.shape[0], tables.parameters.n_clusters))
    for offset, piece in count_pieces(block):
        rows = slice(offset, offset + piece.shape[0])
        out[rows] = tables.scores(piece, own[rows])
    return out


def tables_of_block(block: Block, start: int, tables: Tables, size: PerRow | None) -> tuple[Tables, Array]:
    """Return tables that cover the sizes of the rows of a block, and these sizes."""
    own = count_block(block, start)[2] if size is None else size[start : start + block.shape[0]]
    try:
        own = checked_size(own, None if size is None else own)
    except ParameterError as error:
        error.add_note(f"rows are counted from row {start}")
        raise
    return tables.covering(own), own
