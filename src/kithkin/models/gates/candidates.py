"""Candidates for the conditions of rules: columns that tell clusters apart, and thresholds between the clusters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.gates.card import COUNTS
from kithkin.models.table.normalize import Normalized, Stored
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory

FROM_REST, FROM_ONE, NEAREST = 12, 4, 8  # columns taken against the rest, and against each of so many like clusters
MOST_COLUMNS, MOST_CONDITIONS = 300, 1000
STEPS, MOST_STEPS = 5, 16  # thresholds of a column: of counts, and at most of values
SURE = 2.0  # standard errors that a difference must exceed
FLOOR = 0.05  # part of the variance of a column below which the variance within clusters does not count
FOLD = 2.0  # times that a mean count must differ between two clusters for the column to speak for or against one
LEAST_LEVEL = 0.05  # mean count per 10,000 below which means are alike
RARE = 0.003  # a condition that so few rows meet, or do not meet, tells nothing


@dataclass(frozen=True)
class Moments:
    """Numbers of rows with a value, means and variances of each column in each cluster, K x p.

    levels: means of the values before the logarithm; the means where there is none.
    """

    sizes: Array
    means: Array
    variances: Array
    levels: Array


@dataclass(frozen=True)
class Candidates:
    """Conditions that rules may hold, of a table of some columns.

    columns: positions of the columns in the table of all, ascending.
    column: column of each condition, a position in `columns`.
    thresholds: one of each condition.
    above, below: K x conditions, whether a rule may ask for values above the threshold, and for others.
    """

    columns: Array
    column: Array
    thresholds: Array
    above: Array
    below: Array

    def met(self, values: Array) -> Array:
        """Tell which rows are above each threshold, rows x conditions float32; missing values are as the median."""
        absent = np.isnan(values)
        if absent.any():
            middle = np.array([np.median(one[~np.isnan(one)]) if not np.isnan(one).all() else 0.0 for one in values.T])
            values = np.where(absent, middle, values)
        out = np.empty((len(values), len(self.column)), np.float32)
        for place, (column, threshold) in enumerate(zip(self.column, self.thresholds, strict=True)):
            out[:, place] = values[:, column] > threshold
        return out

    def kept(self, which: Array) -> Candidates:
        """Keep some of the conditions."""
        above, below = self.above[:, which], self.below[:, which]
        return Candidates(self.columns, self.column[which], self.thresholds[which], above, below)


def moments_of(source: Normalized, codes: Array, k: int, execution: Execution) -> Moments:
    """Measure the columns of a table in each cluster in one pass; rows with a negative code are left out."""
    shape = (k, source.shape[1])
    work = partial(sum_moments, source=source, codes=codes, shape=shape)
    narrow = within_memory(execution, 4 * 8 * k * shape[1])
    sums, squares, levels, missing = reduce_blocks(work, source.blocks, narrow, "card: means")
    sizes = np.bincount(codes[codes >= 0], minlength=k)[:, None] - missing
    n = np.maximum(sizes, 1)
    means = sums / n
    return Moments(sizes, means, np.maximum(squares / n - means**2, 0), levels / n)


def sum_moments(
    run: BlockRun, _start: int, source: Normalized, codes: Array, shape: tuple[int, int]
) -> tuple[Array, ...]:
    """Sum values, squares, and values before the logarithm, in each cluster, and count the missing ones."""
    k, width = shape
    sums, squares, levels, missing = (np.zeros(shape) for _ in range(4))
    logarithms = source.normalize == "log1p"
    for first, part in (one for start, block in run for one in source.parts(block, start)):
        if isinstance(part, Stored):
            group = np.repeat(codes[first : first + len(part.starts) - 1], np.diff(part.starts))
            kept = group >= 0
            flat, values = group[kept].astype(np.int64) * width + part.places[kept], part.values[kept]
            plain = np.expm1(values) if logarithms else values
            for table, weights in ((sums, values), (squares, values**2), (levels, plain)):
                np.add(table, np.bincount(flat, weights, k * width).reshape(shape), out=table)
            continue
        own = codes[first : first + len(part)]
        for cluster in range(k):
            rows = part[own == cluster]
            absent = np.isnan(rows)
            rows = np.where(absent, 0, rows)
            missing[cluster] += absent.sum(axis=0)
            sums[cluster] += rows.sum(axis=0)
            squares[cluster] += (rows**2).sum(axis=0)
            levels[cluster] += (np.expm1(rows) if logarithms else rows).sum(axis=0)
    return sums, squares, levels, missing


def choose_columns(found: Moments) -> Array:
    """Choose the columns that tell each cluster best from the rest and from each like cluster, ascending positions.

    By the difference of the means, less two standard errors, in standard deviations within the clusters.
    """
    k, p = found.means.shape
    n = found.sizes.sum(axis=0)
    share = found.sizes / np.maximum(n, 1)
    mean = (share * found.means).sum(axis=0)
    square = (share * (found.variances + found.means**2)).sum(axis=0)
    whole = np.maximum(square - mean**2, 0)
    scaled = found.means / np.sqrt(np.where(whole > 0, whole, np.inf))
    first = np.full(p, np.iinfo(np.int64).max)  # best place of each column in any list
    for one in range(k):
        rest = np.maximum(n - found.sizes[one], 1)
        outside = (n * mean - found.sizes[one] * found.means[one]) / rest
        beyond = (n * square - found.sizes[one] * (found.variances[one] + found.means[one] ** 2)) / rest - outside**2
        lists = [(_separation(found, one, outside, np.maximum(beyond, 0), rest, whole), FROM_REST)]
        distances = np.round(((scaled - scaled[one]) ** 2).sum(axis=1), 9)
        like = [int(other) for other in np.argsort(distances, kind="stable") if other != one][:NEAREST]
        for other in like if k > 2 else []:
            values = found.means[other], found.variances[other], found.sizes[other]
            lists.append((_separation(found, one, *values, whole), FROM_ONE))
        for separation, most in lists:
            order = np.argsort(-separation, kind="stable")[:most]
            order = order[separation[order] > 0]
            first[order] = np.minimum(first[order], np.arange(len(order)))
    known = np.flatnonzero(first < p)
    chosen: Array = np.sort(known[np.argsort(first[known], kind="stable")[:MOST_COLUMNS]])
    return chosen


def _separation(found: Moments, one: int, mean: Array, variance: Array, size: Array, whole: Array) -> Array:
    """Compare a cluster with other rows of such means, variances and numbers, p; rounded, so that sums may differ."""
    spread = np.sqrt(np.maximum(0.5 * (found.variances[one] + variance), FLOOR * whole))
    error = np.sqrt(whole * (1 / np.maximum(found.sizes[one], 1) + 1 / np.maximum(size, 1)))
    sure = np.maximum(np.abs(found.means[one] - mean) - SURE * error, 0)
    d = np.divide(sure, spread, out=np.zeros_like(sure), where=spread > 0)
    rounded: Array = np.round(d, 6)
    return rounded


def candidates_of(found: Moments, columns: Array, values: Array, unit: str) -> Candidates:
    """Set thresholds for the chosen columns, by their means in the clusters if they hold counts, else by their values.

    Of counts, thresholds lie between the mean counts per 10,000 of clusters, which do not depend on how deeply cells
    are sequenced; the values of single cells do, as one count of a shallow cell is many in 10,000.
    values: rows of a sample x columns.
    """
    levels, most = found.levels[:, columns], max(1, min(MOST_STEPS, MOST_CONDITIONS // max(1, len(columns))))
    lists = [
        between_levels(levels[:, place]) if unit == COUNTS else between_values(values[:, place], most)
        for place in range(len(columns))
    ]
    column = np.repeat(np.arange(len(columns)), [len(one) for one in lists])
    thresholds = np.array([value for one in lists for value in one])
    if unit == COUNTS:
        raised = np.maximum(levels, 0) + LEAST_LEVEL
        above, below = raised >= FOLD * raised.min(axis=0), raised.max(axis=0) >= FOLD * raised
    else:
        above = below = np.ones(levels.shape, bool)
    return Candidates(columns, column, thresholds, above[:, column], below[:, column])


def between_levels(levels: Array) -> list[float]:
    """Set thresholds at equal ratios between the lowest and the highest mean count per 10,000, as their logarithms.

    >>> between_levels(np.array([0.0, 8.0])), between_levels(np.array([10.0, 20.0]))
    ([0.1, 0.3, 0.7, 1.4], [2.7])
    """
    low = max(float(levels.min()), 0.02)
    high = max(float(levels.max()), 1.01 * low)
    if high < STEPS * low:
        inner = np.array([(high - low) / np.log(high / low)])  # of Poisson counts as likely in both
    else:
        inner = np.geomspace(low, high, STEPS + 2)[1:-1]
    return list(dict.fromkeys(max(0.1, round(float(one), 1)) for one in np.log1p(inner)))


def between_values(values: Array, most: int) -> list[float]:
    """Set thresholds at quantiles of values, each half-way to the next value, in as few digits as the gap allows.

    >>> between_values(np.array([0.0, 0, 0, 1, 2, 2, 5]), 8), between_values(np.array([171.0, 183.0]), 8)
    ([0.0, 1.5, 4.0], [180.0])
    """
    present = np.sort(values[np.isfinite(values)])
    distinct = np.unique(present)
    if len(distinct) < 2:
        return []
    if len(distinct) - 1 <= most:
        places = np.arange(len(distinct) - 1)
    else:
        quantiles = present[(np.arange(1, most + 1) * len(present)) // (most + 1)]
        places = np.unique(np.minimum(np.searchsorted(distinct, quantiles), len(distinct) - 2))
    negative = distinct[0] < 0
    return [in_gap(float(distinct[i]), float(distinct[i + 1]), negative) for i in places]


def in_gap(low: float, high: float, negative: bool = False) -> float:
    """Choose a short number t with low <= t < high; 0 where values are 0 or more, and low is 0.

    >>> in_gap(0.0, 1.0), in_gap(-1.0, 1.0, True), in_gap(12.4, 12.6), in_gap(0.30000000000000004, 0.4)
    (0.0, 0.5, 12.5, 0.35)
    """
    if low == 0 and not negative:
        return 0.0
    middle = low / 2 + high / 2
    if middle == 0 or low == 0 or (negative and low < 0 < high):
        middle = high / 2
    for digits in range(1, 17):
        short = float(f"{middle:.{digits}g}")
        if low <= short < high and short != 0:
            return short
    return low


def sampled_values(source: Normalized, rows: Array, execution: Execution) -> Array:
    """Read some rows (ascending numbers) of the columns of a source, rows x columns float64."""
    parts = map_blocks(partial(pick_rows, source=source, rows=rows), source.blocks, execution, "card: sample")
    return np.concatenate([np.empty((0, source.shape[1])), *parts])


def pick_rows(block: Any, start: int, source: Normalized, rows: Array) -> Array:
    """Take the sampled rows of a block."""
    out = [np.empty((0, source.shape[1]))]
    for first, part in source.parts(block, start):
        length = len(part.starts) - 1 if isinstance(part, Stored) else len(part)
        own = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + length)] - first
        if len(own):
            out.append((part.to_dense() if isinstance(part, Stored) else part)[own])
    return np.concatenate(out)


def useful(met: Array) -> Array:
    """Find the conditions that some rows meet and some do not, and that no condition before them equals."""
    least = max(2, RARE * len(met))
    share = met.sum(axis=0)
    seen, kept = set[bytes](), list[int]()
    for place in np.flatnonzero((share >= least) & (share <= len(met) - least)):
        pattern = np.packbits(met[:, place] > 0).tobytes()
        if pattern not in seen:
            seen.add(pattern)
            kept.append(int(place))
    return np.array(kept, np.int64)
