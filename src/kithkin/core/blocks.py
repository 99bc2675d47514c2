"""Row blocks: the one form in which every model sees a table, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from scipy import sparse

from kithkin.core.budget import rows_per_block
from kithkin.core.errors import ParameterError, check
from kithkin.core.own_rows import only_rows, with_ranges

Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Consecutive rows in compressed sparse form: three arrays, as kernels take them.

    Attributes
    ----------
    data
        Stored values, in any numeric type.
    indices
        Column of each value, in any integer type, strictly ascending within a row.
    indptr
        int64, first position of each row, starting at 0; one more than there are rows.
    n_columns
        Width of the table.

    Examples
    --------
    >>> rows = SparseRows(np.array([2, 1]), np.array([0, 2]), np.array([0, 1, 2]), 3)
    >>> rows.shape, rows.to_dense().tolist()
    ((2, 3), [[2, 0, 0], [0, 0, 1]])
    """

    data: Array
    indices: Array
    indptr: Array
    n_columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.indptr) - 1, self.n_columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    def to_scipy(self, *, copy: bool = True) -> sparse.csr_matrix:
        """Return the same rows as a SciPy matrix with int32 or int64 indices (a copy of the indices, if asked for)."""
        wide = np.int32 if len(self.data) < 2**31 and self.n_columns < 2**31 else np.int64
        parts = self.data, self.indices.astype(wide, copy=copy), self.indptr.astype(wide)
        return sparse.csr_matrix(parts, shape=self.shape)

    def to_dense(self) -> Array:
        """Return the same rows as an array of rows x columns, in the stored type."""
        out = np.zeros(self.shape, self.data.dtype)
        out[np.repeat(np.arange(self.shape[0]), np.diff(self.indptr)), self.indices] = self.data
        return out

    def take(self, start: int, stop: int) -> SparseRows:
        """Return rows start to stop as views."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        indptr = self.indptr[start : stop + 1] - first
        return SparseRows(self.data[first:last], self.indices[first:last], indptr, self.n_columns)

    def rows(self, indices: Array) -> SparseRows:
        """Copy scattered rows, in the order given; a row may come more than once."""
        lengths = np.diff(self.indptr)[indices]
        indptr = offsets(lengths)
        taken = np.repeat(self.indptr[:-1][indices] - indptr[:-1], lengths)
        taken += np.arange(indptr[-1])
        return SparseRows(self.data[taken], self.indices[taken], indptr, self.n_columns)

    def renumbered(self, columns: Array, n_columns: int) -> SparseRows:
        """Give columns other numbers, in the same order; those with the number -1 are left out.

        Examples
        --------
        >>> rows = SparseRows(np.array([2, 1, 5]), np.array([0, 1, 2]), np.array([0, 2, 3]), 3)
        >>> rows.renumbered(np.array([-1, 0, 3]), 4).to_dense().tolist()
        [[1, 0, 0, 0], [0, 0, 0, 5]]
        """
        indices, data, indptr = columns[self.indices], self.data, self.indptr
        keep = indices >= 0
        if not keep.all():
            indices, data, indptr = indices[keep], data[keep], offsets(keep)[indptr]
        wide = np.int32 if n_columns < 2**31 else np.int64
        return SparseRows(data, indices.astype(wide, copy=False), indptr, n_columns)

    @staticmethod
    def stack(blocks: Sequence[SparseRows]) -> SparseRows:
        """Concatenate blocks of equal width, one below the other; there must be at least one."""
        indptr = offsets(np.concatenate([np.diff(block.indptr) for block in blocks]))
        data = np.concatenate([block.data for block in blocks])
        indices = np.concatenate([block.indices for block in blocks])
        return SparseRows(data, indices, indptr, blocks[0].n_columns)


def offsets(lengths: Array) -> Array:
    """Return the first position of each of consecutive rows, and the end of the last, as int64.

    Examples
    --------
    >>> offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


Block: TypeAlias = SparseRows | Array


