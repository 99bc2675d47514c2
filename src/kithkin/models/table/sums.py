"""Reduction over all rows in a fixed order: sums over a few runs of blocks, the same for any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.own_rows import only_rows, with_ranges

N_RUNS = 8  # at least, where there are as many blocks
LONGEST = 16  # blocks of a run, so that a large table keeps more workers busy
MOST = 256  # runs, however large the table is: each returns sums that do not grow with it


@dataclass(frozen=True)
class BlockRun:
    """Run of consecutive blocks of a table that one task reduces."""

    blocks: Blocks
    ranges: list[tuple[int, int]]  # (start, stop) of each block of the run

    def __iter__(self) -> Iterator[tuple[int, Block]]:
        """Yield the first row and the block, one after the other."""
        for start, stop in self.ranges:
            yield start, self.blocks.read(start, stop)


class BlockRuns:
    """Row blocks as runs of consecutive blocks; `read` returns a BlockRun, which reads as it goes.

    There are eight runs, or fewer where there are fewer blocks; or one for 16 blocks, up to 256.

    The cut depends on the blocks alone, so that what is added up run by run is the same for any number of threads.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self.shape, self.dtype, self.is_sparse = blocks.shape, blocks.dtype, blocks.is_sparse
        n_blocks = len(blocks.ranges)
        cuts = np.linspace(0, n_blocks, min(max(N_RUNS, min(n_blocks // LONGEST, MOST)), n_blocks) + 1).astype(int)
        parts = [blocks.ranges[a:b] for a, b in pairwise(cuts)]
        self.ranges = [(part[0][0], part[-1][1]) for part in parts]
        self._parts = dict(zip(self.ranges, parts, strict=True))

    def read(self, start: int, stop: int) -> Any:
        """Return the run from row start to row stop, one of `ranges`."""
        return BlockRun(self._blocks, self._parts[start, stop])

    def only(self, start: int, stop: int) -> BlockRuns:
        """Return the same for the run from row start to row stop alone."""
        other = with_ranges(self, start, stop)
        other._blocks, other._parts = only_rows(self._blocks, start, stop), {(start, stop): self._parts[start, stop]}
        return other


def reduce_blocks(
    function: Callable[[BlockRun, int], tuple[Array, ...]],
    blocks: Blocks,
    execution: Execution | None = None,
    label: str = "",
) -> tuple[Array, ...]:
    """Add up, in a fixed order, the arrays that a function returns for each run of blocks.

    `function(run, start)` must pickle if an executor of processes is used. Threads are reduced where their partial sums
    would exceed the budget.
    """
    parts = map_blocks(function, BlockRuns(blocks), execution, label)
    total = next(parts)
    while (part := next(parts, None)) is not None:
        for array, addend in zip(total, part, strict=True):
            np.add(array, addend, out=array)
        del part, addend  # or they would be kept until the next ones are there
    return total


def within_memory(execution: Execution | None, n_bytes: int) -> Execution:
    """Return the same execution with no more threads than partial sums of so many bytes fit the budget."""
    execution = Execution() if execution is None else execution
    # beside one sum per thread there are the total, finished sums, and some that wait for their turn
    return replace(execution, threads=max(1, min(execution.threads, execution.memory // max(1, n_bytes) - 3)))
