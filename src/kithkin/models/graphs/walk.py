"""A weighted graph as a walker sees it: checked once, and stepped over for several sets of values at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import Execution
from kithkin.kernels.walk import connected_parts, reorder, step_rows, strengths

ROWS = 16_384  # rows of a task: fixed, so that sums are the same for every number of threads


class Walk:
    """An undirected graph of weighted links, and steps over it.

    Parameters
    ----------
    graph
        n x n symmetric weights, SciPy sparse matrix or array. Single precision is not copied.
    execution
        Threads.

    Attributes
    ----------
    n
        Vertices.
    strength
        n float64: the sum of the weights of each vertex.
    links
        data float32, indices uint32 and pointers uint64 of the rows.

    Raises
    ------
    ParameterError
        If the graph is not square, not symmetric, or has weights that are negative or not finite.

    Examples
    --------
    >>> walk = Walk(np.array([[0, 2, 0], [2, 0, 0], [0, 0, 0]]))
    >>> count, part, _ = walk.parts()
    >>> walk.strength.tolist(), count, part.tolist()
    ([2.0, 2.0, 0.0], 2, [0, 0, 1])
    """

    def __init__(self, graph: Any, execution: Execution | None = None) -> None:
        self.execution = Execution() if execution is None else execution
        matrix = sparse.csr_matrix(graph)
        self.n, n_columns = matrix.shape
        check(self.n == n_columns, f"graph must be square, got {self.n} x {n_columns}")
        check(1 <= self.n < 2**31, f"graph must have 1..{2**31 - 1} vertices, got {self.n}")
        indices = matrix.indices
        indices = indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint32)
        data = matrix.data.astype(np.float32, copy=False)
        self.links: tuple[Array, Array, Array] = data, indices, matrix.indptr.astype(np.uint64)
        self.strength, into = np.zeros((2, self.n))
        if strengths(*self.links, self.strength, into) >= 0:
            raise ParameterError("graph must have weights that are finite and not negative")
        same = np.allclose(self.strength, into, rtol=1e-4, atol=1e-6)
        check(same, "graph must be symmetric, so that i-j weighs what j-i does")
        self.ranges = even_ranges(self.n, ROWS)
        self._pool: ThreadPoolExecutor | None = None

    def parts(self) -> tuple[int, Array, Array]:
        """How many connected parts there are, each vertex's part (n int32), and the vertices in order of neighbours."""
        part, order = np.empty((2, self.n), np.int32)
        return int(connected_parts(*self.links, part, order)), part, order

    def reordered(self, order: Array) -> Walk:
        """The same graph with its vertices in another order: neighbours side by side lie in the cache together."""
        place = np.empty(self.n, np.uint32)
        place[order] = np.arange(self.n, dtype=np.uint32)
        other = copy(self)
        data, indices, indptr = (np.empty_like(part) for part in self.links)
        other.links = data, indices, indptr
        reorder(*self.links, order, place, *other.links)
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

        Parameters
        ----------
        x, source, out
            n x s, C order, all float32 or all float64.
        scale, weight
            n, in the type of x.

        Returns
        -------
        ndarray
            3 x s: sums by weight of (out - x)^2, out^2 and out x.
        """

        def rows(start: int, stop: int, sums: Array) -> None:
            step_rows(*self.links, start, stop, scale, x, source, weight, out, sums)

        return self.over_rows(rows, (3, x.shape[1]))
