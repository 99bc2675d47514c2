"""Rows and columns on which gates of given clusters are trained."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, even_ranges
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
    """Return the number of open features of a cluster where none is asked for.

    Examples
    --------
    >>> [round(wanted_features(p), 1) for p in (2, 13, 64, 784, 20_000)]
    [1.0, 3.0, 5.1, 28.8, 42.9]
    """
    return max(1.0, min(3 * math.log2(max(p, 2)), max(0.08 * p, min(3.0, p / 3))))


def room_of(blocks: Blocks) -> int:
    """Return the number of rows that are trained on, by their size in memory: the same for any budget.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> room_of(InMemory(np.zeros((3, 2)))), room_of(InMemory(np.zeros((3, 20_000), np.float32)))
    (12000, 1677)
    """
    p = blocks.shape[1]
    row = 8.0 * DENSITY * p if blocks.is_sparse else blocks.dtype.itemsize * p
    return int(min(MOST_ROWS, max(1000, ROOM / max(row, 1.0))))


def choose_rows(codes: Array, room: int, seed: int = 0) -> tuple[Array, Array]:
    """Draw rows to train on, as many of each cluster if it has them, and others to judge by, in proportion.

    Parameters
    ----------
    codes
        Cluster of each row, n; rows with a negative one are left out.
    room
        Number of rows to train on, at most (one of each cluster at least).
    seed
        Seed of the choice.

    Returns
    -------
    train, held
        Ascending numbers of rows; clusters of fewer than 5 rows are trained on whole.

    Examples
    --------
    >>> train, held = choose_rows(np.repeat([0, 1, 2, -1], [4, 10, 1000, 7]), 60)
    >>> np.bincount(np.repeat([0, 1, 2, 9], [4, 10, 1000, 7])[train]).tolist(), len(held)
    ([4, 9, 47], 16)
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
    """Return the largest number that each cluster may give, smaller ones giving all they have, for a sum within room.

    Examples
    --------
    >>> [largest_equal(np.array(sizes), room) for sizes, room in (([4, 10, 1000], 60), ([5, 5], 100), ([5, 5], 1))]
    [46, 100, 1]
    """
    left, cap = room, room
    for rank, size in enumerate(np.sort(sizes)):
        cap = left // (len(sizes) - rank)
        if size > cap:
            return max(1, cap)
        left -= int(size)
    return max(1, room)


def read_rows(blocks: Blocks, rows: Array, execution: Execution | None = None) -> Block:
    """Read some rows of a table, given in ascending order, in one pass.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> read_rows(InMemory(np.eye(4), rows=2), np.array([1, 3])).tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    return stack(list(map_blocks(partial(take_rows, rows=rows), blocks, execution, "rows")))


def take_rows(block: Block, start: int, rows: Array) -> Block:
    """Take the chosen rows of a block."""
    first, last = np.searchsorted(rows, (start, start + block.shape[0]))
    return take(block, rows[first:last] - start)


def separation(table: Block, codes: Array, n_groups: int, scale: Scale) -> Array:
    """Return the difference of the means of each column inside and outside each cluster, in standard deviations.

    Two standard errors are taken off, so that a value that is rare in a small cluster by chance counts for nothing.

    Parameters
    ----------
    table
        Rows, with all columns.
    codes
        Cluster of each of them; negative: left out.
    n_groups
        Number of clusters, K.
    scale
        Scaling of the values, with the columns that are compared.

    Returns
    -------
    ndarray
        K x p, without sign, rounded to four digits: so the order of columns does not depend on the order of sums.

    Examples
    --------
    >>> X = np.array([[0.0, 1.0], [0.0, 0.0], [9.0, 1.0], [9.0, 0.0]])
    >>> apart = separation(np.tile(X, (9, 1)), np.tile([0, 0, 1, 1], 9), 2, Scale.of(X, "none"))
    >>> apart.argmax(axis=1).tolist(), apart[:, 1].tolist()
    ([0, 0], [0.0, 0.0])
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
    """Return the scaling of some of the p columns of a scaling.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]])
    >>> narrow_scale(Scale.of(X, "minmax", np.array([0, 2])), np.array([1]), 2).dense(X).tolist()
    [[0.0], [1.0]]
    """
    columns = np.arange(p) if scale.columns is None else scale.columns
    shift, factor = (part[chosen] if len(part) else part for part in (scale.shift, scale.factor))
    return replace(scale, columns=columns[chosen], shift=shift, factor=factor)


def first_gates(separations: Array, wanted: float) -> Array:
    """Return initial gates, open for as many columns as wanted, those that separate a cluster best from the rest.

    Parameters
    ----------
    separations
        Separation of each cluster by each candidate column, K x m, 0 or more.
    wanted
        Number of initial gates above 0.55.

    Examples
    --------
    >>> first_gates(np.array([[8.0, 4.0, 2.0, 1.0]]), 3).round(3).tolist()
    [[1.0, 0.71, 0.565, 0.275]]
    """
    rank = min(separations.shape[1], math.ceil(wanted)) - 1
    least = -np.sort(-separations, axis=1)[:, rank : rank + 1]
    span = np.maximum(separations.max(axis=1, keepdims=True) - least, 1e-12)
    above = 0.565 + 0.435 * (separations - least) / span
    gates: Array = np.where(separations >= least, above, 0.55 * separations / np.maximum(least, 1e-12))
    return gates
