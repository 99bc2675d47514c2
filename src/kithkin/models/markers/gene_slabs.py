"""Slabs of consecutive genes that fit the budget, each gathered gene by gene in one pass over the row blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.ranks import count_columns, to_columns
from kithkin.models.table.normalize import check_counts, to_sparse

FRACTION_OF_BUDGET = 0.6  # the rest is for the blocks in flight, the genes being ranked, and the results


@dataclass(frozen=True)
class CellGroups:
    """Group and divisor of each cell.

    groups: int16, n: group, negative for a cell that is left out.
    divisors: float32, n: divisor of the counts before the logarithm; empty if values are taken as they are.
    n_groups: number of groups.
    allow_missing: NaN is a missing value, which is counted and left out; else it is refused.
    first: number of the first cell.
    """

    groups: Array
    divisors: Array
    n_groups: int
    allow_missing: bool = False
    first: int = 0

    def only(self, start: int, stop: int) -> CellGroups:
        """Return those of cells start to stop."""
        here = slice(start - self.first, stop - self.first)
        return replace(self, groups=self.groups[here], divisors=self.divisors[here], first=start)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest type that holds a group."""
        return np.min_scalar_type(max(0, self.n_groups - 1))


@dataclass(frozen=True)
class Slab:
    """Consecutive genes as stored values, part after part, gene after gene within a part.

    first, last: range of genes.
    values, members: value, and group of its cell.
    starts: parts x (genes + 1): begin of each gene in each part.
    missing: genes x groups: number of values that are missing; None: none is.
    """

    first: int
    last: int
    values: Array
    members: Array
    starts: Array
    missing: Array | None = None

    @cached_property
    def counts(self) -> Array:
        """Number of stored values of each gene."""
        counts: Array = np.diff(self.starts.sum(axis=0))
        return counts


def stored_counts(blocks: Blocks, cells: CellGroups, execution: Execution) -> Array:
    """Count the stored values of each gene in the cells that are used, in a pass for callers who do not know them."""
    total = np.zeros(blocks.shape[1], np.int64)
    for counts in map_blocks(partial(count_block, cells=cells), blocks, execution, "count"):
        total += counts
    return total


def slabs(blocks: Blocks, cells: CellGroups, n_cells: Array, execution: Execution) -> Iterator[Slab]:
    """Gather all genes in slabs of consecutive ones, each in one pass.

    blocks: cells x genes.
    n_cells: number of stored values of each gene, p, or more: the size of a slab is reckoned from it.
    execution: a slab takes 0.6 of the budget, or one gene if that is more.
    Raises ParameterError if a value is negative where counts are needed, not finite, or n_cells is too small.
    """
    dtype = value_dtype(blocks.dtype, len(cells.divisors) > 0)
    ranges = slab_ranges(n_cells, int(execution.memory * FRACTION_OF_BUDGET) // (dtype.itemsize + cells.dtype.itemsize))
    size = max((int(n_cells[first:last].sum()) for first, last in ranges), default=0)
    values, members = np.empty(size, dtype), np.empty(size, cells.dtype)
    for first, last in ranges:
        work = partial(order_by_gene, cells=cells, first=first, last=last, dtype=dtype)
        starts, used, missing = [], 0, None
        for part in map_blocks(work, blocks, execution, f"genes {first} to {last}"):
            end = used + len(part[0])
            check(end <= size, "n_cells must hold at least the stored values of each gene; it belongs to another table")
            values[used:end], members[used:end] = part[0], part[1]
            starts.append(part[2] + used)
            used = end
            if part[3] is not None:
                missing = part[3] if missing is None else missing + part[3]
        bounds = np.array(starts).reshape(-1, last - first + 1)
        yield Slab(first, last, values[:used], members[:used], bounds, missing)


def slab_ranges(counts: Array, capacity: int) -> list[tuple[int, int]]:
    """Cut genes into the fewest ranges of about equal size, none above the capacity unless it is a single gene."""
    total = int(counts.sum())
    target = max(1.0, total / max(1, -(-total // max(1, capacity))))
    ranges, first, held = [], 0, 0
    for gene, count in enumerate(counts.tolist()):
        if gene > first and (held + count > capacity or held >= target):
            ranges.append((first, gene))
            first, held = gene, 0
        held += count
    return [*ranges, (first, len(counts))] if len(counts) else []


def value_dtype(dtype: np.dtype[np.generic], normalized: bool) -> np.dtype[np.float32] | np.dtype[np.float64]:
    """Return single precision where it is exact or what normalisation gives, else double."""
    exact = np.can_cast(dtype, np.float32, "safe")
    return np.dtype(np.float32) if normalized or exact else np.dtype(np.float64)


def columns_of(block: Block, first: int, last: int) -> tuple[SparseRows, int, int]:
    """Return stored values with at least the genes of the range, and the range among them."""
    if isinstance(block, SparseRows):
        return block, first, last
    return to_sparse(block[:, first:last]), 0, last - first


def count_block(block: Block, start: int, cells: CellGroups) -> Array:
    """Count the stored values of each gene in a block."""
    rows, first, last = columns_of(block, 0, block.shape[1])
    starts = np.empty(last + 1, np.int64)
    groups = cells.only(start, start + block.shape[0]).groups
    count_columns(rows.indices, rows.indptr, groups, first, last, starts)
    return np.diff(starts)


def order_by_gene(
    block: Block, start: int, cells: CellGroups, first: int, last: int, dtype: np.dtype[np.generic]
) -> tuple[Array, Array, Array, Array | None]:
    """Order the values of a block by gene; also count those that are missing, for which a zero is put."""
    own = cells.only(start, start + block.shape[0])
    normalized = len(own.divisors) > 0
    if normalized:
        check_counts(block, "normalize='log1p'")
    rows, low, high = columns_of(block, first, last)
    starts = np.empty(high - low + 1, np.int64)
    count_columns(rows.indices, rows.indptr, own.groups, low, high, starts)
    values, members = np.empty(starts[-1], dtype), np.empty(starts[-1], cells.dtype)
    position = starts[:-1].copy()
    to_columns(rows.data, rows.indices, rows.indptr, own.groups, own.divisors, low, high, position, values, members)
    if normalized or rows.data.dtype.kind != "f" or np.isfinite(values).all():
        return values, members, starts, None
    gaps = np.flatnonzero(np.isnan(values))
    if np.isinf(values).any() or not cells.allow_missing:
        raise ParameterError("X must hold finite values, but there is NaN or infinity")
    place = (np.searchsorted(starts, gaps, "right") - 1) * cells.n_groups + members[gaps]
    values[gaps] = 0
    missing = np.bincount(place, minlength=(last - first) * cells.n_groups)
    return values, members, starts, missing.reshape(-1, cells.n_groups)
