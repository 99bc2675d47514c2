"""Minibatches for training: shuffled blocks of rows, densified and scaled a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows, even_ranges
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.table.normalize import check_counts, pieces, row_scale

POOL = 2**25  # bytes of rows from which batches are drawn
DENSITY = 0.1  # stored share of a sparse table, for the size of a pool
CHUNKS = 16  # runs of rows in a pool
SHORTEST = 64  # rows of a run
ASIDE = 10**6  # number of an epoch that no training comes to: for what needs rows in an order of its own


@dataclass(frozen=True)
class Scale:
    """How values are brought to a common range: (x - shift) * factor by column, or log1p of shares of the row.

    Attributes
    ----------
    name
        "none", "minmax", "standard" or "log1p".
    shift, factor
        p each, float32; empty for "none" and "log1p".
    columns
        Positions of the p columns that are used, ascending; None: all. Totals of rows are over all columns.

    Examples
    --------
    >>> Scale.of(np.array([[0.0, 5.0], [4.0, 5.0]]), "minmax").dense(np.array([[2.0, 5.0]])).tolist()
    [[0.5, 0.0]]
    """

    name: str
    shift: Array
    factor: Array
    columns: Array | None = None

    @staticmethod
    def of(X: Any, name: str, columns: Array | None = None, execution: Execution | None = None) -> Scale:
        """Measure a table; "auto" is decided here.

        Raises
        ------
        ParameterError
            If values are not finite, or log1p is asked for values below zero.
        """
        from kithkin.core.blocks import as_blocks

        blocks, empty = as_blocks(X), np.zeros(0, np.float32)
        n, p = blocks.shape
        low, high, total, squares = np.full(p, np.inf), np.full(p, -np.inf), np.zeros(p), np.zeros(p)
        whole = True
        for found in map_blocks(_measured, blocks, execution, "scale"):
            for least, most, sums, powers, integers in found:
                np.minimum(low, least, out=low)
                np.maximum(high, most, out=high)
                total += sums
                squares += powers
                whole = whole and integers
        counts = blocks.is_sparse and whole and bool((low >= 0).all())
        chosen = ("log1p" if counts else "minmax") if name == "auto" else name
        if chosen in ("none", "log1p"):
            check(chosen == "none" or bool((low >= 0).all()), "scale='log1p' needs counts, but X holds negative values")
            return Scale(chosen, empty, empty, columns)
        mean = total / n
        width = high - low if chosen == "minmax" else np.sqrt(np.maximum(squares / n - mean**2, 0))
        if chosen == "standard":  # sums depend on how rows are cut into blocks, in digits that do not matter
            mean, width = _rounded(mean, 9), _rounded(width, 7)
        shift = low if chosen == "minmax" else mean
        # a constant column says nothing; rounding must not make it loud
        steady = width <= 1e-6 * np.maximum(np.abs(low), np.abs(high))
        factor = np.where(steady, 0.0, 1.0 / np.where(steady, 1.0, width))
        taken = slice(None) if columns is None else columns
        return Scale(chosen, shift[taken].astype(np.float32), factor[taken].astype(np.float32), columns)

    def width(self, n_columns: int) -> int:
        """How many columns of so many are used."""
        return n_columns if self.columns is None else len(self.columns)

    def dense(self, block: Block, page: Array | None = None) -> Array:
        """Scaled rows, float32, rows x p; sparse ones are laid out on the page, if one is given."""
        if self.name == "log1p":
            check_counts(block, "scale='log1p'")
        if isinstance(block, SparseRows):
            out = self._scattered(block, page)
        else:
            totals = block.sum(axis=1, dtype=np.float64) if self.name == "log1p" else None
            out = (block if self.columns is None else block[:, self.columns]).astype(np.float32)
            if totals is not None:
                out = np.log1p(out * row_scale(totals).astype(np.float32)[:, None])
        if len(self.factor):
            out -= self.shift
            out *= self.factor
        return out

    def _scattered(self, block: SparseRows, page: Array | None) -> Array:
        rows, places = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.indices
        values = block.data.astype(np.float32)
        if self.name == "log1p":
            totals = np.bincount(rows, block.data, block.shape[0]).astype(
                np.float64
            )  # of no entry at all: whole numbers
            values = np.log1p(values * row_scale(totals).astype(np.float32)[rows])
        if page is None:
            out = np.zeros((block.shape[0], self.width(block.n_columns)), np.float32)
        else:
            out = page[: block.shape[0]]
            out.fill(0.0)
        if self.columns is not None:
            place = np.full(block.n_columns, -1)
            place[self.columns] = np.arange(len(self.columns))
            kept = place[places] >= 0
            rows, places, values = rows[kept], place[places[kept]], values[kept]
        out[rows, places] = values
        return out


def _rounded(values: Array, digits: int) -> Array:
    unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), 1e-300))) + 1 - digits)
    found: Array = np.rint(values / unit) * unit
    return found


def _measured(block: Block, start: int) -> list[tuple[Array, Array, Array, Array, bool]]:  # noqa: ARG001
    return [_measured_piece(piece) for _, piece in pieces(block)]


def _measured_piece(block: Block) -> tuple[Array, Array, Array, Array, bool]:
    values = block.data if isinstance(block, SparseRows) else block
    check(bool(np.isfinite(values).all()), "X must be finite, but it holds NaN or infinity")
    whole = values.dtype.kind in "iub" or not bool((values != np.floor(values)).any())
    if not isinstance(block, SparseRows):
        powers = np.einsum("ij,ij->j", block, block, dtype=np.float64)
        return block.min(0), block.max(0), block.sum(0, dtype=np.float64), powers, whole
    p, data = block.n_columns, block.data.astype(np.float64)
    full = np.bincount(block.indices, minlength=p) == block.shape[0]
    low, high = np.where(full, np.inf, 0.0), np.where(full, -np.inf, 0.0)
    np.minimum.at(low, block.indices, data)
    np.maximum.at(high, block.indices, data)
    return low, high, np.bincount(block.indices, data, p), np.bincount(block.indices, data**2, p), whole


class Batches:
    """Batches of scaled rows, in a new order each epoch, from pools of shuffled runs of rows.

    A table that fits a pool is read once and shuffled row by row. Of a larger one, runs of consecutive rows are read
    in a random order into a pool, whose rows are shuffled. The order depends on the seed and the epoch, and on the
    shape of the table, never on the budget, the blocks or the threads. Rows of a sparse table are laid out on one page:
    the values of a batch hold until the next one is drawn.

    Parameters
    ----------
    blocks
        The table.
    scale
        Applied to each batch.
    batch_size
        Rows of a batch; a last batch of fewer is left out.
    seed
        Of the order.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.arange(6.0)[:, None]
    >>> batches = Batches(InMemory(X), Scale.of(X, "none"), 2)
    >>> sorted(np.concatenate([x for _, x in batches.epoch(0)]).ravel().tolist())
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """

    def __init__(self, blocks: Blocks, scale: Scale, batch_size: int, seed: int = 0) -> None:
        self.blocks, self.scale, self.batch_size, self.seed = blocks, scale, batch_size, seed
        n, p = blocks.shape
        self.width = scale.width(p)
        row = 8.0 * DENSITY * p if blocks.is_sparse else blocks.dtype.itemsize * p
        self.pool = max(int(POOL / max(row, 1.0)), 2 * batch_size)
        self._kept: Block | None = None
        self._page: Array | None = None
        self.n_batches = max(1, n // batch_size)

    def epoch(self, number: int) -> Iterator[tuple[Array, Array]]:
        """The batches of one epoch: numbers of the rows, and their values, float32, batch_size x p."""
        rng = np.random.default_rng([self.seed, number])
        n = self.blocks.shape[0]
        if n <= self.pool:
            if self._kept is None:
                self._kept = self.blocks.read(0, n)
            yield from self._drawn(np.arange(n), self._kept, rng, self.n_batches)
        else:
            yield from self._streamed(rng)

    def _drawn(
        self, numbers: Array, pool: Block, rng: np.random.Generator, count: int
    ) -> Iterator[tuple[Array, Array]]:
        order = rng.permutation(len(numbers))
        for batch in range(count):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield numbers[rows], self._dense(take(pool, rows))

    def _streamed(self, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        runs = even_ranges(self.blocks.shape[0], max(SHORTEST, self.pool // CHUNKS))
        order, left = rng.permutation(len(runs)), self.n_batches
        parts: list[Block] = []
        numbers: list[Array] = []
        for i in order:
            parts.append(self.blocks.read(*runs[i]))
            numbers.append(np.arange(*runs[i]))
            ready = sum(map(len, numbers))
            if ready < self.pool and i != order[-1]:
                continue
            count = min(left, ready // self.batch_size)
            pool, rows = stacked(parts), np.concatenate(numbers)
            parts, numbers = [], []  # before the batches, or the pool would be held twice
            yield from self._drawn(rows, pool, rng, count)
            del pool  # before the next one is read
            # what a pool leaves over is less than a batch, and waits for another epoch
            left -= count

    @cached_property
    def identity(self) -> str:
        """Hash of the shape, the scale and some rows: tells a table from another."""
        found = hashlib.sha256(repr((self.blocks.shape, self.batch_size, self.scale.name)).encode())
        for part in (self.scale.shift, self.scale.factor, self.scale.columns):
            found.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        found.update(next(iter(self.epoch(ASIDE)))[1].tobytes())
        return found.hexdigest()

    def ordered(self) -> Iterator[tuple[int, Array]]:
        """All rows in order: (first row, scaled rows) of at most batch_size rows each."""
        for start, stop in self.blocks.ranges:
            block = self.blocks.read(start, stop)
            for first, last in even_ranges(stop - start, self.batch_size):
                yield start + first, self._dense(take(block, slice(first, last)))

    def _dense(self, block: Block) -> Array:
        if self._page is None and isinstance(block, SparseRows):
            self._page = np.empty((self.batch_size, self.width), np.float32)
        return self.scale.dense(block, self._page)


def take(block: Block, rows: Any) -> Block:
    """Some rows of a block, by number or as a slice.

    Examples
    --------
    >>> rows = SparseRows(np.array([2, 1]), np.array([0, 2]), np.array([0, 1, 2]), 3)
    >>> take(rows, np.array([1, 1])).to_dense().tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    if not isinstance(block, SparseRows):
        found: Array = block[rows]
        return found
    if isinstance(rows, slice):
        return block.take(rows.start, rows.stop)
    starts, sizes = block.indptr[rows], np.diff(block.indptr)[rows]
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes, out=indptr[1:])
    places = np.repeat(starts - indptr[:-1], sizes) + np.arange(indptr[-1])
    return SparseRows(block.data[places], block.indices[places], indptr, block.n_columns)


def stacked(parts: list[Block]) -> Block:
    """Blocks one below the other.

    Examples
    --------
    >>> stacked([np.eye(2), np.ones((1, 2))]).shape
    (3, 2)
    """
    sparse_parts = [part for part in parts if isinstance(part, SparseRows)]
    if not sparse_parts:
        return np.concatenate([np.asarray(part) for part in parts])
    sizes = np.concatenate([np.diff(part.indptr) for part in sparse_parts])
    indptr = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=indptr[1:])
    data = np.concatenate([part.data for part in sparse_parts])
    indices = np.concatenate([part.indices for part in sparse_parts])
    return SparseRows(data, indices, indptr, sparse_parts[0].n_columns)


def checked_width(blocks: Blocks, n_columns: int) -> Blocks:
    """The blocks, if they have as many columns as in fit.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> checked_width(InMemory(np.eye(2)), 3)
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: X must have 3 columns as in fit, got 2
    """
    check(blocks.shape[1] == n_columns, f"X must have {n_columns} columns as in fit, got {blocks.shape[1]}")
    return blocks
