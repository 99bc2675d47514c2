"""Surroundings of some rows: their nearest neighbours among all rows, and their distances to groups of rows."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks, even_ranges
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_blocks, map_tasks
from kithkin.kernels.distance import keep_smallest
from kithkin.models.kmeans import survey_block
from kithkin.models.table.blas import single_threaded

TILE = 1024  # rows of either side of one matrix product, so that its result stays in the second cache
HUGE = np.finfo(np.float32).max


class Surroundings:
    """Nearest others of some rows of a table, and the distances of these rows to all rows of each group.

    The table is read twice, and held are m x (k + groups) values and a few blocks. Squared distances are matrix
    products in single precision, taken around the mean of the table.

    n_neighbors: number of neighbours, the row itself not counted.
    n_groups: number of groups; as many as codes have when None.
    indices_: m x k int32, by distance.
    distances_: m x k float32.
    sums_: sum of the distances to the rows of each group, m x groups float64.
    """

    indices_: Array
    distances_: Array
    sums_: Array

    def __init__(self, n_neighbors: int = 90, n_groups: int | None = None) -> None:
        self.n_neighbors, self.n_groups = n_neighbors, n_groups

    def fit(self, X: Any, rows: Array, codes: Array, execution: Execution | None = None) -> Self:
        """Find the neighbours of some rows, and add up distances.

        X: n x d dense array or dense row blocks.
        rows: numbers of m rows, ascending.
        codes: group of each row from 0, n integers; negative: in no group.
        Raises ParameterError if X is sparse or holds NaN or infinity, or there are fewer rows than neighbours.
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        check(not blocks.is_sparse, "X must be dense, got a sparse table: reduce it first, by PCA for example")
        check_range("n_neighbors", self.n_neighbors, 1, blocks.shape[0] - 1)
        with single_threaded():
            mean, own = chosen_rows(blocks, rows, execution)
            n_groups = int(codes.max(initial=-1)) + 1 if self.n_groups is None else self.n_groups
            seen = _Seen(own - mean, self.n_neighbors + 1, n_groups)
            for start, stop in blocks.ranges:
                block = np.asarray(blocks.read(start, stop))
                candidates = _Candidates(block - mean, start, codes[start:stop])
                work = partial(seen.compare, candidates)
                for _ in map_tasks(work, even_ranges(len(rows), TILE), execution, "surroundings"):
                    pass
        self.sums_ = seen.sums[:, 1:]
        itself = seen.ids == rows[:, None]
        itself[~itself.any(axis=1), -1] = True  # more equal rows than neighbours: any of them is as good
        shape = len(rows), self.n_neighbors
        self.indices_ = seen.ids[~itself].reshape(shape)
        squares = seen.best[~itself].reshape(shape) + seen.squares[:, None]
        self.distances_ = np.sqrt(np.maximum(squares, 0))
        return self


def chosen_rows(blocks: Blocks, rows: Array, execution: Execution) -> tuple[Array, Array]:
    """Return the mean of all rows, and some rows (ascending numbers), both in single precision, in one pass.

    Rows that hold NaN or infinity raise ParameterError.
    """
    total, parts = np.zeros(blocks.shape[1]), []
    for part, sums, _ in map_blocks(partial(survey_block, chosen=rows), blocks, execution, "rows"):
        total += sums
        parts.append(part)
    return (total / blocks.shape[0]).astype(np.float32), np.concatenate(parts).astype(np.float32)


class _Candidates:
    """Rows of a block by group, as one side of a matrix product.

    right: (d + 1) x rows float32: -2 times the rows, and their squared lengths.
    numbers: number of each row in the table, int32.
    codes: group of each row + 1, ascending.
    """

    def __init__(self, block: Array, start: int, codes: Array) -> None:
        order = np.argsort(codes, kind="stable")
        self.numbers, self.codes = (start + order).astype(np.int32), codes[order] + 1
        rows = block[order].astype(np.float32, copy=False)
        self.right = np.empty((block.shape[1] + 1, len(order)), np.float32)
        np.multiply(rows.T, -2, out=self.right[:-1])
        self.right[-1] = np.einsum("ij,ij->i", rows, rows)


class _Seen:
    """Smallest scores of rows so far, and sums of their distances to groups; a score lacks the row's own square."""

    def __init__(self, own: Array, kept: int, n_groups: int) -> None:
        self._left = np.ones((len(own), own.shape[1] + 1), np.float32)
        self._left[:, :-1] = own
        self.squares = np.einsum("ij,ij->i", own, own)
        self.best, self.ids = np.full((len(own), kept), HUGE, np.float32), np.full((len(own), kept), -1, np.int32)
        self.sums = np.zeros((len(own), n_groups + 1))  # the first column: of rows in no group

    def compare(self, candidates: _Candidates, part: tuple[int, int]) -> None:
        """Compare rows first to last with all candidates."""
        first, last = part
        table = np.empty((last - first) * TILE, np.float32)  # one for all products: pages are slower than arithmetic
        for c in range(0, len(candidates.codes), TILE):
            right = candidates.right[:, c : c + TILE]
            scores = table[: (last - first) * right.shape[1]].reshape(last - first, -1)
            np.matmul(self._left[first:last], right, out=scores)
            keep_smallest(scores, candidates.numbers[c : c + TILE], self.best[first:last], self.ids[first:last])
            scores += self.squares[first:last, None]
            np.sqrt(np.maximum(scores, 0, out=scores), out=scores)
            groups, starts = np.unique(candidates.codes[c : c + TILE], return_index=True)
            self.sums[first:last, groups] += np.add.reduceat(scores, starts, axis=1)
