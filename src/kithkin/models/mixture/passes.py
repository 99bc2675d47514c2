"""One pass over the rows of a table of counts: shares of the rows in the clusters, and sums for the next M step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.kernels.mixture.sums import add_statistics
from kithkin.models.mixture.layout import Layout, checked_size, count_pieces, counted
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.parameters import Tables, shares
from kithkin.models.table.sums import Share, sum_shares, within_memory


@dataclass(frozen=True)
class Sums:
    """What an M step needs: see `kithkin.kernels.mixture.sums.add_statistics`.

    Attributes
    ----------
    V, H, W
        clusters x genes x nodes, clusters x slots, clusters x nodes.
    weight
        Sum of the shares of all rows in each cluster.
    likelihood, joint
        Sum over the rows of the log-likelihood, and of log p(row, its likeliest cluster).

    Examples
    --------
    >>> one = np.zeros(1)
    >>> Sums(one, one, one, one, -5.0, -6.0).joint
    -6.0
    """

    V: Array
    H: Array
    W: Array
    weight: Array
    likelihood: float
    joint: float


def add_up(
    blocks: Blocks,
    layout: Layout,
    by: Tables | Array,
    n_clusters: int,
    left_out: LeftOut | None = None,
    execution: Execution | None = None,
) -> Sums:
    """Sums of an M step in one pass, in shares of rows that are added in a fixed order.

    Parameters
    ----------
    blocks, layout
        The counts.
    by
        Tables: shares of the rows follow from them. Or labels, n (negative: no cluster); or shares, n x K.
    n_clusters
        How many there are.
    left_out
        With tables: leave each row out of its clusters, and keep its new shares (threads of this process only).
    execution
        Memory and threads.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> sums = add_up(blocks, survey(blocks), np.array([0, 1]), 2)
    >>> sums.V.sum(axis=2).round(9).tolist()
    [[2.0, 0.0], [1.0, 1.0]]
    """
    function = partial(_share_sums, layout=layout, by=by, n_clusters=n_clusters, left_out=left_out)
    limited = within_memory(execution, 8 * n_clusters * (layout.n_genes * len(layout.sum_nodes.x)))
    V, H, W, weight, totals = sum_shares(function, blocks, limited, "mixture")
    return Sums(V, H, W, weight, float(totals[0]), float(totals[1]))


def _share_sums(
    share: Share, _start: int, layout: Layout, by: Tables | Array, n_clusters: int, left_out: LeftOut | None
) -> tuple[Array, ...]:
    nodes, large = layout.sum_nodes, layout.large_nodes
    V = np.zeros((n_clusters, layout.n_genes, len(nodes.x)))
    H, W = np.zeros((n_clusters, int(layout.starts[-1]))), np.zeros((n_clusters, len(nodes.x)))
    weight, totals = np.zeros(n_clusters), np.zeros(2)
    for rows, piece in _pieces(share):
        size = layout.size[rows]
        if isinstance(by, Tables):
            z, likelihood = row_shares(piece, rows, by, left_out)
            totals += likelihood.sum(), (likelihood + np.log(z.max(axis=1))).sum()
        else:
            z = given_shares(by[rows], n_clusters)
        weight += z.sum(axis=0)
        add_statistics(
            *(piece.data, piece.indices, piece.indptr, layout.position, size, layout.starts, layout.cap),
            *(large.x, large.weights, nodes.x, nodes.weights, z, V, H, W),
        )
    return V, H, W, weight, totals


def _pieces(share: Share) -> Iterator[tuple[slice, SparseRows]]:
    for start, block in share:
        for offset, piece in count_pieces(block):
            yield slice(start + offset, start + offset + piece.shape[0]), piece


def row_shares(piece: SparseRows, rows: slice, tables: Tables, left_out: LeftOut | None = None) -> tuple[Array, Array]:
    """Shares of some rows in the clusters, and their log-likelihood.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> X = np.array([[2, 0], [1, 1]])
    >>> from kithkin.models.mixture.parameters import Parameters
    >>> tables = Tables.of(Parameters(np.zeros(1), np.log([[0.5], [0.5]]), np.zeros((2, 1))), survey(InMemory(X)))
    >>> row_shares(next(count_pieces(X))[1], slice(0, 2), tables)[0].tolist()
    [[1.0], [1.0]]
    """
    size = tables.layout.size[rows]
    scores = tables.scores(piece, size)
    if left_out is None:
        return shares(scores, tables.parameters.log_weight)
    left_out.change_scores(piece, rows, size, scores)
    z, likelihood = shares(scores, tables.parameters.log_weight)
    left_out.z[rows] = z
    return z, likelihood


def given_shares(by: Array, n_clusters: int) -> Array:
    """Labels or shares as shares, rows x K.

    Examples
    --------
    >>> given_shares(np.array([1, -1]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    if by.ndim == 2:
        return np.ascontiguousarray(by, dtype=np.float64)
    z = np.zeros((len(by), n_clusters))
    known = np.flatnonzero(by >= 0)
    z[known, by[known]] = 1.0
    return z


def score_block(block: Block, start: int, tables: Tables, size: Array | None) -> tuple[Array, Array]:
    """Probabilities of the clusters and log-likelihood of the rows of a block, whose sizes may be its own totals.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> X = np.array([[2, 0], [1, 1]])
    >>> from kithkin.models.mixture.parameters import Parameters
    >>> tables = Tables.of(Parameters(np.zeros(1), np.log([[0.5], [0.5]]), np.zeros((2, 1))), survey(InMemory(X)))
    >>> score_block(X, 0, tables, None)[0].tolist()
    [[1.0], [1.0]]
    """
    own = counted(block, start)[2] if size is None else size[start : start + block.shape[0]]
    try:
        own = checked_size(own, None if size is None else own)
    except ParameterError as error:
        error.add_note(f"rows are counted from row {start}")
        raise
    tables = tables.covering(own)
    parts = [(np.empty((0, tables.parameters.n_clusters)), np.empty(0))]
    here = replace(tables, layout=replace(tables.layout, size=own))
    for offset, piece in count_pieces(block):
        parts.append(row_shares(piece, slice(offset, offset + piece.shape[0]), here))
    z, likelihood = zip(*parts, strict=True)
    return np.concatenate(z), np.concatenate(likelihood)
