"""Import of a table by the workers of an executor: they measure its rows, then write the files of the new dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Protocol

import numpy as np

from kithkin.core.blocks import Array, Block
from kithkin.core.errors import KithkinError
from kithkin.core.execute import Execution, n_workers, send_tasks
from kithkin.core.spread import Measured, Sizes, measure_rows
from kithkin.core.writer import DatasetWriter
from kithkin.io.source import Source
from kithkin.io.streams.file_rows import FileRows
from kithkin.io.streams.totals import Totals

MOST_BLOCKS = 4  # that one task reads behind each other, so that a chunk at the border of two is decoded once


class Observer(Protocol):
    """Measure of the blocks of X, taken in any process and added up in order."""

    def measuring(self, n_genes: int) -> Callable[[Block, int], Any]:
        """Return a function of a block and its first row, which pickles."""
        ...

    def add(self, sums: Any) -> None:
        """Add what the function found in the next block."""
        ...


class NotSpread(Exception):  # noqa: N818  (no fault of the input)
    """Raised if workers cannot import a table by ranges of rows: import the source once more, in one process."""


@dataclass(frozen=True)
class Found:
    """Measures of a block beside the sizes of its rows."""

    totals: Totals
    n_missing: Array | None  # of each column, where there are any
    sums: Any  # for the observer; None beside missing values


@dataclass(frozen=True)
class BlockRun:
    """Task of a worker: consecutive blocks, and what is measured of each."""

    blocks: FileRows
    ranges: list[tuple[int, int]]
    measure: Callable[[Block, int], Any] | None


def measure_block(block: Block, start: int, measure: Callable[[Block, int], Any] | None) -> Found:
    """Measure a block as the import in one process does, which hands no missing value to an observer.

    Examples
    --------
    >>> found = measure_block(np.array([[1.0, np.nan], [0.5, 2.0]]), 0, None)
    >>> found.totals.total, found.n_missing.tolist()
    (3.5, [0, 1])
    """
    totals, n_missing = Totals(), None
    totals.add(block)
    if isinstance(block, np.ndarray) and block.dtype.kind == "f":
        absent = np.isnan(block)
        n_missing = absent.sum(axis=0) if absent.any() else None
    return Found(totals, n_missing, None if measure is None or n_missing is not None else measure(block, start))


def measure_run(run: BlockRun) -> list[Measured]:
    """Measure the blocks of a task."""
    measure = partial(measure_block, measure=run.measure)
    return [measure_rows(run.blocks.read(*rows), rows[0], measure) for rows in run.ranges]


def spread(
    source: Source,
    key: str,
    writer: DatasetWriter,
    execution: Execution,
    take: Callable[[Found], None] | None,
    observer: Observer | None,
) -> Totals | None:
    """Import a table by the workers of an executor, and return its totals; None if it is to be streamed.

    Parameters
    ----------
    source
        Its `ranges` name the tables that can be cut by rows.
    key
        "X" or "layers/<name>".
    writer
        Of a new dataset with as many columns.
    execution
        Its executor does the work.
    take
        Called with what was found in each block, in order; None: with nothing kept, a table can begin again at once.
    observer
        Gives what the workers measure of each block.

    Raises
    ------
    NotSpread
        If a worker refuses what it reads, or does not find it: one process says what is wrong, and where.
    """
    executor, totals, parts = execution.executor, Totals(), list[Measured]()
    if executor is None or key not in source.ranges:
        return None
    blocks: FileRows | None = source.ranges[key](execution)
    if blocks is None or not writer.spreads(key, execution, blocks.stored.path):
        return None
    measure = None if observer is None else observer.measuring(blocks.shape[1])
    size = max(1, min(MOST_BLOCKS, len(blocks.ranges) // (MOST_BLOCKS * n_workers(executor))))
    runs = (blocks.ranges[first : first + size] for first in range(0, len(blocks.ranges), size))
    tasks = (BlockRun(blocks.only(run[0][0], run[-1][1]), run, measure) for run in runs)
    label = f"{source.name}: {key}"
    try:
        for one in chain.from_iterable(send_tasks(measure_run, tasks, executor, execution, label)):
            if take is not None:
                take(one.found)
            totals.merge(one.found.totals)
            parts.append(replace(one, found=None))
        Sizes(parts).check()
    except KithkinError as error:
        if take is None:
            return None
        raise NotSpread from error
    writer.write_parts(blocks, key, execution, parts, label=label)
    return totals
