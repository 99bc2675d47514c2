"""Tables on disk as row blocks: compressed rows or dense chunks, read from any thread or process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr

from kithkin.core.arrays import attributes, open_array, read_header
from kithkin.core.blocks import Array, Block, SparseRows, even_ranges, offsets
from kithkin.core.budget import rows_per_block
from kithkin.core.checksums import find_damage, read_checksums
from kithkin.core.chunks import NUMBERS, DamageError
from kithkin.core.errors import KithkinError, check
from kithkin.core.host import RemoteError
from kithkin.core.own_rows import with_ranges
from kithkin.core.scattered import Ranges, read_ranges


class _Stored:
    """Base of both kinds: arrays that are opened on first use, also after pickling, and verified as they are read.

    Parameters
    ----------
    path
        The dataset.
    key
        The element.

    Raises
    ------
    DamageError
        If a header or a file of the element is not what was written.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = Path(path), key
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._stamp = _stamp(self._path / key)
        recorded = read_checksums(self._path)
        problems = find_damage(self._path, key, recorded)
        if problems:
            raise DamageError(f"{self._path.name}: {problems[0]}")
        self._recorded = key in recorded
        self._n_files = {name: one.n_files for name, one in recorded.items() if f"{name}/".startswith(f"{key}/")}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": {}}

    def only(self, start: int, stop: int) -> Self:
        """Return the same for rows start to stop alone, with the arrays that are open."""
        return with_ranges(self, start, stop)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            self._arrays[name] = open_array(self._path, name, n_files=self._n_files.get(name))
        return self._arrays[name]

    def _slice(self, name: str, start: int, stop: int) -> Array:
        with self._reading(name, start, stop):
            array = self._array(name)
            if start == stop:
                return np.empty((0, *array.shape[1:]), array.dtype)
            values: Array = array[start:stop]  # type: ignore[assignment]
        if len(values) != stop - start:
            raise KithkinError(f"{self._path.name}: {name} is damaged on disk: it ends before {stop}")
        return values

    def _scattered(self, name: str, ranges: Ranges, length: int) -> Array:
        """Read ranges of an array, each at its place among `length` positions."""
        low, high = (int(ranges.starts.min()), int(ranges.stops.max())) if len(ranges.starts) else (0, 0)
        with self._reading(name, low, high):
            array = self._array(name)
            if high > array.shape[0]:
                raise DamageError(f"it ends before {high}")
            out = np.empty((length, *array.shape[1:]), array.dtype)
            read_ranges(array, ranges, out)
        return out

    @contextmanager
    def _reading(self, name: str, start: int, stop: int) -> Iterator[None]:
        """Say which part of which array is damaged, and that the element is still the one that was opened."""
        try:
            yield
        except (MemoryError, RemoteError):
            raise
        except Exception as error:
            self._check_same()
            message = f"{self._path.name}: {name} is damaged on disk between {start} and {stop}: {error}"
            raise KithkinError(message) from error
        self._check_same()

    def _check_same(self) -> None:
        """Refuse to go on with an element that was replaced since it was opened."""
        if _stamp(self._path / self._key) != self._stamp:
            raise KithkinError(f"{self._path.name}: {self._key} was changed while it was read: read it again")


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from one that takes its name later."""
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


class StoredRows(_Stored):
    """A CSR matrix on disk.

    Parameters
    ----------
    path
        The dataset.
    key
        "X", "layers/<name>", "obsp/<name>" or any other CSR matrix.
    memory, threads
        Budget and threads, by which the rows of a block are chosen when `rows` is None.
    rows
        Rows per block.
    """

    is_sparse = True

    def __init__(self, path: Path, key: str, memory: int = 10**9, threads: int = 2, rows: int | None = None) -> None:
        super().__init__(path, key)
        self.shape: tuple[int, int] = self._read_shape()
        data, indices = self._array(f"{key}/data"), self._array(f"{key}/indices")
        self.dtype = data.dtype
        self.n_stored = int(data.shape[0])
        starts = self._array(f"{key}/indptr").shape[0]
        if indices.shape[0] != self.n_stored or starts != self.shape[0] + 1:
            lengths = f"{self.n_stored} values, {indices.shape[0]} columns and {starts} starts of rows"
            raise DamageError(f"{self._path.name}: {key} is damaged: it holds {lengths} for {self.shape[0]} rows")
        self._indptr: Array | None = None
        self.row_bytes = (self.dtype.itemsize + indices.dtype.itemsize) * self.n_stored / max(1, self.shape[0])
        if rows is None:
            rows = rows_per_block(self.row_bytes, memory, threads)
        self.ranges = even_ranges(self.shape[0], rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_indptr": None}

    def _read_shape(self) -> tuple[int, int]:
        shape = attributes(self._path, self._key)["shape"]
        return int(shape[0]), int(shape[1])

    @property
    def indptr(self) -> Array:
        """int64, first position of each row; n + 1 values."""
        if self._indptr is None:
            self._indptr = self._starts(0, self.shape[0])
        return self._indptr

    def _starts(self, start: int, stop: int) -> Array:
        """Return the first position of rows start to stop, and the end of the last, as int64."""
        if self._indptr is not None:
            return self._indptr[start : stop + 1]
        starts = self._slice(f"{self._key}/indptr", start, stop + 1).astype(np.int64)
        ends = starts[0] < 0 or starts[-1] > self.n_stored or (np.diff(starts) < 0).any()
        if ends or (start == 0 and starts[0] != 0) or (stop == self.shape[0] and starts[-1] != self.n_stored):
            message = f"{self._key} is damaged: its rows do not cover the {self.n_stored} stored values"
            raise DamageError(f"{self._path.name}: {message}")
        return starts

    def read(self, start: int, stop: int) -> SparseRows:
        """Return rows start to stop.

        Raises
        ------
        KithkinError
            If a stored chunk is damaged, or the table was written again since it was opened.
        """
        indptr = self._starts(start, stop)
        first, last = int(indptr[0]), int(indptr[-1])
        data = self._slice(f"{self._key}/data", first, last)
        indices = self._slice(f"{self._key}/indices", first, last)
        self._check_columns(indices)
        return SparseRows(data, indices, indptr - first, self.shape[1])

    def take(self, rows: Array) -> SparseRows:
        """Return scattered rows, in the order given; a row may come more than once, and each chunk is decoded once."""
        firsts, lasts = self._bounds(np.asarray(rows, np.int64))
        indptr = offsets(lasts - firsts)
        ranges = Ranges.of_rows(firsts, indptr, lasts)
        data = self._scattered(f"{self._key}/data", ranges, int(indptr[-1]))
        indices = self._scattered(f"{self._key}/indices", ranges, int(indptr[-1]))
        self._check_columns(indices)
        return SparseRows(data, indices, indptr, self.shape[1])

    def _bounds(self, rows: Array) -> tuple[Array, Array]:
        """Read where each row begins and ends: only these parts of indptr, unless it is in memory."""
        if self._indptr is not None:
            return self._indptr[rows], self._indptr[rows + 1]
        both = Ranges.of_rows(np.concatenate([rows, rows + 1]))
        found = self._scattered(f"{self._key}/indptr", both, 2 * len(rows)).astype(np.int64)
        firsts, lasts = found[: len(rows)], found[len(rows) :]
        if len(rows) and not (firsts.min() >= 0 and (firsts <= lasts).all() and lasts.max() <= self.n_stored):
            message = f"{self._key} is damaged: its rows do not cover the {self.n_stored} stored values"
            raise DamageError(f"{self._path.name}: {message}")
        return firsts, lasts

    def _check_columns(self, indices: Array) -> None:
        """Refuse columns that are not there, in a table that no checksum tells to be what kithkin wrote."""
        if not self._recorded and len(indices) and not 0 <= indices.min() <= indices.max() < self.shape[1]:
            raise DamageError(f"{self._path.name}: {self._key} is damaged: it names columns beyond {self.shape[1]}")


class StoredColumns(StoredRows):
    """A CSC matrix on disk, whose columns are read as rows."""

    def _read_shape(self) -> tuple[int, int]:
        n_rows, n_columns = super()._read_shape()
        return n_columns, n_rows


class StoredDense(_Stored):
    """A dense array on disk, by rows; further dimensions are kept."""

    is_sparse = False

    def __init__(self, path: Path, key: str, memory: int = 10**9, threads: int = 2, rows: int | None = None) -> None:
        super().__init__(path, key)
        array = self._array(key)
        check(array.ndim >= 2, f"{key} must have two dimensions, got {array.ndim}")
        self.shape: tuple[int, int] = array.shape  # type: ignore[assignment]
        self.dtype = array.dtype
        self.row_bytes = float(np.prod(array.shape[1:])) * array.dtype.itemsize
        if rows is None:
            rows = rows_per_block(self.row_bytes, memory, threads)
            chunk = array.chunks[0]
            rows = max(chunk, rows // chunk * chunk)
        self.ranges = even_ranges(self.shape[0], rows)

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop."""
        return self._slice(self._key, start, stop)

    def take(self, rows: Array) -> Array:
        """Return scattered rows, in the order given; a row may come more than once, and each chunk is decoded once."""
        return self._scattered(self._key, Ranges.of_rows(np.asarray(rows, np.int64)), len(rows))


