"""Sums over all rows in a few fixed shares, so that a large sum is neither made per block nor depends on threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks
from kithkin.core.execute import Execution, map_blocks

N_SHARES = 8


@dataclass(frozen=True)
class Share:
    """Consecutive blocks of a table that are added up into one sum.

    Attributes
    ----------
    blocks
        The table.
    ranges
        The (start, stop) of the blocks of this share.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> share = Share(InMemory(np.eye(4), rows=1), [(1, 2), (2, 3)])
    >>> [(start, block.shape) for start, block in share]
    [(1, (1, 4)), (2, (1, 4))]
    """

    blocks: Blocks
    ranges: list[tuple[int, int]]

    def __iter__(self) -> Iterator[tuple[int, Block]]:
        """First row and block, one after the other."""
        for start, stop in self.ranges:
            yield start, self.blocks.read(start, stop)


class Shares:
    """Row blocks seen as at most eight shares of consecutive blocks; `read` gives a Share, which reads as it goes.

    The cut depends on the blocks alone, so a sum of the sums of the shares is the same for any number of threads.

    Parameters
    ----------
    blocks
        The table.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> Shares(InMemory(np.eye(20), rows=2)).ranges[:3]
    [(0, 2), (2, 4), (4, 6)]
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self.shape, self.dtype, self.is_sparse = blocks.shape, blocks.dtype, blocks.is_sparse
        n_blocks = len(blocks.ranges)
        cuts = np.linspace(0, n_blocks, min(N_SHARES, n_blocks) + 1).astype(int)
        parts = [blocks.ranges[a:b] for a, b in pairwise(cuts)]
        self.ranges = [(part[0][0], part[-1][1]) for part in parts]
        self._parts = dict(zip(self.ranges, parts, strict=True))

    def read(self, start: int, stop: int) -> Any:
        """Return the share from row start to row stop, one of `ranges`."""
        return Share(self._blocks, self._parts[start, stop])


def sum_shares(
    function: Callable[[Share, int], tuple[Array, ...]],
    blocks: Blocks,
    execution: Execution | None = None,
    label: str = "",
) -> tuple[Array, ...]:
    """Add up, in a fixed order, the arrays that a function returns for each share of the rows.

    Parameters
    ----------
    function
        `function(share, start) -> arrays`; must pickle if an executor of processes is used.
    blocks
        The table, with one row at least.
    execution
        Threads are reduced where their partial sums would exceed the budget.
    label
        Shown with the progress bar.

    Returns
    -------
    tuple
        The sums, of the shapes that the function returns.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> blocks = InMemory(np.ones((10, 2)), rows=3)
    >>> sum_shares(lambda share, start: (sum(block.sum(axis=0) for _, block in share),), blocks)[0].tolist()
    [10.0, 10.0]
    """
    parts = map_blocks(function, Shares(blocks), execution, label)
    total = next(parts)
    # mapped, not looped over: a loop's variable would keep a share that has been added until the next one is there
    deque(map(partial(_add, total), parts), maxlen=0)
    return total


def _add(total: tuple[Array, ...], part: tuple[Array, ...]) -> None:
    for array, addend in zip(total, part, strict=True):
        np.add(array, addend, out=array)


def within_memory(execution: Execution | None, share: int) -> Execution:
    """Return the same execution with no more threads than partial sums of so many bytes fit the budget.

    Examples
    --------
    >>> within_memory(Execution(memory=200 * 10**6, threads=16), 32 * 10**6).threads
    3
    """
    execution = Execution() if execution is None else execution
    # beside one sum per thread there are the total, a finished share, and one that waits for its turn
    return replace(execution, threads=max(1, min(execution.threads, execution.memory // max(1, share) - 3)))
