"""Genes that differ between the two sides of a split, where the other half of each cell's genes called the side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse, special

from kithkin.core.blocks import Array, Blocks
from kithkin.core.execute import Execution
from kithkin.kernels.side_sums import add_sides
from kithkin.models.support.agreement import Halves
from kithkin.models.support.calls import Drawn
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory

FEWEST = 20.0  # counts of a gene on both sides together, below which it is not tested


@dataclass(frozen=True)
class Sums:
    """Sums over cells on the two sides of splits, and what is needed for the noise of these sums.

    counts, pairs: m x 2 x q: sums of counts x, and of x (x - 1).
    depth, squares: m x 2 x q: sums of the depths of the cells in the gene's half, and of their squares.
    cells: m.
    """

    counts: Array
    pairs: Array
    depth: Array
    squares: Array
    cells: Array


def likelihood_ratio_tests(sums: Sums) -> tuple[Array, Array]:
    r"""Test each gene by the likelihood ratio of negative binomials with depth as offset.

    The count of a cell of depth s has mean :math:`\mu s` and variance :math:`\mu s + \phi \mu^2 s^2`. The sum over the
    cells of a side is taken as negative binomial with the same mean :math:`\mu S` and variance, so with size
    :math:`S^2 / (\phi \sum s^2)`; of Poisson counts (:math:`\phi = 0`) that is exact. The dispersion comes from the
    moments around the means of the two sides. Square roots of the ratio are held against Student's t.

    Returns m x q: p (NaN: too few counts), and log2 of the left mean over the right one, with half a count added.

    >>> counts = np.array([[[100.0, 400.0], [100.0, 100.0]]])
    >>> depth = np.full((1, 2, 2), 1e4)
    >>> p, change = likelihood_ratio_tests(Sums(counts, np.zeros((1, 2, 2)), depth, depth * 100, np.array([200])))
    >>> p.round(3).tolist(), change.round(1).tolist()
    ([[1.0, 0.0]], [[0.0, 2.0]])
    """
    x, s, q = sums.counts, np.maximum(sums.depth, 1e-300), sums.squares
    expected = ((x / s) ** 2 * q).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        phi = np.maximum(np.nan_to_num(sums.pairs.sum(axis=1) / expected) - 1, 0.0)
    b = phi[:, None] * q / s  # mean over size, for a rate of 1
    # score equation of the common rate: a quadratic, of which one root is positive
    square = s[:, 0] * b[:, 1] + s[:, 1] * b[:, 0]
    linear = s.sum(axis=1) - x[:, 0] * b[:, 1] - x[:, 1] * b[:, 0]
    total = x.sum(axis=1)
    root = np.sqrt(linear**2 + 4 * square * total)
    rate = np.where(linear > 0, 2 * total / np.maximum(linear + root, 1e-300), (root - linear) / (2 * square + 1e-300))
    ratio = np.zeros(total.shape)
    for side in range(2):
        size = s[:, side] / np.maximum(b[:, side], 1e-12)
        best, common = x[:, side], rate * s[:, side]
        ratio += special.xlogy(best, best / np.maximum(common, 1e-300))
        ratio -= (best + size) * np.log1p((best - common) / (common + size))
    freedom = np.maximum(sums.cells - 2, 1)[:, None]
    p = 2 * special.stdtr(freedom, -np.sqrt(2 * np.maximum(ratio, 0)))
    change = np.log2((x[:, 0] + 0.5) / s[:, 0]) - np.log2((x[:, 1] + 0.5) / s[:, 1])
    tested = (total >= FEWEST) & (sums.depth > 0).all(axis=1) & (sums.cells > 2)[:, None]
    return np.where(tested, p, np.nan), change


@dataclass(frozen=True)
class Taken:
    """Splits that each sampled row takes part in, and its sides there.

    starts: r + 1: the splits of each row are splits[starts[row] : starts[row + 1]].
    splits: numbers of splits.
    sides: as many x 2 int8: 0 (left) or 1, for columns of the first and of the second half.
    """

    starts: Array
    splits: Array
    sides: Array


def side_sums(blocks: Blocks, drawn: Drawn, place: Array, scored: Halves, inside: Array, execution: Execution) -> Sums:
    """Sum the counts of both sides of each split, as the other half of the genes calls them.

    place: place of each column among those tested, or -1. inside: r x m bool: sampled rows that take part in a split.
    """
    m, genes = inside.shape[1], np.flatnonzero(place >= 0)
    member = sparse.csr_matrix(inside)
    row = np.repeat(np.arange(len(inside)), np.diff(member.indptr))
    called = (scored.scores[row, :, member.indices] <= 0).astype(np.int8)
    # columns of a half have the side that the other half calls
    taken = Taken(member.indptr.astype(np.int64), member.indices.astype(np.int64), called[:, ::-1].copy())
    shape = (m, 2, len(genes))
    work = partial(sum_sides, drawn=drawn, place=place, taken=taken, shape=shape)
    counts, pairs = reduce_blocks(work, blocks, within_memory(execution, 2 * 8 * int(np.prod(shape))), "support: genes")
    depth, squares = np.zeros(shape), np.zeros(shape)
    for half in range(2):
        depths = scored.depths[row, half]
        number = 2 * taken.splits + taken.sides[:, half]
        columns = drawn.halves[genes] == half
        for power, out in ((1, depth), (2, squares)):
            found = np.bincount(number, depths**power, 2 * m).reshape(m, 2)
            out[:, :, columns] = found[:, :, None]
    return Sums(counts, pairs, depth, squares, inside.sum(axis=0))


def sum_sides(
    run: BlockRun, first: int, drawn: Drawn, place: Array, taken: Taken, shape: tuple[int, int, int]
) -> tuple[Array, Array]:
    """Sum the sampled rows of a run of blocks by split, side and column."""
    sums, pairs = np.zeros(shape), np.zeros(shape)
    before = int(np.count_nonzero(drawn.chosen[:first]))
    for start, block in run:
        part, rows = drawn.rows(block, start)
        starts = taken.starts[before : before + len(rows) + 1]
        add_sides(
            part.data, part.indices, part.indptr, place, drawn.halves, starts, taken.splits, taken.sides, sums, pairs
        )
        before += len(rows)
    return sums, pairs
