"""Rows and columns on which gates of given clusters are trained."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows, even_ranges
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.nn.batches import DENSITY, Scale, stack, take

ROOM = 2**27  # bytes of the rows that are trained on
MOST_ROWS = 12_000
HELD = 0.2  # fraction of the rows that are kept for judging, a quarter of those that are trained on at most
JUDGED = 5  # rows that a cluster must have to be judged by some that are not trained on
TILE = 2**22  # values of a dense piece
FLOOR = 0.01  # of the variance of a column: the least that it has in a cluster, which may have one row
SURE = 2.0  # standard errors that a difference must exceed


def wanted_features(p: int) -> float:
    """Return the number of open features of a cluster where none is asked for."""
    return max(1.0, min(3 * math.log2(max(p, 2)), max(0.08 * p, min(3.0, p / 3))))


def room_of(blocks: Blocks) -> int:
    """Return the number of rows that are trained on, by their size in memory: the same for any budget."""
    p = blocks.shape[1]
    row = 8.0 * DENSITY * p if blocks.is_sparse else blocks.dtype.itemsize * p
    return int(min(MOST_ROWS, max(1000, ROOM / max(row, 1.0))))


def choose_rows(codes: Array, room: int, seed: int = 0) -> tuple[Array, Array]:
    """Draw rows to train on, as many of each cluster if it has them, and others to judge by, in proportion.

    At most `room` rows are trained on, one of each cluster at least; clusters of fewer than 5 are trained on whole.
    Rows with a negative code are left out. Both are ascending numbers of rows.
    """
    rng = np.random.default_rng([seed, 3])
    sizes = np.bincount(codes[codes >= 0])
    fraction = min(HELD, room / 4 / max(1, int(sizes.sum())))
    held_of = np.where(sizes >= JUDGED, np.ceil(fraction * sizes), 0).astype(int)
    cap = largest_equal(sizes - held_of, room)
    train, held = [], []
    for k in np.flatnonzero(sizes):
        rows = rng.permutation(np.flatnonzero(codes == k))
        held.append(rows[: held_of[k]])
        train.append(rows[held_of[k] : held_of[k] + cap])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(held))


def largest_equal(sizes: Array, room: int) -> int:
    """Return the largest number that each cluster may give, smaller ones giving all, for a sum within room."""
    left, cap = room, room
    for rank, size in enumerate(np.sort(sizes)):
        cap = left // (len(sizes) - rank)
        if size > cap:
            return max(1, cap)
        left -= int(size)
    return max(1, room)


def read_rows(blocks: Blocks, rows: Array, execution: Execution | None = None) -> Block:
    """Read some rows of a table, given in ascending order, in one pass."""
    return stack(list(map_blocks(partial(take_rows, rows=rows), blocks, execution, "rows")))


def medians_of(table: Block) -> Array | None:
    """Return the median of the values that each column has, 0 where it has none; None if no value is missing.

    Examples
    --------
    >>> table = np.array([[1.0, np.nan], [np.nan, np.nan], [4.0, np.nan]])
    >>> medians_of(table).tolist(), filled(table, medians_of(table)).tolist()
    ([2.5, 0.0], [[1.0, 0.0], [2.5, 0.0], [4.0, 0.0]])
    """
    if isinstance(table, SparseRows) or not np.isnan(table).any():
        return None
    known = [column[~np.isnan(column)] for column in table.T]
    return np.array([np.median(values) if len(values) else 0.0 for values in known], table.dtype)


def filled(table: Block, medians: Array | None) -> Block:
    """Fill in missing values with the given values of their columns.

    Raises ParameterError if values are missing and none are given.
    """
    if isinstance(table, SparseRows) or table.dtype.kind != "f":
        return table
    absent = np.isnan(table)
    if not absent.any():
        return table
    if medians is None:
        raise ParameterError("X has missing values (NaN), but in fit it had none: fill them in")
    return np.where(absent, medians, table)


def take_rows(block: Block, start: int, rows: Array) -> Block:
    """Take the chosen rows of a block."""
    first, last = np.searchsorted(rows, (start, start + block.shape[0]))
    return take(block, rows[first:last] - start)


def separation(table: Block, codes: Array, n_groups: int, scale: Scale) -> Array:
    """Return the difference of the means of each column inside and outside each cluster, in standard deviations.

    Two standard errors are taken off, so that a value that is rare in a small cluster by chance counts for nothing. The
    result, K x p, has no sign and is rounded to four digits: so the order of columns does not depend on the order of
    sums. Rows with a negative code are left out; the scaling names the columns that are compared.
    """
    p = scale.width(table.shape[1])
    sums, squares = np.zeros((n_groups, p)), np.zeros((n_groups, p))
    for a, b in even_ranges(len(codes), max(1, TILE // max(1, p))):
        x = scale.dense(take(table, slice(a, b)))
        member = (codes[a:b] == np.arange(n_groups)[:, None]).astype(np.float32)
        sums += member @ x
        squares += member @ np.square(x)
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups)[:, None].astype(float)
    rest = np.maximum(sizes.sum() - sizes, 1)
    sizes = np.maximum(sizes, 1)
    whole = _variance(sums.sum(0) / sizes.sum(), squares.sum(0) / sizes.sum())
    inside, outside = sums / sizes, (sums.sum(0) - sums) / rest
    spread = 0.5 * (_variance(inside, squares / sizes) + _variance(outside, (squares.sum(0) - squares) / rest))
    sure = np.abs(inside - outside) - SURE * np.sqrt(whole * (1 / sizes + 1 / rest))
    spread = np.sqrt(np.maximum(spread, FLOOR * whole))
    d = np.divide(np.maximum(sure, 0), spread, out=np.zeros_like(spread), where=spread > 1e-6)
    digits = 10.0 ** (3 - np.floor(np.log10(np.maximum(d, 1e-9))))
    rounded: Array = np.rint(d * digits) / digits
    return rounded


def _variance(mean: Array, square: Array) -> Array:
    variance: Array = np.maximum(square - mean**2, 0)
    return variance


def narrow_scale(scale: Scale, chosen: Array, p: int) -> Scale:
    """Return the scaling of some of the p columns of a scaling."""
    columns = np.arange(p) if scale.columns is None else scale.columns
    shift, factor = (part[chosen] if len(part) else part for part in (scale.shift, scale.factor))
    return replace(scale, columns=columns[chosen], shift=shift, factor=factor)


def first_gates(separations: Array, wanted: float) -> Array:
    """Return initial gates, above 0.55 for as many columns as wanted, those that separate a cluster best from the rest.

    Separations are those of each cluster by each candidate column, K x m, 0 or more.
    """
    rank = min(separations.shape[1], math.ceil(wanted)) - 1
    least = -np.sort(-separations, axis=1)[:, rank : rank + 1]
    span = np.maximum(separations.max(axis=1, keepdims=True) - least, 1e-12)
    above = 0.565 + 0.435 * (separations - least) / span
    gates: Array = np.where(separations >= least, above, 0.55 * separations / np.maximum(least, 1e-12))
    return gates
