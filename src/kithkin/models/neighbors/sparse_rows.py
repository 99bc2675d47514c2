"""Exact cosine neighbours of sparse rows, block against block, within a budget of memory."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Blocks, SparseRows, even_ranges
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.distance import keep_smallest, sparse_scores
from kithkin.models.table.normalize import to_sparse

WIDTH = 512  # rows that are held dense at a time for each thread, at most
ROWS = 1024  # rows that are compared with them at a time
SHARE = 4  # one part in so many of the budget may be taken by dense rows


def cosine_neighbors(blocks: Blocks, k: int, execution: Execution) -> tuple[Array, Array]:
    """Find the k rows with the largest cosine to each row of a sparse table, itself left out.

    All rows are compared with all: some are spread out as columns, and the table streams past them. The table is read
    once for each of its parts, whose number falls with the memory allowed.

    Returns
    -------
    Numbers of the neighbours, n x k int32, and cosine distances, n x k float32, ascending.

    Raises
    ------
    ParameterError
        If values are not finite, or a row is zero.

    Examples
    --------
    >>> from scipy import sparse
    >>> from kithkin.core.blocks import as_blocks
    >>> X = sparse.csr_matrix([[1.0, 0, 0], [3, 4, 0], [0, 2, 0]])
    >>> ids, distances = cosine_neighbors(as_blocks(X), 1, Execution())
    >>> ids.ravel().tolist(), distances.round(2).ravel().tolist()
    ([1, 2, 1], [0.4000000059604645, 0.20000000298023224, 0.20000000298023224])
    """
    n, p = blocks.shape
    lengths = row_lengths(blocks)
    kept = k + 1  # itself among them
    ids, scores = np.full((n, kept), -1, np.int32), np.full((n, kept), np.finfo(np.float32).max, np.float32)
    threads = execution.threads
    width = int(np.clip(execution.memory / SHARE / (4 * p * threads), 8, WIDTH))
    for first, last in even_ranges(n, width * threads):
        # the rows of a part, one dense tile for each thread
        cuts = [(first + start, first + stop) for start, stop in even_ranges(last - first, width)]
        tiles = [(start, dense_columns(unit_rows(blocks, start, stop, lengths))) for start, stop in cuts]
        for start, stop in blocks.ranges:
            rows = unit_rows(blocks, start, stop, lengths)
            work = partial(compare, rows, start, tiles, ids, scores)
            deque(map_tasks(work, even_ranges(stop - start, ROWS), execution, "neighbors"), maxlen=0)
    return ids[:, 1:].copy(), np.maximum(scores[:, 1:], 0.0)


def compare(
    rows: SparseRows, start: int, tiles: list[tuple[int, Array]], ids: Array, scores: Array, part: tuple[int, int]
) -> None:
    """Keep the nearest of the rows of all tiles for a part of some rows, which are from `start` on, in place."""
    some, first = rows.take(*part), start + part[0]
    own = slice(first, start + part[1])
    for begin, columns in tiles:
        found = np.empty((some.shape[0], columns.shape[1]), np.float32)
        sparse_scores(-some.data, some.indices, some.indptr, columns, np.ones(columns.shape[1], np.float32), found)
        # a row is put before all others, as rows that are equal to it may be many
        themselves = np.arange(max(own.start, begin), min(own.stop, begin + columns.shape[1]))
        found[themselves - first, themselves - begin] = -1.0
        keep_smallest(found, np.arange(begin, begin + columns.shape[1], dtype=np.int32), scores[own], ids[own])


def row_lengths(blocks: Blocks) -> Array:
    """Compute the Euclidean length of each row, n; refuse rows of zeros and values that are not finite."""
    out = np.empty(blocks.shape[0])
    for start, stop in blocks.ranges:
        rows = _sparse(blocks, start, stop)
        squares = np.square(rows.data.astype(np.float64))
        row_of = np.repeat(np.arange(stop - start), np.diff(rows.indptr))
        sums = np.bincount(row_of, squares, stop - start)
        for bad, what in ((~np.isfinite(sums), "holds NaN or infinity"), (sums == 0, "is zero")):
            if bad.any():
                reason = ": it has no angle to others" if what == "is zero" else ""
                raise ParameterError(f"row {start + int(bad.argmax())} of X {what}{reason}")
        out[start:stop] = np.sqrt(sums)
    return out


def unit_rows(blocks: Blocks, start: int, stop: int, lengths: Array) -> SparseRows:
    """Read rows and divide them by their lengths, in single precision."""
    rows = _sparse(blocks, start, stop)
    values = rows.data / np.repeat(lengths[start:stop], np.diff(rows.indptr))
    return SparseRows(values.astype(np.float32), rows.indices, rows.indptr, rows.n_columns)


def dense_columns(rows: SparseRows) -> Array:
    """Spread rows out as columns, p x rows."""
    out = np.zeros((rows.n_columns, rows.shape[0]), rows.dtype)
    out[rows.indices, np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))] = rows.data
    return out


def _sparse(blocks: Blocks, start: int, stop: int) -> SparseRows:
    block = blocks.read(start, stop)
    return block if isinstance(block, SparseRows) else to_sparse(block)