@runtime_checkable
class Blocks(Protocol):
    """Table that is read in blocks of consecutive rows, in any order, from any thread or process.

    Attributes
    ----------
    shape
        Rows and columns.
    dtype
        Type of the values.
    is_sparse
        Whether `read` gives SparseRows (True) or a dense array (False).
    ranges
        The (start, stop) of each block; together they cover the rows once and in order.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    is_sparse: bool
    ranges: list[tuple[int, int]]

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop."""
        ...


def widened(values: Array) -> Array:
    """Convert integers of a small storage type to int64, so that arithmetic on them does not overflow."""
    small = values.dtype.kind in "iub" and values.dtype != np.uint64
    return values.astype(np.int64) if small else values


def even_ranges(n_rows: int, rows: int) -> list[tuple[int, int]]:
    """Cut n_rows into consecutive (start, stop) of at most `rows` rows."""
    check(rows >= 1, f"rows must be at least 1, got {rows}")
    return [(start, min(start + rows, n_rows)) for start in range(0, n_rows, rows)]


def as_numbers(values: Any, name: str) -> Array:
    """Return an array of numbers in a type that compiled code takes: of this machine's byte order, no half precision.

    Raises ParameterError if the values are no numbers, of rows with different lengths, or masked.
    """
    check(not sparse.issparse(values), f"{name} must be dense, got a sparse matrix")
    check(not np.ma.isMaskedArray(values), f"{name} must not be a masked array: fill it first")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ParameterError(f"{name} must be an array, with rows of one length") from error
    check(array.dtype.kind in "buif", f"{name} must hold numbers, got {array.dtype}")
    return array.astype(_computable(array.dtype), copy=False)


def as_csr(X: Any, name: str) -> sparse.csr_matrix:
    """Return an array or SciPy sparse matrix as canonical CSR of numbers, the matrix itself where it is that already.

    Raises ParameterError if it is not a table of numbers, or its indices point outside of it.
    """
    matrix = X if sparse.issparse(X) else as_numbers(X, name)
    check(matrix.ndim == 2, f"{name} must have two dimensions, got {matrix.ndim}")
    check(matrix.dtype.kind in "buif", f"{name} must hold numbers, got {matrix.dtype}")
    matrix = sparse.csr_matrix(matrix)
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ParameterError(f"{name} is not a valid sparse matrix: {error}") from error
    matrix = matrix.astype(_computable(matrix.dtype), copy=False)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _computable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype.newbyteorder("=")


class InMemory:
    """Row blocks of an array or SciPy sparse matrix.

    Parameters
    ----------
    X
        NumPy array or SciPy sparse matrix, n x p. Sparse input is brought to canonical CSR (duplicates summed).
    rows
        Rows per block; chosen from the size of a row when None.

    Raises
    ------
    ParameterError
        If X is not a table of numbers with two dimensions.
    """

    def __init__(self, X: Any, rows: int | None = None) -> None:
        self.is_sparse = sparse.issparse(X)
        read: Callable[[Any, str], Any] = as_csr if self.is_sparse else as_numbers
        self._X = read(X, "X")
        check(self._X.ndim == 2, f"X must have two dimensions, got {self._X.ndim}")
        self.dtype = self._X.dtype
        self.shape: tuple[int, int] = tuple(self._X.shape)
        if rows is None:
            per_row = (
                8.0 * self._X.nnz / max(1, self.shape[0]) if self.is_sparse else self.dtype.itemsize * self.shape[1]
            )
            rows = rows_per_block(per_row, 2**40, 1)
        self.ranges = even_ranges(self.shape[0], rows)

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop: SparseRows of views, or a view of the array."""
        if not self.is_sparse:
            view: Array = self._X[start:stop]
            return view
        first, last = self._X.indptr[start], self._X.indptr[stop]
        indptr = self._X.indptr[start : stop + 1].astype(np.int64) - first
        return SparseRows(self._X.data[first:last], self._X.indices[first:last], indptr, self.shape[1])

    def only(self, start: int, stop: int) -> Blocks:
        """Return row blocks that hold rows start to stop alone."""
        return _Given(self.read(start, stop), start, self.shape, self.is_sparse)


class _Given:
    """Some rows of a table, under their own numbers."""

    def __init__(self, block: Block, first: int, shape: tuple[int, int], is_sparse: bool) -> None:
        self._block, self._first = block, first
        self.shape, self.dtype, self.is_sparse = shape, block.dtype, is_sparse
        self.ranges = [(first, first + block.shape[0])]

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop."""
        start, stop = start - self._first, stop - self._first
        part: Block = self._block.take(start, stop) if isinstance(self._block, SparseRows) else self._block[start:stop]
        return part


