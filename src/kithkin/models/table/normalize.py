"""How counts become values: log1p(count * target_sum / total), with totals over all genes of a cell. Only here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, Mapped, SparseRows
from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.counts import select_values

TARGET_SUM = 1e4
PIECE = 2**20  # elements of a dense block that are handled at a time, so that float64 copies stay small


def row_scale(totals: Array, target_sum: float = TARGET_SUM) -> Array:
    """Factor of each cell that brings its total to target_sum; 0 for an empty cell.

    Parameters
    ----------
    totals
        Counts over all genes, n.
    target_sum
        Counts of every cell after scaling.

    Examples
    --------
    >>> row_scale(np.array([0.0, 2000.0])).tolist()
    [0.0, 5.0]
    """
    totals = np.asarray(totals, np.float64)
    scale = np.zeros_like(totals)
    np.divide(target_sum, totals, out=scale, where=totals > 0)
    return scale


def pieces(block: Block) -> Iterator[tuple[int, Block]]:
    """Cut a block into pieces of about a million elements: (offset of the first row, piece).

    Examples
    --------
    >>> [(offset, piece.shape) for offset, piece in pieces(np.ones((3000, 500)))]
    [(0, (2097, 500)), (2097, (903, 500))]
    """
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
    """Cut as pieces does, and give stored values; zeros of a dense block are left out.

    Examples
    --------
    >>> [(offset, piece.data.tolist()) for offset, piece in sparse_pieces(np.array([[0, 3], [1, 0]]))]
    [(0, [3, 1])]
    """
    for offset, piece in pieces(block):
        yield offset, piece if isinstance(piece, SparseRows) else to_sparse(piece)


def to_sparse(block: Array) -> SparseRows:
    """Turn a dense block into stored values without the zeros.

    Examples
    --------
    >>> to_sparse(np.array([[0, 3], [1, 0]])).indptr.tolist()
    [0, 1, 2]
    """
    rows, columns = np.nonzero(block)
    indptr = np.zeros(block.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=block.shape[0]), out=indptr[1:])
    return SparseRows(block[rows, columns], columns.astype(np.int32), indptr, block.shape[1])


def normalize_block(block: Block, totals: Array, target_sum: float = TARGET_SUM) -> Block:
    """log1p(count * target_sum / total) of a block, computed in float64 and returned as float32.

    Parameters
    ----------
    block
        Counts of some cells, rows x genes, sparse or dense, in any numeric type.
    totals
        Counts of the same cells over all genes of the table, whichever genes the block holds.
    target_sum
        Counts of every cell after scaling.

    Returns
    -------
    SparseRows or ndarray
        As the block, float32; empty cells give zeros.

    Examples
    --------
    >>> normalize_block(np.array([[1, 3], [0, 0]], np.uint8), np.array([4, 0]), target_sum=4.0).round(3).tolist()
    [[0.6930000185966492, 1.3860000371932983], [0.0, 0.0]]
    """
    scale = row_scale(totals, target_sum)
    if isinstance(block, SparseRows):
        keep = np.arange(block.n_columns, dtype=np.int32)
        values, _, _ = select(block, keep, scale)
        return SparseRows(values.astype(np.float32), block.indices, block.indptr, block.n_columns)
    out = np.empty(block.shape, np.float32)
    for offset, piece in pieces(block):
        rows = slice(offset, offset + piece.shape[0])
        out[rows] = np.log1p(np.asarray(piece, np.float64) * scale[rows, None])
    return out


def select(block: SparseRows, position: Array, scale: Array | None) -> tuple[Array, Array, Array]:
    """Values, places and row starts of the chosen columns, normalised where a scale is given.

    Parameters
    ----------
    block
        Rows x genes.
    position
        int32 per gene: its place among the chosen genes, or -1.
    scale
        Factor of each row for log1p(count * factor); None keeps the values as they are.

    Examples
    --------
    >>> rows = SparseRows(np.array([5, 7]), np.array([0, 2]), np.array([0, 2]), 3)
    >>> [part.tolist() for part in select(rows, np.array([-1, -1, 0], np.int32), None)]
    [[7.0], [0], [0, 1]]
    """
    size = len(block.data)
    values, places = np.empty(size), np.empty(size, np.int32)
    starts = np.empty(len(block.indptr), np.int64)
    factor = np.ones(0) if scale is None else scale
    used = select_values(
        block.data, block.indices, block.indptr, position, scale is not None, factor, values, places, starts
    )
    return values[:used], places[:used], starts


def _block_totals(block: Block, _start: int) -> Array:
    check_counts(block, "normalize='log1p'")
    if not isinstance(block, SparseRows):
        return np.asarray(block.sum(axis=1, dtype=np.float64))
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.bincount(rows, block.data, block.shape[0])


def cell_totals(blocks: Blocks, execution: Execution | None = None) -> Array:
    """Sum the counts of each cell over all genes: one pass, for callers that do not have them from the quality step.

    Returns
    -------
    ndarray
        n, float64.

    Raises
    ------
    ParameterError
        If a value is negative or not finite.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> cell_totals(InMemory(np.array([[200, 100]], np.uint8))).tolist()
    [300.0]
    """
    return np.concatenate([np.zeros(0), *map_blocks(_block_totals, blocks, execution, "totals")])


def check_counts(block: Block, purpose: str, integers: bool = False) -> None:
    """Raise ParameterError if a value is negative, not finite, or (on demand) not an integer.

    Parameters
    ----------
    block
        Counts.
    purpose
        What needs them, for the message.
    integers
        Whether fractions are refused too.

    Examples
    --------
    >>> check_counts(np.array([[0.5]]), "flavor='vst'", integers=True)
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: flavor='vst' needs counts, but X holds values that are not integers
    """
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
    """Check the totals that a caller gave, or take them in a pass over the table.

    Raises
    ------
    ParameterError
        If there is not one finite total of at least 0 for each row.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> known_totals(InMemory(np.eye(2)), np.array([1.0]))
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: totals must hold 2 numbers, one for each row, got 1
    """
    if totals is None:
        return cell_totals(blocks, execution)
    totals = np.asarray(totals, np.float64).reshape(-1)
    n_rows = blocks.shape[0]
    check(len(totals) == n_rows, f"totals must hold {n_rows} numbers, one for each row, got {len(totals)}")
    check(bool(np.all(totals >= 0) and np.all(np.isfinite(totals))), "totals must be finite and at least 0")
    return totals


def unit_rows(blocks: Blocks) -> Blocks:
    """Rows divided by their Euclidean length, float32, as they are read; rows of zeros stay.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> unit_rows(InMemory(np.array([[3, 4], [0, 0]]))).read(0, 2).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return Mapped(blocks, _unit_block, dtype=np.dtype(np.float32))


def _unit_block(block: Block, _start: int) -> Block:
    if isinstance(block, SparseRows):
        values = block.data.astype(np.float64)
        rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        length = np.sqrt(np.bincount(rows, values**2, block.shape[0]))
        values /= np.where(length > 0, length, 1.0)[rows]
        return SparseRows(values.astype(np.float32), block.indices, block.indptr, block.n_columns)
    out = block.astype(np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", out, out, dtype=np.float64))
    out /= np.where(length > 0, length, 1.0)[:, None].astype(np.float32)
    return out
