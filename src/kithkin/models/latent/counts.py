"""Table of the chosen genes for training: what is known of it before, and its mini-batches on a device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from kithkin.core.blocks import Array, Block, Blocks, ChosenRows, Mapped, SparseRows, even_ranges, offsets
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.latent.likelihood import CountBatch
from kithkin.models.nn.batches import Batches, Scale
from kithkin.models.table.normalize import check_counts, to_sparse

PURPOSE = "a latent space of counts"
NARROW = 2**16  # genes whose positions fit two bytes
RUN = 16  # batches that are read at a time
KEPT = 0.25  # share of the budget that the chosen genes may take to be held in memory
AS_STORED = Scale("none", np.zeros(0, np.float32), np.zeros(0, np.float32))
PSEUDO_COUNT = 0.5  # added to the sum of each gene in a batch


class HeldRows:
    """Sparse rows in memory, in the parts in which a table was read."""

    def __init__(self, parts: list[SparseRows], n_columns: int, blocks: Blocks) -> None:
        self._parts, self._starts = parts, offsets(np.array([part.shape[0] for part in parts], np.int64))
        self.shape = (blocks.shape[0], n_columns)
        self.dtype, self.ranges, self.is_sparse = blocks.dtype, blocks.ranges, True

    def read(self, start: int, stop: int) -> SparseRows:
        """Return rows start to stop, as views where they are of one part."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        taken = []
        for part, begin in zip(self._parts[first:], self._starts[first:], strict=False):
            if begin >= stop:
                break
            taken.append(part.take(max(start - begin, 0), min(stop - begin, part.shape[0])))
        if len(taken) == 1:
            return taken[0]
        empty = SparseRows(np.zeros(0, self.dtype), np.zeros(0, np.int32), np.zeros(1, np.int64), self.shape[1])
        return SparseRows.stack(taken) if taken else empty


@dataclass(frozen=True)
class CountTable:
    """Chosen genes of a table as sparse rows, with the experimental batch and the known cluster of each row."""

    blocks: Blocks
    batch: Array  # n int64
    labels: Array  # n int64, negative for unknown
    size: Array  # sum of the chosen genes of each row, n
    sums: Array  # of each gene in each batch, n_batches x p
    shares: Array | None = None  # initial responsibilities of the clusters, n x K

    @staticmethod
    def of(
        blocks: Blocks, columns: Array, batch: Array, labels: Array, n_batches: int, execution: Execution
    ) -> CountTable:
        """Survey a table in one pass; hold its chosen genes in memory where a quarter of the budget is enough.

        Values that are not counts raise ParameterError.
        """
        position = np.full(blocks.shape[1], -1, np.int64)
        position[columns] = np.arange(len(columns))
        work = partial(choose_genes, position=position, n_columns=len(columns))
        size, sums = np.empty(blocks.shape[0]), np.zeros((n_batches, len(columns)))
        kept: list[SparseRows] | None = []
        first, held = 0, 0
        for rows in map_blocks(work, blocks, execution, "latent"):
            n_rows = rows.shape[0]
            of_row = np.repeat(np.arange(n_rows), np.diff(rows.indptr))
            size[first : first + n_rows] = np.bincount(of_row, rows.data, n_rows)
            slots = batch[first : first + n_rows][of_row] * len(columns) + rows.indices
            sums += np.bincount(slots, rows.data, sums.size).reshape(sums.shape)
            first += n_rows
            held += rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
            if kept is not None:
                kept.append(rows)
                kept = kept if held <= KEPT * execution.memory else None
        table: Blocks = Mapped(blocks, work, n_columns=len(columns), is_sparse=True)
        if kept is not None:
            table = HeldRows(kept, len(columns), blocks)
        return CountTable(table, batch, labels, size, sums)

    def rows(self, rows: Array) -> CountTable:
        """Return some of the rows, ascending, as a table."""
        blocks = ChosenRows(self.blocks, rows)
        shares = None if self.shares is None else self.shares[rows]
        return CountTable(blocks, self.batch[rows], self.labels[rows], self.size[rows], self.sums, shares)

    def log_proportions(self) -> Array:
        """Compute the log proportion of each gene in each batch, n_batches x p float32."""
        sums = self.sums + PSEUDO_COUNT
        out: Array = np.log(sums / sums.sum(axis=1, keepdims=True)).astype(np.float32)
        return out

    def log_sizes(self) -> Array:
        """Compute mean and variance of the log size factors of each batch, n_batches x 2 float32."""
        values = np.log(np.maximum(self.size, 1.0))
        own = [values[self.batch == b] for b in range(len(self.sums))]
        whole = [part if len(part) > 1 else values for part in own]
        return np.array([[part.mean(), max(part.var(), 1e-2)] for part in whole], np.float32)


def choose_genes(block: Block, _start: int, position: Array, n_columns: int) -> SparseRows:
    """Take genes of rows of counts by their new positions, -1 for those that are left out."""
    check_counts(block, PURPOSE, integers=True)
    rows = block if isinstance(block, SparseRows) else to_sparse(block)
    taken = rows.renumbered(position, n_columns)
    if not taken.data.all():  # zeros that are stored
        kept = taken.data != 0
        parts = taken.data[kept], taken.indices[kept], offsets(kept)[taken.indptr]
        taken = SparseRows(*parts, n_columns)
    narrow = np.uint16 if n_columns < NARROW else np.int32
    return SparseRows(taken.data, taken.indices.astype(narrow), taken.indptr, n_columns)


class CountBatches:
    """Mini-batches of a table, shuffled in each epoch, or in order."""

    def __init__(self, table: CountTable, batch_size: int, seed: int, device: str) -> None:
        self.table, self.batch_size, self.device = table, batch_size, device
        self._batches = Batches(table.blocks, AS_STORED, max(1, min(batch_size, table.blocks.shape[0])), seed)
        self.n_batches = self._batches.n_batches

    @property
    def identity(self) -> str:
        """Hash of the counts that tells one table from another, with batches, labels and initial responsibilities."""
        digest = hashlib.sha256(self._batches.identity.encode())
        for part in (self.table.size, self.table.batch, self.table.labels, self.table.shares):
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def epoch(self, number: int) -> Iterator[CountBatch]:
        """Yield the batches of one epoch, in an order that depends on the seed and the number."""
        for rows, block in self._batches.epoch_of_rows(number):
            yield self._batch(rows, block)

    def ordered(self) -> Iterator[tuple[int, CountBatch]]:
        """Yield all rows in order, at most batch_size at a time, with the position of the first."""
        blocks = self.table.blocks
        # cut by numbers of rows alone, as random numbers that are drawn for a batch must not depend on the blocks
        for start, stop in even_ranges(blocks.shape[0], RUN * self.batch_size):
            block: Any = blocks.read(start, stop)
            for first in range(0, stop - start, self.batch_size):
                last = min(first + self.batch_size, stop - start)
                yield start + first, self._batch(np.arange(start + first, start + last), block.take(first, last))

    def _batch(self, rows: Array, block: Any) -> CountBatch:
        parts = block.indptr, block.indices.astype(np.int64), block.data.astype(np.float32)
        known = self.table.size[rows].astype(np.float32), self.table.batch[rows], self.table.labels[rows]
        tensors = (torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in (*parts, *known))
        return CountBatch(*tensors)
