"""Normalisation of a table as it is read: log1p(count * target_sum / total), or rows of unit length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.own_rows import only_rows, with_ranges

TARGET_SUM = 10_000.0  # of values that are looked at and tested: counts per 10,000, as in scanpy's tutorials
LEAST_TARGET_SUM = 1_000.0  # of distances: see `distance_target_sum`
SAMPLE_ROWS = 64  # rows at the begin, middle and end by which log-normalised values are recognised
LARGEST_LOG = 30.0  # of a value; above, it is no logarithm of a count
MOST_MULTIPLES = 0.95  # fraction of whole multiples from which values are taken for scaled counts
PIECE = 2**20  # elements of a dense block that are handled at a time, so that float64 copies stay small
# BLAS spends as much time on a dense row as the sparse kernel on one with this fraction of stored values
DENSE_FRACTION = 0.18
# a sparse block up to so many stored values and rows is one part: the sums of products go through memory once for each
LARGEST_PART, LONGEST_PART = 2**22, 2**13


def row_scale(totals: Array, target_sum: float = TARGET_SUM) -> Array:
    """Return the factor of each row that brings its total to target_sum, n float64; 0 for an empty row."""
    totals = np.asarray(totals, np.float64)
    scale = np.zeros_like(totals)
    np.divide(target_sum, totals, out=scale, where=totals > 0)
    return scale


def distance_target_sum(totals: Array) -> float:
    """Return the counts to which rows are brought before distances: the median of their totals, at least 1,000.

    The one that is added before the logarithm then stands for one count of a typical row. In shallow rows that would
    make the noise of single counts look like distance, and in deep ones any smaller sum would add more than a count.
    Rows without counts are left out.

    totals: n.

    Examples
    --------
    >>> distance_target_sum(np.array([20_000, 24_000, 0])), distance_target_sum(np.array([300, 400]))
    (22000.0, 1000.0)
    """
    seen = totals[totals > 0]
    return max(LEAST_TARGET_SUM, float(np.median(seen))) if len(seen) else LEAST_TARGET_SUM


def pieces(block: Block) -> Iterator[tuple[int, Block]]:
    """Cut a block into pieces of about a million elements: (offset of the first row, piece)."""
    n_rows = block.shape[0]
    if isinstance(block, SparseRows):
        cuts = np.searchsorted(block.indptr, np.arange(PIECE, int(block.indptr[-1]) + 1, PIECE))
        bounds = np.unique(np.concatenate([[0], cuts, [n_rows]]))
        for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            yield a, block.take(a, b)
    else:
        step = max(1, PIECE // max(1, block.shape[1]))
        for a in range(0, n_rows, step):
            yield a, block[a : a + step]


def sparse_pieces(block: Block) -> Iterator[tuple[int, SparseRows]]:
    """Cut a block as `pieces` does, into stored values; zeros of a dense block are left out."""
    for offset, piece in pieces(block):
        yield offset, piece if isinstance(piece, SparseRows) else to_sparse(piece)


def to_sparse(block: Array) -> SparseRows:
    """Turn a dense block into stored values without the zeros."""
    rows, columns = np.nonzero(block)
    indptr = np.zeros(block.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=block.shape[0]), out=indptr[1:])
    return SparseRows(block[rows, columns], columns.astype(np.int32), indptr, block.shape[1])


@dataclass(frozen=True)
class Stored:
    """Some rows of the chosen columns as stored values."""

    values: Array  # float64
    places: Array  # int32 positions among the chosen columns, ascending in a row
    starts: Array  # int64, of the rows
    n_columns: int  # number of chosen columns

    @property
    def rows(self) -> Array:
        """Row of each value."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def to_dense(self) -> Array:
        """Return the rows as float64, rows x n_columns."""
        out = np.zeros((len(self.starts) - 1, self.n_columns))
        out[self.rows, self.places] = self.values
        return out


Part: TypeAlias = Stored | Array