class StoredFrame(StoredDense):
    """The columns of numbers of a DataFrame on disk, such as protein counts in obsm, as dense rows.

    Attributes
    ----------
    columns
        Names of these columns; others, such as texts, are left out.
    """

    def __init__(self, path: Path, key: str, memory: int = 10**9, threads: int = 2, rows: int | None = None) -> None:
        _Stored.__init__(self, path, key)
        headers = {str(name): read_header(path, f"{key}/{name}") for name in attributes(path, key)["column-order"]}
        numbers = [name for name, header in headers.items() if header.get("data_type") in NUMBERS]
        self.columns = [name for name in numbers if headers[name]["data_type"] != "bool"]
        check(bool(self.columns), f"{key} holds no column of numbers, but {', '.join(headers) or 'nothing'}")
        arrays = [self._array(f"{key}/{name}") for name in self.columns]
        self.shape = (int(arrays[0].shape[0]), len(arrays))
        self.dtype = np.result_type(*(array.dtype for array in arrays))
        self.row_bytes = float(len(arrays) * self.dtype.itemsize)
        if rows is None:
            rows = rows_per_block(self.row_bytes, memory, threads)
        self.ranges = even_ranges(self.shape[0], rows)

    def read(self, start: int, stop: int) -> Array:
        """Return rows start to stop."""
        parts = [self._slice(f"{self._key}/{name}", start, stop) for name in self.columns]
        return np.stack(parts, axis=1).astype(self.dtype, copy=False)

    def take(self, rows: Array) -> Array:
        """Return scattered rows, in the order given; a row may come more than once, and each chunk is decoded once."""
        ranges = Ranges.of_rows(np.asarray(rows, np.int64))
        parts = [self._scattered(f"{self._key}/{name}", ranges, len(rows)) for name in self.columns]
        return np.stack(parts, axis=1).astype(self.dtype, copy=False)


def pick_columns(block: Block, position: Array, width: int) -> Array:
    """Return chosen columns of a block as a dense array of rows x width.

    Parameters
    ----------
    block
        SparseRows or dense rows.
    position
        Column of the output for each column of the table, or -1.
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
