"""Linear discriminants of a table of columns, learnt from pairs of quarters of the cells and scored on the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.group_sums import add_groups
from kithkin.models.support.faces.folds import PAIRS, QUARTERS, Folds
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.columns import column_squares, times
from kithkin.models.table.normalize import Normalized, Part, Stored
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory

MOST_FULL = 640  # columns up to which the covariance within clusters is kept
FEW = 24  # columns up to which they are taken as they are
LIMIT = 5.0  # standard deviations at which the values of a dense table are clipped
PRIOR = 0.5  # counts of a gene of mean share that are added to those of a cluster
DOUBT = 2.0  # squared standard errors of a difference by which it is shrunken


@dataclass(frozen=True)
class Columns:
    """Table of columns with the rows that take part, as sums and scores read it.

    source: normalised blocks. mean, scale: standardisation of a table that is read densely; None: values as they are.
    """

    source: Normalized
    folds: Folds
    mean: Array | None = None
    scale: Array | None = None

    def parts(self, block: Block, start: int) -> list[tuple[int, Part]]:
        """Read the sampled rows of a block: the position of the first among the sample, and values."""
        first, rows = self.folds.inside(start, block.shape[0])
        if not len(rows):
            return []
        if len(rows) == block.shape[0]:
            return [(first + begin - start, self._scaled(part)) for begin, part in self.source.parts(block, start)]
        # rows are chosen after normalisation, which knows the totals of all
        out = []
        for begin, part in self.source.parts(block, start):
            size = len(part.starts) - 1 if isinstance(part, Stored) else len(part)
            a, b = np.searchsorted(rows + start, (begin, begin + size))
            if a < b:
                out.append((first + int(a), self._scaled(taken(part, rows[a:b] + start - begin))))
        return out

    def _scaled(self, part: Part) -> Part:
        if self.mean is None or self.scale is None:
            return part
        values = part.to_dense() if isinstance(part, Stored) else part
        values = (values - self.mean) * self.scale
        np.copyto(values, 0.0, where=np.isnan(values))
        return np.clip(values, -LIMIT, LIMIT, out=values)


def taken(part: Part, rows: Array) -> Part:
    """Take some rows of a part."""
    if not isinstance(part, Stored):
        return part[rows]
    lengths = np.diff(part.starts)[rows]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    places = np.repeat(part.starts[:-1][rows] - starts[:-1], lengths) + np.arange(starts[-1])
    return Stored(part.values[places], part.places[places], starts, part.n_columns)


def moments(columns: Columns, execution: Execution | None) -> tuple[Array, Array]:
    """Return mean and 1 / standard deviation of each column over the sample, without what is missing (NaN)."""
    first = partial(run_moments, columns, np.zeros(columns.source.shape[1]))
    counts, sums, _ = reduce_blocks(first, columns.source.blocks, execution, "columns")
    check(bool(np.isfinite(sums).all()), "X must hold finite numbers, but some are infinite")
    mean = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    found = reduce_blocks(partial(run_moments, columns, mean), columns.source.blocks, execution, "columns")
    variance = found[2] / np.maximum(found[0], 1)
    varies = variance > 1e-14 * np.maximum(mean**2, 1e-300)
    return mean, np.divide(1.0, np.sqrt(variance), out=np.zeros(len(mean)), where=varies)


def run_moments(columns: Columns, mean: Array, run: BlockRun, _start: int) -> tuple[Array, Array, Array]:
    """Count and sum the values of each column, and the squares of their differences from the mean, over a run."""
    counts, sums, squares = np.zeros((3, len(mean)))
    for start, block in run:
        for _, part in columns.parts(block, start):
            values = part.to_dense() if isinstance(part, Stored) else part
            known = ~np.isnan(values)
            values = np.where(known, values, 0.0)
            counts += known.sum(axis=0)
            with np.errstate(over="ignore", invalid="ignore"):  # what is infinite is refused by who asked
                sums += values.sum(axis=0)
                squares += (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
    return counts, sums, squares


@dataclass(frozen=True)
class Sums:
    """Sums of the sample by quarter: of each cluster, 4 x K x p; of squares, 4 x p, or products, 4 x p x p.

    sizes: cells, 4 x K.
    """

    sizes: Array
    sums: Array
    squares: Array

    @classmethod
    def of(cls, columns: Columns, full: bool, execution: Execution | None) -> Sums:
        """Sum in one pass."""
        p, k = columns.source.shape[1], columns.folds.n_groups
        size = 8 * QUARTERS * p * (k + (p if full else 1))
        work = partial(run_sums, columns, full)
        sums, squares = reduce_blocks(work, columns.source.blocks, within_memory(execution, size), "clusters")
        folds = columns.folds
        sizes = np.bincount(folds.own * k + folds.codes, minlength=QUARTERS * k).reshape(QUARTERS, k).astype(float)
        return cls(sizes, sums.reshape(QUARTERS, k, p), squares)

    def weights(self, quarters: tuple[int, ...]) -> Array:
        """Return the discriminants that some quarters teach, p x K."""
        chosen = list(quarters)
        sizes, sums = self.sizes[chosen].sum(axis=0), self.sums[chosen].sum(axis=0)
        n, there = sizes.sum(), sizes > 0
        means = sums / np.maximum(sizes, 1)[:, None]
        middle = means[there].mean(axis=0)
        away = np.where(there[:, None], means - middle, 0.0)
        degrees = max(1.0, n - there.sum())
        if self.squares.ndim == 2:
            within = np.maximum(self.squares[chosen].sum(axis=0) - (sizes[:, None] * means**2).sum(axis=0), 0) / degrees
            error = within * (1 / np.maximum(sizes, 1))[:, None]
            away = shrunken(away, error)
            typical = np.median(within[within > 0]) if np.any(within > 0) else 1.0
            return np.asarray((away / (within + 0.01 * typical)).T)
        within = (self.squares[chosen].sum(axis=0) - (means * sizes[:, None]).T @ means) / degrees
        variance = np.maximum(np.diag(within), 0)
        within *= n / (len(variance) + n)
        within[np.diag_indices(len(variance))] = np.where(variance > 1e-10, variance, 1.0) * (1 + 1e-9)
        solved: Array = np.linalg.solve(within, away.T)
        return solved

    def log_shares(self, quarters: tuple[int, ...], power: Array) -> Array:
        """Return by how much the logarithm of the share of each column in each cluster is above the usual, p x K.

        For raw counts. power: sums of the squared totals of the cells, 4 x K. Divided by variance over mean, as in a
        quasi-likelihood, and shrunken by the standard error.
        """
        chosen = list(quarters)
        sums, there = self.sums[chosen].sum(axis=0), self.sizes[chosen].sum(axis=0) > 0
        totals = np.maximum(sums.sum(axis=1, keepdims=True), 1)
        base = (sums / totals)[there].mean(axis=0)
        share = (sums + PRIOR * base * len(base)) / (totals + PRIOR * len(base))
        counts = sums.sum(axis=0)
        expected = (share**2 * power[chosen].sum(axis=0)[:, None]).sum(axis=0)
        excess = np.divide(
            self.squares[chosen].sum(axis=0) - expected, counts, out=np.ones_like(counts), where=counts > 0
        )
        excess = np.maximum(excess, 1.0)
        seen = base > 0
        away = np.zeros_like(share)
        away[:, seen] = np.log(share[:, seen] / base[seen])
        away[~there] = 0
        error = excess / np.maximum(totals * np.maximum(share, base), 1e-300)
        return np.asarray((shrunken(away, error) / excess).T)

    def effects(self) -> tuple[Array, Array, Array]:
        """Return for each cluster the difference from the rest in standard deviations, and the means, K x p each.

        Two standard errors are taken off the difference, so that what is rare does not lead by chance.
        """
        sizes, sums = self.sizes.sum(axis=0)[:, None], self.sums.sum(axis=0)
        squares = self.squares if self.squares.ndim == 2 else np.diagonal(self.squares, axis1=1, axis2=2)
        n, rest = sizes.sum(), sizes.sum() - sizes
        inside, outside = sums / np.maximum(sizes, 1), (sums.sum(axis=0) - sums) / np.maximum(rest, 1)
        within = np.maximum(squares.sum(axis=0) - (sizes * inside**2).sum(axis=0), 0) / max(1.0, n - len(sizes))
        total = np.maximum(squares.sum(axis=0) / n - (sums.sum(axis=0) / n) ** 2, 0)
        spread = np.sqrt(np.maximum(within, 0.01 * total))
        error = 2 * np.sqrt(total * (1 / np.maximum(sizes, 1) + 1 / np.maximum(rest, 1)))
        gap = inside - outside
        sure = np.sign(gap) * np.maximum(np.abs(gap) - error, 0)
        return np.divide(sure, spread, out=np.zeros_like(gap), where=spread > 0), inside, outside


def shrunken(differences: Array, error: Array) -> Array:
    """Shrink differences d with squared standard errors e^2 to d max(0, 1 - 2 e^2 / d^2).

    >>> shrunken(np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])).tolist()
    [1.0, 0.0, 0.0]
    """
    kept = np.divide(DOUBT * error, differences**2, out=np.ones_like(differences), where=differences != 0)
    out: Array = differences * np.maximum(0.0, 1 - kept)
    return out


def run_sums(columns: Columns, full: bool, run: BlockRun, _start: int) -> tuple[Array, Array]:
    """Sum the clusters of each quarter, and squares or products, over a run of blocks."""
    folds, p = columns.folds, columns.source.shape[1]
    group = folds.own.astype(np.int64) * folds.n_groups + folds.codes
    sums = np.zeros((QUARTERS * folds.n_groups, p))
    squares = np.zeros((QUARTERS, p, p) if full else (QUARTERS, p))
    with single_threaded():
        for start, block in run:
            for first, part in columns.parts(block, start):
                add_part(part, group[first:], folds.n_groups, sums, squares)
    return sums, squares


def add_part(part: Part, group: Array, n_groups: int, sums: Array, squares: Array) -> None:
    """Add some rows of given groups, quarter * K + cluster, to the sums and to squares or products."""
    if isinstance(part, Stored) and squares.ndim == 2:
        here = group[: len(part.starts) - 1]
        add_groups(part.values, part.places, part.starts, here, here // n_groups, sums, squares)
        return
    values = part.to_dense() if isinstance(part, Stored) else part
    here = group[: len(values)]
    member = (here == np.arange(len(sums))[:, None]).astype(float)
    sums += member @ values
    for quarter in range(QUARTERS):
        rows = values[here // n_groups == quarter]
        squares[quarter] += rows.T @ rows if squares.ndim > 2 else column_squares(rows)


def scores(columns: Columns, tables: list[Array], execution: Execution | None) -> Array:
    """Score the sampled cells by the discriminants of each pair of quarters: rows x pairs x K, float32."""
    vectors = np.ascontiguousarray(np.concatenate(tables, axis=1))
    rows, k = len(columns.folds.rows), tables[0].shape[1]
    out = np.empty((rows, len(tables), k), np.float32)
    work = partial(score_block, columns, vectors)
    for some in map_blocks(work, columns.source.blocks, execution, "scores"):
        for first, part in some:
            out[first : first + len(part)] = part.reshape(len(part), len(tables), k)
    return out


def score_block(columns: Columns, vectors: Array, block: Block, start: int) -> list[tuple[int, Array]]:
    """Score the sampled cells of a block."""
    with single_threaded():
        return [(first, times(part, vectors).astype(np.float32)) for first, part in columns.parts(block, start)]


def slots(by_pair: Array, own: Array) -> Array:
    """Arrange scores by rotation: of a cell, those of the pair that leaves out its quarter and the one that is tested.

    by_pair: rows x pairs x K. own: quarter of each row. Returns rows x 4 x K; where the cell itself is tested, the mean
    of the three pairs that it is not in.
    """
    out = np.empty((len(own), QUARTERS, by_pair.shape[2]), np.float32)
    for quarter in range(QUARTERS):
        mine = own == quarter
        without = [number for number, pair in enumerate(PAIRS) if quarter not in pair]
        out[mine, quarter] = by_pair[mine][:, without].mean(axis=1)
        for number in without:
            (tested,) = set(range(QUARTERS)) - {quarter, *PAIRS[number]}
            out[mine, tested] = by_pair[mine, number]
    return out


def table_scores(
    blocks: Blocks, normalize: str | None, totals: Array | None, folds: Folds, execution: Execution | None
) -> tuple[Array, Sums, tuple[Array, Array] | None]:
    """Score the sampled cells of a table, rows x 4 x d; and its sums, with mean and scale if it was standardised."""
    source = Normalized(blocks, normalize, totals=totals)
    columns, p = Columns(source, folds), blocks.shape[1]
    full = p <= MOST_FULL
    scaled = None
    if full or not blocks.is_sparse:
        scaled = moments(columns, execution)
        columns = Columns(source, folds, *scaled)
    found = Sums.of(columns, full, execution)
    if p <= FEW:
        direct = scores(columns, [np.eye(p)], execution)
        return np.repeat(direct, QUARTERS, axis=1), found, scaled
    by_pair = scores(columns, [found.weights(pair) for pair in PAIRS], execution)
    return slots(by_pair, folds.own), found, scaled


def count_scores(blocks: Blocks, totals: Array, folds: Folds, execution: Execution | None) -> Array:
    """Score the sampled cells by the logarithms of the shares of their counts in each cluster, rows x 4 x K."""
    columns = Columns(Normalized(blocks), folds)
    found = Sums.of(columns, False, execution)
    group = folds.own.astype(np.int64) * folds.n_groups + folds.codes
    power = np.bincount(group, totals[folds.rows] ** 2, QUARTERS * folds.n_groups).reshape(QUARTERS, -1)
    by_pair = scores(columns, [found.log_shares(pair, power) for pair in PAIRS], execution)
    return slots(by_pair, folds.own)
