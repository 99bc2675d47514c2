"""Slabs of genes that are gathered from disk: every block is read once, and its values are put aside slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, offsets
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks, map_tasks, n_workers, send_tasks
from kithkin.core.spill import NoRoomError, Spill
from kithkin.kernels.ranks import take_values
from kithkin.models.markers.comparisons import Plan, compare
from kithkin.models.markers.gene_slabs import (
    FRACTION_OF_BUDGET,
    CellGroups,
    Slab,
    order_by_gene,
    slab_ranges,
    value_dtype,
)
from kithkin.models.table.normalize import check_counts

TASKS = 4  # slabs for each worker, at least
FEW_VALUES = 2**16  # that are worth a slab of their own


@dataclass(frozen=True)
class SpilledSlab:
    """Consecutive genes, the values of which are put aside.

    number: of the slab.
    first, last: range of genes.
    begins: first cell of each block, by which its file is named.
    sizes: number of stored values in each block.
    dtype, member_dtype: types of values, and of numbers of groups.
    rows_part: part of each file with the groups and divisors of the cells, by which the values are normalised; None:
        they are as they are wanted, with their groups.
    missing: genes x groups, as in Slab.
    """

    spill: Spill
    number: int
    first: int
    last: int
    begins: Array
    sizes: Array
    dtype: np.dtype[Any]
    member_dtype: np.dtype[Any]
    rows_part: int | None
    missing: Array | None

    def load(self, execution: Execution) -> Slab:
        """Gather the values."""
        bounds = offsets(self.sizes)
        values, members = np.empty(bounds[-1], self.dtype), np.empty(bounds[-1], self.member_dtype)
        starts = np.empty((len(self.sizes), self.last - self.first + 1), np.int64)

        def take(block: int) -> None:
            here = slice(bounds[block], bounds[block + 1])
            counts, found, of = self.spill.read(int(self.begins[block]), self.number)
            starts[block] = here.start + offsets(counts)
            if self.rows_part is None:
                values[here], members[here] = found, of
                return
            groups, divisors = self.spill.read(int(self.begins[block]), self.rows_part)
            take_values(found, of, groups, divisors, values[here], members[here])

        for _ in map_tasks(take, range(len(self.sizes)), execution):
            pass
        return Slab(self.first, self.last, values, members, starts, self.missing)


def spill_slabs(
    blocks: Blocks, cells: CellGroups, n_cells: Array, spill: Spill | None, execution: Execution
) -> list[SpilledSlab]:
    """Put the values of all genes aside, in one pass; nothing where they fit the budget, or there is no room for them.

    blocks, cells, n_cells: as in `slabs`, and the same errors.
    execution: a slab takes 0.6 of the budget, divided by the workers of an executor, or one gene if that is more.
    """
    dtype, n_values = value_dtype(blocks.dtype, len(cells.divisors) > 0), int(n_cells.sum())
    capacity = int(execution.memory * FRACTION_OF_BUDGET) // (dtype.itemsize + cells.dtype.itemsize)
    if execution.executor is not None:
        workers = n_workers(execution.executor)
        capacity = max(FEW_VALUES, min(capacity // workers, n_values // (TASKS * workers)))
    elif n_values <= capacity:
        return []
    stored = len(cells.divisors) > 0  # counts are put aside as they are stored, with the number of their row
    n_bytes = n_values * ((blocks.dtype.itemsize + 2) // 2 if stored else dtype.itemsize + cells.dtype.itemsize)
    if spill is None or not spill.prepare(n_bytes, execution.executor):
        return []
    ranges = slab_ranges(n_cells, capacity)
    work = partial(put_block, cells=cells, ranges=ranges, dtype=dtype, spill=spill)
    sizes, missing = [], None
    try:
        for counts, gaps in map_blocks(work, blocks, execution, "genes"):
            sizes.append(counts)
            if gaps is not None:
                missing = gaps if missing is None else missing + gaps
    except NoRoomError:  # after all: values pack worse than most, or something else fills the disk
        spill.clear()
        return []
    table, begins = np.array(sizes).reshape(-1, len(ranges)), np.array([start for start, _ in blocks.ranges])
    most = max((int(n_cells[first:last].sum()) for first, last in ranges), default=0)
    fits = bool((table.sum(axis=0) <= most).all())
    check(fits, "n_cells must hold at least the stored values of each gene; it belongs to another table")
    rows_part = len(ranges) if stored else None
    found = []
    for number, (first, last) in enumerate(ranges):
        gaps = None if missing is None or not missing[first:last].any() else missing[first:last]
        here = np.ascontiguousarray(table[:, number])
        found.append(SpilledSlab(spill, number, first, last, begins, here, dtype, cells.dtype, rows_part, gaps))
    return found


def put_block(
    block: Block, start: int, cells: CellGroups, ranges: list[tuple[int, int]], dtype: np.dtype[Any], spill: Spill
) -> tuple[Array, Array | None]:
    """Put the values of a block aside, gene by gene; return how many of each slab, and those that are missing."""
    own = cells.only(start, start + block.shape[0])
    of_rows = []
    if len(own.divisors):  # as they are stored, with their rows: these are smaller than logarithms, and pack better
        check_counts(block, "normalize='log1p'")
        of_rows = [[own.groups, own.divisors]]
        numbers = np.where(own.groups < 0, -1, np.arange(len(own.groups)))
        numbers = numbers.astype(np.int16 if len(numbers) < 2**15 else np.int32)
        own = replace(own, groups=numbers, divisors=own.divisors[:0], n_groups=len(numbers))
        dtype = block.dtype
    parts, missing = [], []
    for first, last in ranges:
        values, members, starts, gaps = order_by_gene(block, start, own, first, last, dtype)
        parts.append([np.diff(starts).astype(np.int32), values, members])
        missing.append(gaps)
    spill.write(start, parts + of_rows)
    sizes = np.array([len(values) for _, values, _ in parts])
    if all(gaps is None for gaps in missing):
        return sizes, None
    none = [np.zeros((last - first, cells.n_groups), np.int64) for first, last in ranges]
    return sizes, np.concatenate([one if gaps is None else gaps for one, gaps in zip(none, missing, strict=True)])


def compare_spilled(slab: SpilledSlab, plan: Plan) -> list[tuple[int, dict[str, Array]]]:
    """Compute the statistics of a slab in a worker."""
    one = Execution(threads=1)
    return list(compare(slab.load(one), plan, one))


def compare_slabs(found: list[SpilledSlab], plan: Plan, execution: Execution) -> Iterator[tuple[int, dict[str, Array]]]:
    """Compute the statistics of slabs one after the other, by all threads, or each by a worker of an executor."""
    if execution.executor is None:
        for slab in found:
            yield from compare(slab.load(execution), plan, execution)
        return
    for parts in send_tasks(partial(compare_spilled, plan=plan), found, execution.executor, execution, "slabs"):
        yield from parts
