"""Profiles of groups that cells call without the user's labels, and scores of the two halves of each cell by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Block, Blocks, InMemory, SparseRows
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.half_scores import add_called, score_halves
from kithkin.models.table.normalize import check_counts
from kithkin.models.table.sums import BlockRun

PRIOR = 2.0  # counts of a gene in a group by which its share is drawn towards that of all groups
SHARE, HELD_BLOCKS = 1 / 8, 16  # of the budget that a held sample may take, and blocks of it
QUARTERS = 4  # of the rows: two make a fold, and each learns from the other of its fold


@dataclass(frozen=True)
class Drawn:
    """Random divisions of the rows and the columns.

    chosen: n bool: rows of the sample. quarters: n int64, 0..3. halves: p int8, 0, 1 or -1 for neither.
    """

    chosen: Array
    quarters: Array
    halves: Array

    def rows(self, block: Block, start: int) -> tuple[SparseRows, Array]:
        """Take the sampled rows of a block, and their numbers in the table.

        Raises ParameterError if they do not hold counts.
        """
        rows = np.flatnonzero(self.chosen[start : start + block.shape[0]])
        if isinstance(block, SparseRows):
            part = block if len(rows) == block.shape[0] else block.rows(rows)
        else:
            matrix = sparse.csr_matrix(block[rows])
            part = SparseRows(matrix.data, matrix.indices, matrix.indptr.astype(np.int64), block.shape[1])
        check_counts(part, "support", integers=True)
        return part, start + rows


@dataclass(frozen=True)
class Profiles:
    """Weights by which the rows of a fold are scored, learnt from the rows of the other.

    weights: 2 x p x (k + m) float32: log share in each group, and log share on the left of each split less the right.
    group_prior, side_prior: 2 x k and 2 x m: logarithms of sizes and of their ratios.
    largest: m x 2: the largest group on each side.
    """

    weights: Array
    group_prior: Array
    side_prior: Array
    largest: Array


def gathered(blocks: Blocks, drawn: Drawn, execution: Execution) -> tuple[Blocks, Drawn]:
    """Hold the sampled rows in memory where they take little of the budget; else return what was given."""
    parts: list[SparseRows] = []
    rows = size = 0
    for part, numbers in map_blocks(drawn.rows, blocks, execution, "support: sample"):
        rows += len(numbers)
        size += part.data.nbytes + part.indices.nbytes
        if size > execution.memory * SHARE:
            return blocks, drawn
        parts.append(part)
    part = SparseRows.stack(parts)
    held = InMemory(part.to_scipy(), max(1, -(-rows // HELD_BLOCKS)))
    return held, Drawn(np.ones(rows, bool), drawn.quarters[drawn.chosen], drawn.halves)


def log_shares(sums: Array, halves: Array) -> Array:
    """Return log shares of the columns within each half, drawn towards those of all groups; k x p, 0 for neither."""
    out = np.zeros(sums.shape)
    pooled = sums.sum(axis=0)
    for half in range(2):
        columns = halves == half
        base = np.maximum(pooled[columns], 0.5)
        base /= base.sum()
        part = sums[:, columns]
        shares = (part + PRIOR) / (part.sum(axis=1, keepdims=True) + PRIOR / base)
        out[:, columns] = np.log(shares / shares.sum(axis=1, keepdims=True))
    return out


def sum_labels(run: BlockRun, _first: int, drawn: Drawn, codes: Array, k: int) -> tuple[Array, Array]:
    """Sum the sampled rows of each quarter and given group: (4 k) x p, and the number of rows."""
    sums, sizes = np.zeros((QUARTERS * k, len(drawn.halves))), np.zeros(QUARTERS * k)
    for start, block in run:
        part, rows = drawn.rows(block, start)
        group = drawn.quarters[rows] * k + codes[rows]
        add_called(part.data, part.indices, part.indptr, drawn.halves, np.stack([group, group], axis=1), sums)
        sizes += np.bincount(group, minlength=len(sizes))
    return sums, sizes


def quarter_weights(sums: Array, sizes: Array, halves: Array) -> tuple[Array, Array]:
    """Return for each quarter the log shares (4 x p x k float32) and log sizes that its partner taught."""
    k = len(sums) // QUARTERS
    partners = [1, 0, 3, 2]
    tables = [log_shares(sums[q * k : (q + 1) * k], halves).T for q in partners]
    return np.stack(tables).astype(np.float32), np.log(sizes.reshape(QUARTERS, k)[partners] + 0.5)


def sum_calls(run: BlockRun, _first: int, drawn: Drawn, weights: Array, prior: Array) -> tuple[Array, Array]:
    """Sum the columns of each half over the rows that the other half calls into a group.

    weights, prior: as of `quarter_weights`. Returns (4 k) x p sums, and the mean of the numbers of rows.
    """
    k = weights.shape[2]
    sums, sizes = np.zeros((QUARTERS * k, len(drawn.halves))), np.zeros(QUARTERS * k)
    for start, block in run:
        part, rows = drawn.rows(block, start)
        quarter = drawn.quarters[rows]
        scores, depths = np.zeros((len(rows), 2, k), np.float32), np.zeros((len(rows), 2))
        score_halves(part.data, part.indices, part.indptr, drawn.halves, quarter, weights, scores, depths)
        calls = (scores + prior[quarter, None]).argmax(axis=2) + quarter[:, None] * k
        add_called(part.data, part.indices, part.indptr, drawn.halves, calls[:, ::-1].copy(), sums)
        sizes += np.bincount(calls.ravel(), minlength=len(sizes)) / 2
    return sums, sizes


def learn(sums: Array, sizes: Array, members: Array, halves: Array) -> Profiles:
    """Learn the profiles of groups and of the two sides of splits, for each fold from the other.

    sums, sizes: as of `sum_calls`. members: m x 2 x k bool: the groups on each side of a split.
    """
    k, m = members.shape[2], len(members)
    by_fold, n = sums.reshape(2, 2, k, -1).sum(axis=1), sizes.reshape(2, 2, k).sum(axis=1)
    weights, side_prior = np.zeros((2, sums.shape[1], k + m), np.float32), np.zeros((2, m))
    for fold in range(2):
        other, sizes_there = by_fold[1 - fold], n[1 - fold]
        weights[fold, :, :k] = log_shares(other, halves).T
        for split, (left, right) in enumerate(members):
            shares = log_shares(np.stack([other[left].sum(axis=0), other[right].sum(axis=0)]), halves)
            weights[fold, :, k + split] = shares[0] - shares[1]
            side_prior[fold, split] = np.log((sizes_there[left].sum() + 0.5) / (sizes_there[right].sum() + 0.5))
    total = n.sum(axis=0)
    largest = np.array([[np.where(side, total, -1).argmax() for side in sides] for sides in members], np.int64)
    return Profiles(weights, np.log(n[::-1] + 0.5), side_prior, largest.reshape(m, 2))


def score_block(block: Block, start: int, drawn: Drawn, profiles: Profiles) -> tuple[Array, Array, Array, Array]:
    """Score the sampled rows of a block by each of their halves.

    Returns r x 2 float64 depths of the halves; r x 2 int32 groups that each half calls; r x 2 x m float32 scores of
    each half for every split: the log likelihood ratio of its two sides, without their sizes; and
    r x 2 x m, that of the largest groups on the two sides.
    """
    part, rows = drawn.rows(block, start)
    fold, k = drawn.quarters[rows] // 2, profiles.group_prior.shape[1]
    scores = np.zeros((len(rows), 2, profiles.weights.shape[2]), np.float32)
    depths = np.zeros((len(rows), 2))
    score_halves(part.data, part.indices, part.indptr, drawn.halves, fold, profiles.weights, scores, depths)
    calls = (scores[:, :, :k] + profiles.group_prior[fold, None]).argmax(axis=2).astype(np.int32)
    first, second = profiles.largest.T
    return depths, calls, scores[:, :, k:].copy(), scores[:, :, first] - scores[:, :, second]
