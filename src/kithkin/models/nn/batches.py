"""Mini-batches for training: shuffled blocks of rows, densified and scaled a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows, as_blocks, even_ranges
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.table.normalize import check_counts, pieces, row_scale

SCALES = ("auto", "none", "minmax", "standard", "log1p")
POOL = 2**25  # bytes of rows from which batches are drawn
DENSITY = 0.1  # stored share of a sparse table, for the size of a pool
CHUNKS = 16  # runs of rows in a pool
SHORTEST = 64  # rows of a run
TOP = 256  # from which values are counted together when counts are told
EXTRA_EPOCH = 10**6  # beyond every training: the epoch in whose order statistics over all rows are taken


@dataclass(frozen=True)
class Scale:
    """Scaling of values to a common range: (x - shift) * factor by column, or log1p of normalised counts.

    Totals of rows are over all columns, whichever are used.
    """

    name: str  # "none", "minmax", "standard" or "log1p"
    shift: Array  # p float32; empty for "none" and "log1p"
    factor: Array  # likewise
    columns: Array | None = None  # positions of the p columns that are used, ascending; None: all

    @staticmethod
    def of(X: Any, name: str, columns: Array | None = None, execution: Execution | None = None) -> Scale:
        """Measure a table in one pass, and choose a scaling for "auto": log1p for counts, else minmax.

        Values alone decide, not whether they are stored sparse or dense (see `seem_counts`): pixels, digits and codes
        in whole numbers are no counts, however they are stored.

        Values that are not finite, and log1p of values below zero, raise ParameterError.
        """
        blocks, empty = as_blocks(X), np.zeros(0, np.float32)
        n, p = blocks.shape
        low, high, total, squares = np.full(p, np.inf), np.full(p, -np.inf), np.zeros(p), np.zeros(p)
        frequencies: Array | None = np.zeros(TOP + 1, np.int64)
        for measured in map_blocks(measure_block, blocks, execution, "scale"):
            for least, most, sums, powers, integers in measured:
                np.minimum(low, least, out=low)
                np.maximum(high, most, out=high)
                total += sums
                squares += powers
                frequencies = None if frequencies is None or integers is None else frequencies + integers
        counts = frequencies is not None and bool((low >= 0).all()) and seem_counts(frequencies, n * p)
        chosen = ("log1p" if counts else "minmax") if name == "auto" else name
        if chosen in ("none", "log1p"):
            check(chosen == "none" or bool((low >= 0).all()), "scale='log1p' needs counts, but X holds negative values")
            return Scale(chosen, empty, empty, columns)
        mean = total / n
        width = high - low if chosen == "minmax" else np.sqrt(np.maximum(squares / n - mean**2, 0))
        if chosen == "standard":  # sums depend on how rows are cut into blocks, in digits that do not matter
            mean, width = _round_digits(mean, 9), _round_digits(width, 7)
        shift = low if chosen == "minmax" else mean
        # a constant column says nothing; rounding must not make it loud
        steady = width <= 1e-6 * np.maximum(np.abs(low), np.abs(high))
        factor = np.where(steady, 0.0, 1.0 / np.where(steady, 1.0, width))
        taken = slice(None) if columns is None else columns
        return Scale(chosen, shift[taken].astype(np.float32), factor[taken].astype(np.float32), columns)

    def width(self, n_columns: int) -> int:
        """Return the number of columns that are used, of so many in the table."""
        return n_columns if self.columns is None else len(self.columns)

    def dense(self, block: Block, page: Array | None = None) -> Array:
        """Return scaled rows, float32, rows x p; sparse ones are written to the page, if one is given."""
        if self.name == "log1p":
            check_counts(block, "scale='log1p'")
        if isinstance(block, SparseRows):
            rows, columns = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)), block.indices
            values = block.data.astype(np.float32)
            if self.name == "log1p":
                scale = row_scale(np.bincount(rows, block.data, block.shape[0]))
                values = np.log1p(values * scale.astype(np.float32)[rows])
            if page is None:
                out = np.zeros((block.shape[0], self.width(block.n_columns)), np.float32)
            else:
                out = page[: block.shape[0]]
                out.fill(0.0)
            if self.columns is not None:
                position = np.full(block.n_columns, -1)
                position[self.columns] = np.arange(len(self.columns))
                kept = position[columns] >= 0
                rows, columns, values = rows[kept], position[columns[kept]], values[kept]
            out[rows, columns] = values
        else:
            out = (block if self.columns is None else block[:, self.columns]).astype(np.float32)
            if self.name == "log1p":
                scale = row_scale(block.sum(axis=1, dtype=np.float64))
                out = np.log1p(out * scale.astype(np.float32)[:, None])
        if len(self.factor):
            out -= self.shift
            out *= self.factor
        return out


def _round_digits(values: Array, digits: int) -> Array:
    unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), 1e-300))) + 1 - digits)
    rounded: Array = np.rint(values / unit) * unit
    return rounded


def seem_counts(frequencies: Array, size: int) -> bool:
    """Tell counts from other whole numbers by the frequencies of 1, 2, ... in a table of so many values.

    In counts 1 is the most frequent value above zero, and at least a tenth of them; zeros are half as frequent as 1 or
    more; and some value is above 2. So it is in all counts of molecules and of transcripts that were looked at, and not
    in pixels, which are most often dark or bright, or in codes, scores and ratings.
    """
    ones, above = int(frequencies[1]), int(frequencies[1:].sum())
    frequent = ones > 0 and ones == int(frequencies[1:TOP].max()) and 10 * ones >= above
    return frequent and 2 * (size - above) >= ones and bool(frequencies[3:].any())


def measure_block(block: Block, _start: int) -> list[tuple[Array, Array, Array, Array, Array | None]]:
    """Return minimum, maximum, sum and sum of squares of each column by piece, and how often there is 0, 1, 2, ...

    The last frequency is that of all values from there on; None: some values are negative or not whole.
    """
    measured = []
    for _, piece in pieces(block):
        values = piece.data if isinstance(piece, SparseRows) else piece
        lost = "X must be finite, but it holds NaN or infinity: fill them in, or import it with missing='drop'"
        check(bool(np.isfinite(values).all()), lost)
        whole = None
        if bool((values >= 0).all()) and (values.dtype.kind in "iub" or not bool((values != np.floor(values)).any())):
            small = values if values.dtype.itemsize == 1 else np.minimum(values, TOP)  # a byte cannot hold 256
            whole = np.bincount(small.ravel().astype(np.int64), minlength=TOP + 1)
        if not isinstance(piece, SparseRows):
            powers = np.einsum("ij,ij->j", piece, piece, dtype=np.float64)
            measured.append((piece.min(0), piece.max(0), piece.sum(0, dtype=np.float64), powers, whole))
            continue
        p, indices, data = piece.n_columns, piece.indices, piece.data.astype(np.float64)
        full = np.bincount(indices, minlength=p) == piece.shape[0]
        low, high = np.where(full, np.inf, 0.0), np.where(full, -np.inf, 0.0)
        np.minimum.at(low, indices, data)
        np.maximum.at(high, indices, data)
        measured.append((low, high, np.bincount(indices, data, p), np.bincount(indices, data**2, p), whole))
    return measured


class Batches:
    """Mini-batches of scaled rows, in a new order each epoch, from pools of shuffled runs of rows.

    A table that fits a pool is read once and shuffled row by row. Of a larger one, runs of consecutive rows are read in
    a random order into a pool, whose rows are shuffled. The order depends on the seed and the epoch, and on the shape
    of the table, never on the budget, the blocks or the threads. Rows of a sparse table are written to one page: the
    values of a batch hold until the next one is drawn. A last batch of fewer rows than the others is left out.
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
        """Yield the batches of one epoch: positions of the rows, and their values, float32, batch_size x p."""
        for rows, block in self.epoch_of_rows(number):
            yield rows, self._dense(block)

    def epoch_of_rows(self, number: int) -> Iterator[tuple[Array, Block]]:
        """Yield the batches of one epoch as they are stored: positions of the rows, and the rows."""
        rng = np.random.default_rng([self.seed, number])
        n = self.blocks.shape[0]
        if n <= self.pool:
            if self._kept is None:
                self._kept = self.blocks.read(0, n)
            yield from self._draw(np.arange(n), self._kept, rng, self.n_batches)
            return
        runs = even_ranges(n, max(SHORTEST, self.pool // CHUNKS))
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
            pool, rows = stack(parts), np.concatenate(numbers)
            parts, numbers = [], []  # before the batches, or the pool would be held twice
            yield from self._draw(rows, pool, rng, count)
            del pool  # before the next one is read
            # what a pool leaves over is less than a batch, and waits for another epoch
            left -= count

    def _draw(self, numbers: Array, pool: Block, rng: np.random.Generator, count: int) -> Iterator[tuple[Array, Block]]:
        order = rng.permutation(len(numbers))
        for batch in range(count):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield numbers[rows], take(pool, rows)

    @cached_property
    def identity(self) -> str:
        """Hash of the shape, the scale and some rows, which tells a table from another."""
        digest = hashlib.sha256(repr((self.blocks.shape, self.batch_size, self.scale.name)).encode())
        for part in (self.scale.shift, self.scale.factor, self.scale.columns):
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        digest.update(next(iter(self.epoch(EXTRA_EPOCH)))[1].tobytes())
        return digest.hexdigest()

    def ordered(self) -> Iterator[tuple[int, Array]]:
        """Yield all rows in order, at most batch_size at a time: position of the first, and scaled values."""
        for start, stop in self.blocks.ranges:
            block = self.blocks.read(start, stop)
            for first, last in even_ranges(stop - start, self.batch_size):
                yield start + first, self._dense(take(block, slice(first, last)))

    def _dense(self, block: Block) -> Array:
        if self._page is None and isinstance(block, SparseRows):
            self._page = np.empty((self.batch_size, self.width), np.float32)
        return self.scale.dense(block, self._page)


def take(block: Block, rows: Array | slice) -> Block:
    """Return some rows of a block, by position or as a slice."""
    if isinstance(block, SparseRows):
        return block.take(rows.start, rows.stop) if isinstance(rows, slice) else block.rows(rows)
    taken: Array = block[rows]
    return taken


def stack(parts: list[Block]) -> Block:
    """Stack blocks one below the other."""
    compressed = [part for part in parts if isinstance(part, SparseRows)]
    return SparseRows.stack(compressed) if compressed else np.concatenate([np.asarray(part) for part in parts])


def checked_width(blocks: Blocks, n_columns: int) -> Blocks:
    """Return the blocks, if they have as many columns as in fit."""
    check(blocks.shape[1] == n_columns, f"X must have {n_columns} columns as in fit, got {blocks.shape[1]}")
    return blocks