class Mapped:
    """Row blocks with a transform applied to each block as it is read, such as normalisation on the fly.

    Parameters
    ----------
    blocks
        Source of the rows.
    function
        `function(block, start) -> block` with as many rows; must pickle if an executor of processes is used.
    n_columns, dtype, is_sparse
        Properties of what the transform returns; as the source when None.

    Examples
    --------
    >>> doubled = Mapped(InMemory(np.eye(2)), lambda block, start: 2 * block)
    >>> doubled.read(0, 1).tolist()
    [[2.0, 0.0]]
    """

    def __init__(
        self,
        blocks: Blocks,
        function: Callable[[Any, int], Block],
        *,
        n_columns: int | None = None,
        dtype: Any = None,
        is_sparse: bool | None = None,
    ) -> None:
        self._blocks, self._function = blocks, function
        self.shape = (blocks.shape[0], blocks.shape[1] if n_columns is None else n_columns)
        self.dtype = blocks.dtype if dtype is None else np.dtype(dtype)
        self.is_sparse = blocks.is_sparse if is_sparse is None else is_sparse
        self.ranges = blocks.ranges

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop, transformed."""
        return self._function(self._blocks.read(start, stop), start)

    def only(self, start: int, stop: int) -> Mapped:
        """Return the same for rows start to stop alone."""
        other = with_ranges(self, start, stop)
        other._blocks, other._function = (only_rows(one, start, stop) for one in (self._blocks, self._function))
        return other


class ChosenRows:
    """Some rows of a table as a table of their own, such as those of one sample.

    Only what lies between the first and the last row of a block is read, a block of the table at a time; so rows that
    lie together cost no more than themselves.

    Parameters
    ----------
    blocks
        The table.
    rows
        Numbers of the rows, ascending.

    Examples
    --------
    >>> some = ChosenRows(InMemory(np.arange(12).reshape(6, 2)), np.array([1, 4, 5]))
    >>> some.shape, some.read(1, 3).tolist()
    ((3, 2), [[8, 9], [10, 11]])
    """

    def __init__(self, blocks: Blocks, rows: Array) -> None:
        self._blocks, self._rows = blocks, rows
        self.shape = (len(rows), blocks.shape[1])
        self.dtype, self.is_sparse = blocks.dtype, blocks.is_sparse
        self._most = max((stop - start for start, stop in blocks.ranges), default=1)
        self.ranges = even_ranges(len(rows), self._most)

    def read(self, start: int, stop: int) -> Block:
        """Return rows start to stop of those that are chosen."""
        wanted = self._rows[start:stop]
        if not len(wanted):
            return self._blocks.read(0, 0)
        parts: list[Any] = []
        for first, last in even_ranges(int(wanted[-1] - wanted[0]) + 1, self._most):
            low, high = np.searchsorted(wanted, [wanted[0] + first, wanted[0] + last])
            if low < high:
                begin = int(wanted[low])
                block: Any = self._blocks.read(begin, int(wanted[high - 1]) + 1)
                own = wanted[low:high] - begin
                parts.append(block if len(own) == block.shape[0] else _take(block, own))
        if len(parts) == 1:
            whole: Block = parts[0]
            return whole
        return SparseRows.stack(parts) if self.is_sparse else np.concatenate(parts)


def _take(block: Any, rows: Array) -> Block:
    part: Block = block.rows(rows) if isinstance(block, SparseRows) else block[rows]
    return part


def as_blocks(X: Any) -> Blocks:
    """Return X itself if it is row blocks already, else the array or matrix as blocks."""
    return X if isinstance(X, Blocks) else InMemory(X)
