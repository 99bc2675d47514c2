"""Execution of a function over blocks: threads by default, any concurrent.futures.Executor on request."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kithkin.core.blocks import Blocks
from kithkin.core.budget import default_memory, parse_memory
from kithkin.core.errors import check_range
from kithkin.core.heap import KeptHeap, share_one_heap
from kithkin.core.own_rows import only_rows

T = TypeVar("T")
R = TypeVar("R")


def default_threads() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Execution:
    """Settings of execution, on which no answer depends: memory, threads, executor, progress.

    Attributes
    ----------
    memory
        Budget in bytes for what is held at a time, beyond the interpreter itself.
    threads
        Threads of this process.
    executor
        Any concurrent.futures.Executor for work on blocks, such as `client.get_executor()` of dask.distributed.
        Tasks hold paths and ranges, so that workers need the same files, also to write to; twice as many as there are
        workers are under way. None: threads of this process.
    progress
        Whether to draw a progress bar on standard error; None: only on a terminal.
    """

    memory: int = field(default_factory=default_memory)
    threads: int = field(default_factory=default_threads)
    executor: Executor | None = None
    progress: bool | None = None

    @staticmethod
    def of(
        memory: str | int | None = None,
        threads: int | None = None,
        executor: Executor | None = None,
        progress: bool | None = None,
    ) -> Execution:
        """Build from what a user types, such as memory="2GB"; None takes the default.

        Raises
        ------
        ParameterError
            If the size cannot be read or threads is less than 1.
        """
        if threads is not None:
            check_range("threads", threads, 1, 1024)
        return Execution(
            default_memory() if memory is None else parse_memory(memory),
            default_threads() if threads is None else threads,
            executor,
            progress,
        )

    def kept_heap(self, largest: int = 0) -> KeptHeap:
        """Return a context manager that keeps freed memory in the allocator between steps that make the same arrays.

        `largest` is the size in bytes of the largest of them.
        """
        return KeptHeap(largest)


def _run_block(function: Callable[[Any, int], R], blocks: Blocks, start: int, stop: int) -> R:
    with _named(start, stop):
        return function(blocks.read(start, stop), start)


@contextmanager
def _named(start: int, stop: int) -> Iterator[None]:
    """Add the rows to an error."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in rows {start} to {stop}")
        raise


def _ordered(submit: Callable[[T], Future[R]], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Yield results in the order of the items, with a bounded number under way; cancel the rest on an error."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def n_workers(executor: Executor) -> int:
    """Count the tasks that an executor runs at a time: its processes or threads, or the threads of a cluster of dask.

    Examples
    --------
    >>> n_workers(ThreadPoolExecutor(3))
    3
    """
    # no executor says so in public; dask's has the client, whose workers may come and go
    client = getattr(executor, "_client", None)
    if client is not None:
        return max(1, int(sum(client.nthreads().values())))
    return int(getattr(executor, "_max_workers", None) or default_threads())


def start_threads(n_threads: int) -> ThreadPoolExecutor:
    """Start threads that allocate from one heap, as blocks are freed by other threads than made them."""
    share_one_heap()
    return ThreadPoolExecutor(n_threads)


def map_blocks(
    function: Callable[[Any, int], R], blocks: Blocks, execution: Execution | None = None, label: str = ""
) -> Iterator[R]:
    """Yield function(block, start) for every block, in the order of the rows.

    An executor is sent a table on disk as a path and a range, and of arrays what belongs to the rows of a task
    (`only_rows`).

    Parameters
    ----------
    function
        Takes a block and its first row. Must pickle if the executor runs processes: use functools.partial
        of a module's function.
    blocks
        The table.
    execution
        Threads and executor; one thread per processor when None.
    label
        Text before the progress bar.

    Raises
    ------
    Exception
        Whatever the function raises, with the row range as a note.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> import numpy as np
    >>> list(map_blocks(lambda block, start: float(block.sum()), InMemory(np.eye(4), rows=3)))
    [3.0, 1.0]
    """
    execution = Execution() if execution is None else execution
    ranges = track(blocks.ranges, execution, label)

    def submit(rows: tuple[int, int]) -> Future[R]:
        start, stop = rows
        return pool.submit(_run_block, function, blocks, start, stop)

    def send(rows: tuple[int, int]) -> Future[R]:
        start, stop = rows
        return pool.submit(_run_block, only_rows(function, *rows), only_rows(blocks, *rows), start, stop)

    if execution.executor is not None:
        pool = execution.executor
        yield from _ordered(send, ranges, 2 * n_workers(pool))
    elif execution.threads == 1:
        for start, stop in ranges:
            yield _run_block(function, blocks, start, stop)
    else:
        with start_threads(execution.threads) as pool:
            yield from _ordered(submit, ranges, execution.threads)


def map_tasks(
    function: Callable[[T], R],
    items: Iterable[T],
    execution: Execution | None = None,
    label: str = "",
    *,
    ahead: int | None = None,
) -> Iterator[R]:
    """Yield function(item) in order, on threads of this process: for work on arrays that are already in memory.

    So many tasks as there are threads are `ahead` of the oldest; more where tasks are uneven and return nothing large.

    Examples
    --------
    >>> list(map_tasks(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    execution = Execution() if execution is None else execution
    items = track(items, execution, label)
    if execution.threads == 1:
        yield from map(function, items)
        return
    with start_threads(execution.threads) as threads:
        yield from _ordered(lambda item: threads.submit(function, item), items, ahead or execution.threads)


def send_tasks(
    function: Callable[[T], R], items: Iterable[T], executor: Executor, execution: Execution, label: str = ""
) -> Iterator[R]:
    """Yield function(item) in order, computed by the workers of an executor: items say what to read.

    Examples
    --------
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(send_tasks(abs, [-1, 2, -3], pool, Execution()))
    [1, 2, 3]
    """
    yield from _ordered(
        lambda item: executor.submit(function, item), track(items, execution, label), 2 * n_workers(executor)
    )


def track(
    items: Iterable[T],
    execution: Execution,
    label: str,
    *,
    unit: str = "block",
    total: int | None = None,
    size: Callable[[T], int] | None = None,
) -> Iterable[T]:
    """Yield the items, with a progress bar on a terminal (silent in a pipe, and without a label).

    Parameters
    ----------
    items
        Items that are worked through.
    execution
        Settings that say whether to show progress.
    label
        Text before the bar.
    unit
        Name of what is counted.
    total
        Number of items, where they do not tell it.
    size
        Gives how much an item counts; one if None.
    """
    show = sys.stderr.isatty() if execution.progress is None else execution.progress
    return _drawn(items, label, unit, total, size) if label and show else items


def _drawn(
    items: Iterable[T], label: str, unit: str, total: int | None, size: Callable[[T], int] | None
) -> Iterator[T]:
    from tqdm.auto import tqdm

    total = len(items) if total is None and isinstance(items, Sized) else total
    with tqdm(desc=label, total=total, unit=f" {unit}s", unit_scale=size is not None, leave=False) as bar:
        for item in items:
            yield item
            bar.update(1 if size is None else size(item))
