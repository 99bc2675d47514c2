"""Steps of a random walk over a weighted graph, for several sets of values at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.kernels.walk import connected_parts, reorder, step_rows
from kithkin.models.graphs.weighted_graph import checked_graph, checked_strengths, links_of

ROWS = 16_384  # rows of a task: fixed, so that sums are the same for every number of threads


class Walk:
    """An undirected graph of weighted links, and steps over it.

    graph: n x n symmetric weights, SciPy sparse matrix or array. Single precision is not copied.
    n: vertices.
    strength: n float64: the sum of the weights of each vertex.
    links: data float32, indices uint32 and pointers uint64 of the rows.
    Raises ParameterError if the graph is not square, not symmetric, or has weights that are negative or not finite.
    """

    def __init__(self, graph: Any, execution: Execution | None = None) -> None:
        self.execution = Execution() if execution is None else execution
        matrix = checked_graph(graph)
        self.n = matrix.shape[0]
        check(1 <= self.n < 2**31, f"graph must have 1..{2**31 - 1} vertices, got {self.n}")
        self.links: tuple[Array, Array, Array] = links_of(matrix, np.float32)
        self.strength = checked_strengths(self.links)
        self.ranges = even_ranges(self.n, ROWS)
        self._pool: ThreadPoolExecutor | None = None

    def parts(self) -> tuple[int, Array, Array]:
        """Count the connected components; return each vertex's (n int32), and the vertices in order of neighbours."""
        part, order = np.empty((2, self.n), np.int32)
        return int(connected_parts(*self.links, part, order)), part, order

    def reordered(self, order: Array) -> Walk:
        """Return the graph with its vertices in another order: neighbours side by side lie in the cache together."""
        position = np.empty(self.n, np.uint32)
        position[order] = np.arange(self.n, dtype=np.uint32)
        other = copy(self)
        data, indices, indptr = (np.empty_like(part) for part in self.links)
        other.links = data, indices, indptr
        reorder(*self.links, order, position, *other.links)
        other.strength = self.strength[order]
        return other

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Keep the threads for all steps within."""
        if self.execution.threads == 1 or len(self.ranges) == 1:
            yield
            return
        with ThreadPoolExecutor(self.execution.threads) as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def over_rows(self, function: Callable[..., None], n_sums: tuple[int, ...]) -> Array:
        """Call function(start, stop, sums) for all rows in tasks of fixed size, and add the sums up in their order."""
        sums = np.empty((len(self.ranges), *n_sums))

        def task(number: int) -> None:
            function(*self.ranges[number], sums[number])

        numbers = range(len(self.ranges))
        for _ in map(task, numbers) if self._pool is None else self._pool.map(task, numbers):
            pass
        added: Array = sums.sum(axis=0)
        return added

    def step(self, x: Array, scale: Array, source: Array, weight: Array, out: Array) -> Array:
        """Write scale times the weighted sum over the neighbours plus source.

        x, source, out: n x s, C order, all float32 or all float64.
        scale, weight: n, in the type of x.
        Returns 3 x s: sums by weight of (out - x)^2, out^2 and out x.
        """

        def rows(start: int, stop: int, sums: Array) -> None:
            step_rows(*self.links, start, stop, scale, x, source, weight, out, sums)

        return self.over_rows(rows, (3, x.shape[1]))
