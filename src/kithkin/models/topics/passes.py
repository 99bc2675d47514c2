"""Passes over the rows of counts of a topic model: loadings, sufficient statistics of the factors, and the start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.own_rows import PerRow, RowValues
from kithkin.kernels.topics import add_statistics, update_loadings
from kithkin.models.table.normalize import sparse_pieces
from kithkin.models.table.sums import BlockRun, BlockRuns, within_memory

TINY = 1e-300
SWEEPS, SWEEPS_OF_NEW_ROWS = 2, 200
UNMOVED = 1e-6  # change of a new row's loadings, as a fraction of their sum, at which it is finished
OVERALL = 0.1  # weight of the mean over all topics in the first factors, so that none begins at zero


@dataclass(frozen=True)
class CountSummary:
    """Totals and constants of a table of counts.

    totals: counts of each row, n.
    least: smallest positive count, 1 at most.
    constant: sum of x log x - x.
    """

    totals: Array
    least: float
    constant: float


@dataclass
class FactorStatistics:
    """Sufficient statistics of the factors: sums over the rows, from which they take their step.

    loss: Poisson loss without its constant.
    gradient, curvature: derivatives of each column's loss, p x k and p x k (k + 1) / 2, as
        kernels.topics.add_statistics leaves them.
    """

    loss: float
    gradient: Array
    curvature: Array


def summarize_counts(blocks: Blocks, execution: Execution) -> CountSummary:
    """Summarise counts in one pass, and refuse values that are not counts.

    Raises ParameterError if there are negative numbers, NaN or infinity, or nothing but zeros.
    """
    totals, least, constant = [], 1.0, 0.0
    for sums, smallest, log_sum in map_blocks(summarize_block, blocks, execution, "totals"):
        totals.append(sums)
        least, constant = min(least, smallest), constant + log_sum
    whole = np.concatenate(totals)
    check(bool(np.all(np.isfinite(whole))), "X must hold finite numbers, but some are NaN or infinite")
    check(least > 0, "X must hold counts, but some numbers are negative")
    check(bool(whole.any()), "X holds nothing but zeros")
    return CountSummary(whole, least, constant)


def summarize_block(block: Block, _start: int) -> tuple[Array, float, float]:
    """Sum the rows of a block; return also its smallest value and the constant of the loss."""
    totals, least, constant = np.zeros(block.shape[0]), 1.0, 0.0
    for offset, piece in sparse_pieces(block):
        rows = np.repeat(np.arange(piece.shape[0]), np.diff(piece.indptr))
        totals[offset : offset + piece.shape[0]] = np.bincount(rows, piece.data, minlength=piece.shape[0])
        values = piece.data[piece.data != 0].astype(np.float64)
        if len(values):
            least = min(least, float(values.min()))
            constant += float((values * np.log(np.abs(values)) - values).sum())
    return totals, least, constant


def pass_over_rows(
    blocks: Blocks, loadings: Array, factors: Array, summary: CountSummary, execution: Execution
) -> tuple[Array, FactorStatistics]:
    """Improve the loadings of all rows, and add up the statistics for a step of the factors.

    blocks: counts, n x p.
    loadings, factors: n x k float32 and p x k float64.
    execution: threads are reduced where their sums would exceed the budget.
    Returns the new loadings, and the statistics that belong to them.
    """
    p, k = factors.shape
    sums = FactorStatistics(0.0, np.zeros((p, k)), np.zeros((p, k * (k + 1) // 2)))
    out, start = np.empty_like(loadings), 0
    function = partial(update_run, RowValues(loadings), factors, summary.least)
    limited = within_memory(execution, sums.gradient.nbytes + sums.curvature.nbytes)
    for rows, loss, gradient, curvature in map_blocks(function, BlockRuns(blocks), limited, "topics"):
        out[start : start + len(rows)] = rows
        start += len(rows)
        sums.loss += loss
        sums.gradient += gradient
        sums.curvature += curvature
    sums.loss += float(out.sum(axis=0, dtype=np.float64) @ factors.sum(axis=0))
    return out, sums


def update_run(
    loadings: PerRow, factors: Array, least: float, run: BlockRun, _start: int
) -> tuple[Array, float, Array, Array]:
    """Improve the loadings of a run of blocks, and sum the statistics of the factors."""
    p, k = factors.shape
    column_sums = np.maximum(factors.sum(axis=0), TINY)
    gradient, curvature = np.zeros((p, k)), np.zeros((p, k * (k + 1) // 2))
    loss, parts = 0.0, []
    for first, block in run:
        for offset, piece in sparse_pieces(block):
            begin = first + offset
            rows = loadings[begin : begin + piece.shape[0]].astype(np.float64)
            entries = (piece.data, piece.indices, piece.indptr)
            update_loadings(*entries, factors, column_sums, least, SWEEPS, 0.0, rows)
            parts.append(rows.astype(np.float32))
            # the sums are of the loadings as they are kept
            loss += add_statistics(*entries, factors, parts[-1].astype(np.float64), gradient, curvature)
    return np.concatenate(parts), loss, gradient, curvature


def fit_loadings(blocks: Blocks, loadings: Array, factors: Array, least: float, execution: Execution) -> Array:
    """Fit the loadings of rows to fixed factors until they converge: n x k float32."""
    function = partial(fit_block, RowValues(loadings), factors, least)
    return np.concatenate(list(map_blocks(function, blocks, execution, "topics")))


def fit_block(loadings: PerRow, factors: Array, least: float, block: Block, start: int) -> Array:
    """Fit the loadings of a block to fixed factors."""
    out = loadings[start : start + block.shape[0]].astype(np.float64)
    sums = np.maximum(factors.sum(axis=0), TINY)
    for offset, piece in sparse_pieces(block):
        entries = (piece.data, piece.indices, piece.indptr)
        rows = out[offset : offset + piece.shape[0]]
        update_loadings(*entries, factors, sums, least, SWEEPS_OF_NEW_ROWS, UNMOVED, rows)
    return out.astype(np.float32)


def initial_factors(blocks: Blocks, weights: Array, execution: Execution) -> Array:
    """Start the factors from the mean proportions of the genes in the cells of each topic, mixed with those of all.

    blocks: counts, n x p.
    weights: weights of the topics in each row, n x k.
    Returns p x k float64, columns sum to one.
    """
    sums = np.zeros((blocks.shape[1], weights.shape[1]))
    for part in map_blocks(partial(weighted_sums, RowValues(weights)), blocks, execution, "topics"):
        sums += part
    sums /= np.maximum(sums.sum(axis=0), TINY)
    factors: Array = (1 - OVERALL) * sums + OVERALL * sums.mean(axis=1, keepdims=True)
    return factors


def weighted_sums(weights: PerRow, block: Block, start: int) -> Array:
    """Sum the counts of each gene, weighted by topic."""
    own = weights[start : start + block.shape[0]]
    out = np.zeros((block.shape[1], own.shape[1]))
    for offset, piece in sparse_pieces(block):
        out += piece.to_scipy().T @ own[offset : offset + piece.shape[0]]
    return out


def to_proportions(loadings: Array) -> Array:
    """Divide rows by their sums, float32; NaN where a row has no sum.

    >>> to_proportions(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [nan, nan]]
    """
    sums = loadings.sum(axis=1, keepdims=True, dtype=np.float64)
    out = np.full(loadings.shape, np.nan)
    np.divide(loadings, sums, out=out, where=sums > 0)
    return out.astype(np.float32)
