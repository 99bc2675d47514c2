"""Clusters of the neighbours of each cell in a graph, those of a held-out quarter hidden."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.support.faces.folds import QUARTERS, Folds


def neighbor_scores(graph: Blocks, folds: Folds, execution: Execution | None) -> tuple[Array, Array]:
    """Sum the weights of the neighbours of each sampled cell by their cluster, and take their shares.

    graph: n x n weights of links, 0 or more; those of a cell to itself are left out.
    Returns rows x 4 x 2K: sums and shares where the neighbours of each quarter are hidden; and rows x K, the shares of
    all neighbours. Shares are 0 for a cell without neighbours.
    """
    n = len(folds.labels)
    shape = " x ".join(map(str, graph.shape))
    check(graph.shape == (n, n), f"a graph must have {n} x {n} weights, a row for each cell, got {shape}")
    found = list(map_blocks(partial(sum_neighbors, folds=folds), graph, execution, "neighbours"))
    by_quarter = np.concatenate(found).reshape(-1, QUARTERS, folds.n_groups)
    seen = by_quarter.sum(axis=1)
    known = seen[:, None] - by_quarter
    known[known < 1e-9 * (1 + seen[:, None])] = 0  # what a difference leaves of nothing
    return np.concatenate([known, shares(known)], axis=2).astype(np.float32), shares(seen)


def shares(sums: Array) -> Array:
    """Divide by the sum over the last axis; 0 where that is 0."""
    total = sums.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(sums, total, out=np.zeros_like(sums), where=total > 0))


def sum_neighbors(block: Block, start: int, folds: Folds) -> Array:
    """Sum the weights of the neighbours of the sampled cells of a block: rows x (4 K)."""
    _, rows = folds.inside(start, block.shape[0])
    part = block if isinstance(block, SparseRows) else compressed(block)
    part = part.rows(rows)
    row = np.repeat(np.arange(len(rows)), np.diff(part.indptr))
    weights = part.data.astype(np.float64)
    check(bool(np.all((weights >= 0) & np.isfinite(weights))), "a graph must have finite weights of 0 or more")
    label = folds.labels[part.indices]
    kept = (label >= 0) & (part.indices != start + rows[row])
    width = QUARTERS * folds.n_groups
    flat = row * width + folds.quarters[part.indices].astype(np.int64) * folds.n_groups + label
    sums: Array = np.bincount(flat[kept], weights[kept], len(rows) * width).reshape(len(rows), width)
    return sums


def compressed(block: Array) -> SparseRows:
    """Leave out the zeros of dense rows."""
    matrix = sparse.csr_matrix(block)
    return SparseRows(matrix.data, matrix.indices, matrix.indptr.astype(np.int64), block.shape[1])