class Normalized:
    """Row blocks of the chosen columns of a table, normalised as they are read.

    "log1p" is log1p(count * target_sum / total), with totals over all genes of the table if they are given, else over
    the chosen columns only. "unit" divides rows by their Euclidean length over all columns; rows of zeros stay. None
    leaves values as they are. Columns are ascending positions; None: all.
    """

    def __init__(
        self,
        blocks: Blocks,
        normalize: str | None = None,
        *,
        totals: Array | None = None,
        target_sum: float = TARGET_SUM,
        columns: Array | None = None,
    ) -> None:
        self.blocks, self.normalize, self.totals, self.target_sum = blocks, normalize, totals, target_sum
        n, width = blocks.shape
        self.columns = np.arange(width) if columns is None else columns
        self.scale = row_scale(totals, target_sum) if normalize == "log1p" and totals is not None else None
        self.shape, self.dtype, self.is_sparse = (n, len(self.columns)), np.dtype(np.float32), blocks.is_sparse
        self.ranges = blocks.ranges
        self._first = 0  # row to which the first of totals and scale belongs

    def only(self, start: int, stop: int) -> Normalized:
        """Return the same for rows start to stop alone."""
        other, rows = with_ranges(self, start, stop), slice(start - self._first, stop - self._first)
        other.blocks, other._first = only_rows(self.blocks, start, stop), start
        other.totals = None if self.totals is None else self.totals[rows]
        other.scale = None if self.scale is None else self.scale[rows]
        return other

    def _scale_of(self, first: int, n_rows: int) -> Array | None:
        """Return the factors of some rows; None where they are those of the chosen columns."""
        return None if self.scale is None else self.scale[first - self._first : first - self._first + n_rows]

    @property
    def divisors(self) -> Array:
        """Divisor of each row before the logarithm, n float32, rounded as scanpy rounds it; empty without "log1p"."""
        if self.normalize != "log1p" or self.totals is None:
            return np.empty(0, np.float32)
        divisors = np.asarray(self.totals, np.float32) / np.float32(self.target_sum)
        divisors[divisors == 0] = 1
        return divisors

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop, computed in float64 and rounded to float32."""
        block = self.blocks.read(start, stop)
        if isinstance(block, SparseRows):
            rows = self._stored(self._prepared(block), start)
            return SparseRows(rows.values.astype(np.float32), rows.places, rows.starts, rows.n_columns)
        out = np.empty((block.shape[0], self.shape[1]), np.float32)
        for offset, piece in pieces(block):
            out[offset : offset + piece.shape[0]] = self._dense(self._prepared(piece), start + offset)
        return out

    def parts(self, block: Block, start: int) -> Iterator[tuple[int, Part]]:
        """Yield the rows of a block in float64, a part at a time, with its first row; dense where that is faster.

        The block is of the table that is wrapped, as read, and starts at this row of it.
        """
        small = block.shape[0] <= LONGEST_PART
        whole = small and isinstance(block, SparseRows) and len(block.data) <= LARGEST_PART
        for offset, piece in [(0, block)] if whole else pieces(block):
            rows, first = self._prepared(piece), start + offset
            if not isinstance(rows, SparseRows) and np.count_nonzero(rows) > DENSE_FRACTION * rows.size:
                yield first, self._dense(rows, first)
                continue
            part = self._stored(rows if isinstance(rows, SparseRows) else to_sparse(rows), first)
            yield first, part.to_dense() if len(part.values) > DENSE_FRACTION * part.n_columns * rows.shape[0] else part

    def _prepared(self, block: Any) -> Any:
        """Check the values of a block or bring its rows to unit length; choose the columns if it is dense."""
        n_rows = block.shape[0]
        if self.normalize == "log1p":
            check_counts(block, "normalize='log1p'")
        if isinstance(block, SparseRows):
            if self.normalize != "unit":
                return block
            values, row = block.data.astype(np.float64), np.repeat(np.arange(n_rows), np.diff(block.indptr))
            length = np.sqrt(np.bincount(row, values**2, n_rows))
            values /= np.where(length > 0, length, 1.0)[row]
            return SparseRows(values.astype(np.float32), block.indices, block.indptr, block.n_columns)
        if self.normalize == "unit":
            block = block.astype(np.float32)
            length = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
            block /= np.where(length > 0, length, 1.0)[:, None].astype(np.float32)
        return block if block.shape[1] == len(self.columns) else block[:, self.columns]

    def _dense(self, rows: Array, first: int) -> Array:
        """Take the logarithm of the chosen columns of dense rows where it is wanted, float64."""
        dense = rows.astype(np.float64, order="C")
        if self.normalize != "log1p":
            return dense
        from kithkin.kernels.counts import take_logarithms  # numba takes half a second: figures do without it

        scale = self._scale_of(first, len(dense))
        take_logarithms(dense, row_scale(dense.sum(axis=1), self.target_sum) if scale is None else scale)
        return dense

    def _stored(self, rows: SparseRows, first: int) -> Stored:
        """Choose columns of stored values where they are not chosen yet, and take the logarithm, float64."""
        # numba takes half a second: figures do without it
        from kithkin.kernels.counts import select_values, take_logarithms

        n_rows, p, size = rows.shape[0], len(self.columns), len(rows.data)
        position = np.arange(p, dtype=np.int32)
        if rows.n_columns != p:
            position = np.full(rows.n_columns, -1, np.int32)
            position[self.columns] = np.arange(p)
        own = self._scale_of(first, n_rows)
        fused, scale = own is not None, np.ones(0) if own is None else own
        values, places, starts = np.empty(size), np.empty(size, np.int32), np.empty(n_rows + 1, np.int64)
        used = select_values(rows.data, rows.indices, rows.indptr, position, fused, scale, values, places, starts)
        part = Stored(values[:used], places[:used], starts, p)
        if self.normalize == "log1p" and not fused:
            row = part.rows
            scale = row_scale(np.bincount(row, part.values, n_rows), self.target_sum)
            take_logarithms(part.values[:, None], scale[row])
        return part


def to_stored(rows: Array) -> Stored:
    """Turn dense rows into stored values without the zeros."""
    kept = to_sparse(rows)
    return Stored(kept.data, kept.indices, kept.indptr, rows.shape[1])


def check_counts(block: Block, purpose: str, integers: bool = False) -> None:
    """Raise ParameterError, naming the purpose, if a value is negative, not finite, or (on demand) not an integer."""
    values = block.data if isinstance(block, SparseRows) else block
    if values.size == 0 or values.dtype.kind in "bu":
        return
    low, high = values.min(), values.max()
    if not (low >= 0 and high < np.inf):  # also true for NaN, which compares with nothing
        kind = "negative values" if low < 0 else "NaN or infinite values"
        raise ParameterError(f"{purpose} needs counts, but X holds {kind}")
    if integers and values.dtype.kind == "f":
        check(
            not np.any(np.floor(values) != values), f"{purpose} needs counts, but X holds values that are not integers"
        )


def known_totals(blocks: Blocks, totals: Array | None, execution: Execution | None = None) -> Array:
    """Return the total of each row over all columns, n float64: checked if given, else from a pass over the table.

    Values and totals that are negative or not finite, and totals of another number than rows, raise ParameterError.
    """
    if totals is None:
        return np.concatenate([np.zeros(0), *map_blocks(row_totals, blocks, execution, "totals")])
    totals = np.asarray(totals, np.float64).reshape(-1)
    n_rows = blocks.shape[0]
    check(len(totals) == n_rows, f"totals must hold {n_rows} numbers, one for each row, got {len(totals)}")
    check(bool(np.all(totals >= 0) and np.all(np.isfinite(totals))), "totals must be finite and at least 0")
    return totals


def row_totals(block: Block, _start: int) -> Array:
    """Sum the counts of each row of a block."""
    check_counts(block, "normalize='log1p'")
    if not isinstance(block, SparseRows):
        return np.asarray(block.sum(axis=1, dtype=np.float64))
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.bincount(rows, block.data, block.shape[0])


def is_log_normalized(blocks: Blocks) -> bool:
    """Tell whether values are logarithms of normalised counts, judging by a few rows.

    Where counts were divided by the total of their row, multiplied, increased by one and taken the logarithm of (to the
    base e, 2 or 10), undoing the logarithm leaves whole multiples of the smallest value of each row, or rows of equal
    sums. Counts, and counts that were only divided, are told apart by being such multiples or sums as they are.
    """
    if blocks.dtype.kind != "f":
        return False
    n, rows = blocks.shape[0], []
    for start in sorted({0, n // 2, max(0, n - SAMPLE_ROWS)}):
        block = blocks.read(start, min(start + SAMPLE_ROWS, n))
        block = block if isinstance(block, SparseRows) else to_sparse(block)
        values = block.data.astype(np.float64)
        bounds = zip(block.indptr[:-1].tolist(), block.indptr[1:].tolist(), strict=True)
        rows += [row[row != 0] for row in (values[a:b] for a, b in bounds)]
    rows = [row for row in rows if len(row)]
    if not rows:
        return False
    values = np.concatenate(rows)
    if not (values.min() > 0 and values.max() < LARGEST_LOG) or not np.any(values != np.floor(values)):
        return False
    plain, plain_spread = _multiples(rows)
    if plain > MOST_MULTIPLES:
        return False
    for base in (np.e, 2.0, 10.0):
        multiples, spread = _multiples([np.expm1(row * np.log(base)) for row in rows])
        if multiples > MOST_MULTIPLES or (len(rows) > 2 and spread < min(5e-3, plain_spread / 4)):
            return True
    return False


def _multiples(rows: list[Array]) -> tuple[float, float]:
    """Return the fraction of values that are whole multiples of the least of their row, and the spread of the sums."""
    ratio = np.concatenate([row / row.min() for row in rows])
    ratio = ratio[(ratio > 1.01) & (ratio < 50)]
    whole = np.abs(ratio - np.rint(ratio)) < 2e-3 * ratio
    sums = np.array([row.sum() for row in rows])
    return float(whole.mean()) if len(ratio) else 0.0, float(np.ptp(sums) / sums.mean())
