"""Scores of sets of genes for the rows of a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import check
from kithkin.kernels.set_sums import sum_ordered_ranks, sum_shared_ranks, sum_weighted
from kithkin.models.table.normalize import check_counts, sparse_pieces


@dataclass(frozen=True)
class SetMembers:
    """Sets of each column: those of column j are sets[starts[j] : starts[j + 1]], with a weight each."""

    starts: Array  # int64
    sets: Array  # int32
    weights: Array  # float64

    @staticmethod
    def of(columns: list[Array], n_columns: int, weights: list[Array] | None = None) -> SetMembers:
        """Turn the columns of each set into the sets of each column.

        >>> members = SetMembers.of([np.array([1, 2]), np.array([1])], 3)
        >>> members.starts.tolist(), members.sets.tolist()
        ([0, 0, 2, 3], [0, 1, 0])
        """
        column = np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int64)
        number = np.repeat(np.arange(len(columns), dtype=np.int32), [len(some) for some in columns])
        weight = np.ones(len(column)) if weights is None else np.concatenate([np.zeros(0), *weights])
        order = np.argsort(column, kind="stable")
        starts = np.zeros(n_columns + 1, np.int64)
        np.cumsum(np.bincount(column, minlength=n_columns), out=starts[1:])
        return SetMembers(starts, number[order], weight[order])


def _checked(block: Block, method: str) -> tuple[Block, bool]:
    """Check that values can be ranked with zero as the lowest, and tell whether they are whole numbers."""
    check_counts(block, f"method={method!r}")
    values = block.data if isinstance(block, SparseRows) else block
    return block, values.dtype.kind in "biu" or not bool(np.any(np.floor(values) != values))


def columns_seen(block: Block, _start: int) -> Array:
    """Tell which columns hold a value other than zero."""
    if not isinstance(block, SparseRows):
        return np.asarray((block != 0).any(axis=0))
    return np.bincount(block.indices[block.data != 0], minlength=block.n_columns) > 0


def filled_rows(piece: SparseRows) -> Array:
    """Tell which rows hold a value other than zero."""
    before = np.concatenate([[0], np.cumsum(piece.data != 0)])[piece.indptr]
    return np.diff(before) > 0


def shared_rank_scores(
    block: Block, _start: int, members: SetMembers, last_rank: int, most: Array, subtracted: Array
) -> tuple[Array, Array]:
    """Score the rows of a block by UCell; and tell which rows hold anything.

    The last sets of `members` are subtracted from those whose positions `subtracted` holds.
    """
    block, whole = _checked(block, "ucell")
    gains, filled = np.zeros((block.shape[0], len(most))), np.zeros(block.shape[0], bool)
    for offset, piece in sparse_pieces(block):
        rows = slice(offset, offset + piece.shape[0])
        stored = piece.data, piece.indices, piece.indptr
        sum_shared_ranks(stored[0], stored[1], stored[2], whole, members.starts, members.sets, last_rank, gains[rows])
        filled[rows] = filled_rows(piece)
    gains /= most
    n_sets = len(most) - len(subtracted)
    scores = gains[:, :n_sets]
    scores[:, subtracted] = np.maximum(scores[:, subtracted] - gains[:, n_sets:], 0.0)
    return scores.astype(np.float32), filled


def ordered_rank_scores(
    block: Block, _start: int, members: SetMembers, place: Array, last_rank: int, most: Array
) -> tuple[Array, Array]:
    """Score the rows of a block by AUCell; and tell which rows hold anything."""
    block, whole = _checked(block, "aucell")
    gains, filled = np.zeros((block.shape[0], len(most))), np.zeros(block.shape[0], bool)
    for offset, piece in sparse_pieces(block):
        rows = slice(offset, offset + piece.shape[0])
        sum_ordered_ranks(
            piece.data, piece.indices, piece.indptr, whole, place, members.starts, members.sets, last_rank, gains[rows]
        )
        filled[rows] = filled_rows(piece)
    scores = np.divide(gains, most, out=np.zeros_like(gains), where=most > 0)
    scores[~filled] = np.nan
    return scores.astype(np.float32), filled


def column_totals(block: Block, start: int, divisors: Array) -> Array:
    """Sum the normalised values of each column."""
    sums = np.zeros(block.shape[1])
    for offset, piece in sparse_pieces(block):
        sums += np.bincount(piece.indices, normalized(piece, start + offset, divisors), block.shape[1])
    return sums


def mean_scores(block: Block, start: int, members: SetMembers, divisors: Array, n_sets: int) -> tuple[Array, Array]:
    """Score the rows of a block by weighted sums; and tell which rows hold anything."""
    sums, filled = np.zeros((block.shape[0], n_sets)), np.zeros(block.shape[0], bool)
    for offset, piece in sparse_pieces(block):
        rows = slice(offset, offset + piece.shape[0])
        values = normalized(piece, start + offset, divisors)
        sum_weighted(values, piece.indices, piece.indptr, members.starts, members.sets, members.weights, sums[rows])
        filled[rows] = filled_rows(piece)
    return sums.astype(np.float32), filled


def normalized(piece: SparseRows, first: int, divisors: Array) -> Array:
    """Return log1p(value / divisor of the row) in single precision, as scanpy rounds it; without divisors the values.

    Sums of such values in double precision are exact, so that equal means tie whatever the blocks.
    """
    if not len(divisors):
        known = bool(np.isfinite(piece.data).all())
        check(known, "X must be finite, but it holds NaN or infinity")
        return piece.data
    check_counts(piece, "normalize='log1p'")
    values = piece.data.astype(np.float32)
    values /= np.repeat(divisors[first : first + piece.shape[0]], np.diff(piece.indptr))
    return np.log1p(values, out=values)
