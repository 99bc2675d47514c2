"""Tables on disk as row blocks: compressed rows or dense chunks, read from any thread or process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from kithkin.core.blocks import Array, Block, SparseRows, even_ranges
from kithkin.core.budget import rows_per_block
from kithkin.core.errors import KithkinError, check
from kithkin.core.layout import open_array, open_group


class _Stored:
    """What the two kinds have in common: a path that is opened on first use, also after pickling."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = Path(path), key
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = open_array(self._path, name)
        return self._arrays[name]

    def _slice(self, name: str, start: int, stop: int) -> Array:
        if start == stop:
            return np.empty((0, *self._array(name).shape[1:]), self._array(name).dtype)
        try:
            values: Array = self._array(name)[start:stop]  # type: ignore[assignment]
        except MemoryError:
            raise
        except Exception as error:
            message = f"{self._path.name}: {name} is damaged on disk between {start} and {stop}: {error}"
            raise KithkinError(message) from error
        return values


class StoredRows(_Stored):
    """A CSR matrix on disk.

    Parameters
    ----------
    path
        The dataset.
    key
        "X", "layers/<name>", "obsp/<name>" or any other CSR matrix.
    memory, threads
        What decides how many rows a block has when `rows` is None.
    rows
        Rows per block.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> from kithkin.core.writer import DatasetWriter
    >>> path = Path(tempfile.mkdtemp()) / "a.zarr"
    >>> rows = SparseRows(np.array([2, 1]), np.array([0, 2]), np.array([0, 1, 2]), 3)
    >>> with DatasetWriter(path, 3) as writer:
    ...     writer.append(rows)
    ...     writer.finish(pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["x", "y", "z"]))
    >>> StoredRows(path, "X").read(1, 2).to_dense().tolist()
    [[0, 0, 1]]
    """

    is_sparse = True

    def __init__(self, path: Path, key: str, memory: int = 10**9, threads: int = 2, rows: int | None = None) -> None:
        super().__init__(path, key)
        group = open_group(path)[key]
        shape = group.attrs["shape"]
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))  # type: ignore[index, arg-type]
        self.dtype = self._array(f"{key}/data").dtype
        self.n_stored = int(self._array(f"{key}/data").shape[0])
        self._indptr: Array | None = None
        if rows is None:
            width = self.dtype.itemsize + self._array(f"{key}/indices").dtype.itemsize
            rows = rows_per_block(width * self.n_stored / max(1, self.shape[0]), memory, threads)
        self.ranges = even_ranges(self.shape[0], rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_indptr": None}

    @property
    def indptr(self) -> Array:
        """int64, first position of each row; n + 1 values."""
        if self._indptr is None:
            self._indptr = self._slice(f"{self._key}/indptr", 0, self.shape[0] + 1).astype(np.int64)
        return self._indptr

    def read(self, start: int, stop: int) -> SparseRows:
        """Rows start to stop."""
        indptr = self.indptr
        first, last = int(indptr[start]), int(indptr[stop])
        data = self._slice(f"{self._key}/data", first, last)
        indices = self._slice(f"{self._key}/indices", first, last)
        return SparseRows(data, indices, indptr[start : stop + 1] - first, self.shape[1])

    def take(self, rows: Array) -> SparseRows:
        """Scattered rows, in the order given."""
        if not len(rows):
            return self.read(0, 0)
        return SparseRows.stack([self.read(start, stop) for start, stop in _runs(rows)])


class StoredDense(_Stored):
    """A dense array on disk, by rows; further dimensions are kept.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> from kithkin.core.writer import DatasetWriter
    >>> path = Path(tempfile.mkdtemp()) / "a.zarr"
    >>> with DatasetWriter(path, 2) as writer:
    ...     writer.append(np.eye(2))
    ...     writer.finish(pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["x", "y"]))
    >>> StoredDense(path, "X").read(1, 2).tolist()
    [[0, 1]]
    """

    is_sparse = False

    def __init__(self, path: Path, key: str, memory: int = 10**9, threads: int = 2, rows: int | None = None) -> None:
        super().__init__(path, key)
        array = self._array(key)
        check(array.ndim >= 2, f"{key} must have two dimensions, got {array.ndim}")
        self.shape: tuple[int, int] = array.shape  # type: ignore[assignment]
        self.dtype = array.dtype
        if rows is None:
            rows = rows_per_block(float(np.prod(array.shape[1:])) * array.dtype.itemsize, memory, threads)
            chunk = array.chunks[0]
            rows = max(chunk, rows // chunk * chunk)
        self.ranges = even_ranges(self.shape[0], rows)

    def read(self, start: int, stop: int) -> Array:
        """Rows start to stop."""
        return self._slice(self._key, start, stop)

    def take(self, rows: Array) -> Array:
        """Scattered rows, in the order given."""
        pieces = [self.read(start, stop) for start, stop in _runs(rows)]
        return np.concatenate(pieces) if pieces else self.read(0, 0)


def _runs(rows: Array) -> list[tuple[int, int]]:
    """Row numbers as (start, stop) of consecutive runs, in their order."""
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = np.r_[0, breaks], np.r_[breaks, len(rows)] - 1
    return [(int(rows[a]), int(rows[b]) + 1) for a, b in zip(firsts, lasts, strict=True)]


def pick_columns(block: Block, position: Array, width: int) -> Array:
    """Chosen columns of a block as a dense array of rows x width.

    Parameters
    ----------
    block
        SparseRows or dense rows.
    position
        For each column of the table its place in the output, or -1.
    width
        Number of chosen columns.

    Examples
    --------
    >>> pick_columns(np.array([[1, 2, 3]]), np.array([-1, 1, 0]), 2).tolist()
    [[3, 2]]
    """
    if not isinstance(block, SparseRows):
        chosen = np.flatnonzero(position >= 0)
        out = np.zeros((block.shape[0], width), block.dtype)
        out[:, position[chosen]] = block[:, chosen]
        return out
    out = np.zeros((block.shape[0], width), block.data.dtype)
    if width == 1:
        hits = np.flatnonzero(block.indices == block.indices.dtype.type(np.flatnonzero(position >= 0)[0]))
    else:
        hits = np.flatnonzero((position >= 0)[block.indices])
    rows = np.searchsorted(block.indptr, hits, side="right") - 1
    out[rows, position[block.indices[hits]]] = block.data[hits]
    return out
