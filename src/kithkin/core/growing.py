"""Arrays and tables on disk that grow at their end, also where an interrupted import or an earlier one ended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from kithkin.core.arrays import cast_header, open_array, read_header, stored_header
from kithkin.core.blocks import Array, Block, SparseRows, offsets
from kithkin.core.elements import create_csr, write_element
from kithkin.core.encoding import write_rows
from kithkin.core.errors import KithkinError, check
from kithkin.core.layout import (
    SHARD,
    create_table,
    create_vector,
    exactly,
    file_rows,
    index_dtype,
    joint_dtype,
    rows_in_full_files,
    stored_dtype,
    written_array,
)

RESTORED = 2**22  # values that are read again at a time
LONG = 2**31  # values of a table, from which on SciPy numbers them in 64 bits


def folder_of(group: zarr.Group) -> Path:
    """Return the folder of a group on disk."""
    return Path(group.store_path.store.root) / group.path  # type: ignore[attr-defined]


class Growing:
    """Array on disk that grows at its end, in whole shards, and widens its type when a value asks for it."""

    def __init__(
        self,
        group: zarr.Group,
        name: str,
        dtype: np.dtype[Any] | None,
        width: tuple[int, ...] = (),
        n_rows: int = 0,
    ):
        """Create the array in a type; without one, take up that which is there."""
        self._group, self._name, self._width, self._n_rows = group, name, width, n_rows
        self._largest = 0
        if dtype is None:
            self._settle()
            self._end_cast()
        self._array = written_array(group, name) if dtype is None else self._create(name, dtype)
        self._buffer = np.empty((self.shard, *width), self.dtype)  # the shard that is being filled
        self._n_pending = 0

    def take_up(self) -> None:
        """Go on behind all values that are there. Full files stay as they are; the last is written again."""
        length, start = self._array.shape[0], rows_in_full_files(self._array)
        stored = open_array(self._folder, self._name)
        tail = np.asarray(stored[start:]) if start < length else self._buffer[:0]
        if start:
            self._array.resize((start, *self._width))
        else:  # in the chunks of a growing array, whatever they were
            attributes = dict(self._array.attrs)
            shutil.rmtree(self._folder / self._name)
            self._array = self._create(self._name, self.dtype)
            self._array.attrs.update(attributes)
            self._buffer = np.empty((self.shard, *self._width), self.dtype)
        largest, self._largest = self._largest, 0
        self.append(tail)
        self._largest = max(largest, self._largest)

    def save(self, path: Path) -> dict[str, int]:
        """Keep the values that are not yet on disk in a file, and return what else `restore` needs."""
        np.save(path, self._buffer[: self._n_pending])
        return {"length": self._array.shape[0], "largest": self._largest}

    def restore(self, path: Path, state: Mapping[str, int]) -> None:
        """Go back to what `save` kept."""
        pending = exactly(np.load(path, allow_pickle=False), self.dtype)
        check(self._array.shape[0] >= state["length"], f"{self._name} is shorter than it was")
        self._array.resize((state["length"], *self._width))
        self._n_pending, self._largest = 0, state["largest"]
        self.append(pending)

    def read(self, start: int, stop: int) -> Array:
        """Read values that were appended."""
        length = self._array.shape[0]
        stored = np.asarray(self._array[start : min(stop, length)]) if start < length else self._buffer[:0]
        pending = self._buffer[max(start - length, 0) : max(stop - length, 0)]
        return np.concatenate([stored, pending])

    def _settle(self) -> None:
        """Undo or finish a change of type that was interrupted."""
        narrow, wide, final = (self._folder / f"{self._name}{end}" for end in ("-narrower", "-wider", ""))
        if narrow.exists() and not final.exists():
            narrow.rename(final)
        for left in (narrow, wide):
            if left.exists():
                shutil.rmtree(left)

    def _end_cast(self) -> None:
        """Undo `cast`: the array is written in its own type, and its values lie in the range that was cast to."""
        header = read_header(self._folder, self._name)
        stored = stored_header(header)
        if stored != header:
            self._write_header(stored)
            self._largest = 2**24 if header["data_type"] == "float32" else 2**53
        elif np.dtype(str(header["data_type"])).kind in "iu":
            self._largest = 2**63  # others read these integers as they are

    def _write_header(self, header: Mapping[str, Any]) -> None:
        """Write another header in place of the one that is there, which may be a file of another dataset too."""
        beside = self.header.with_suffix(".new")
        beside.write_text(json.dumps(header, indent=2), encoding="utf-8")
        beside.replace(self.header)

    def _create(self, name: str, dtype: np.dtype[Any]) -> zarr.Array[Any]:
        if self._width:
            return create_table(self._group, name, dtype, (0, *self._width), self._n_rows)
        return create_vector(self._group, name, dtype)

    @property
    def shard(self) -> int:
        """Rows that are written at a time: whole files."""
        return self._rows_at_once(self._array)

    def _rows_at_once(self, array: zarr.Array[Any]) -> int:
        rows = file_rows(array)
        return rows * (1 if array.shards else max(1, SHARD // (rows * int(np.prod(self._width)))))

    @property
    def _folder(self) -> Path:
        return folder_of(self._group)

    @property
    def length(self) -> int:
        """Values appended so far, or rows of them."""
        return int(self._array.shape[0]) + self._n_pending

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds everything appended so far."""
        return self._array.dtype

    def append(self, values: Array) -> None:
        """Add values at the end, in the type that `widen` has made wide enough for them."""
        values = exactly(values, self.dtype)
        if self.dtype.kind in "iu" and self.dtype.itemsize > 2 and values.size:
            self._largest = max(self._largest, int(values.max()), -int(values.min()))
        taken = 0
        while taken < len(values):
            part = values[taken : taken + len(self._buffer) - self._n_pending]
            self._buffer[self._n_pending : self._n_pending + len(part)] = part
            self._n_pending, taken = self._n_pending + len(part), taken + len(part)
            if self._n_pending == len(self._buffer):
                self._write()

    def _write(self) -> None:
        """Write what the buffer holds behind what is on disk."""
        start = self._array.shape[0]
        self._array.resize((start + self._n_pending, *self._width))
        write_rows(self._array, start, self._buffer[: self._n_pending])
        self._n_pending = 0

    def reserve(self, length: int, dtype: np.dtype[Any], largest: int) -> None:
        """Take as many values of a type as there, which others write; `largest` is that of their absolute values."""
        if dtype != self.dtype:
            self.widen(dtype)
        self._array.resize((length, *self._width))
        self._largest = largest

    def widen(self, dtype: np.dtype[Any]) -> None:
        """Store what is there, and all that follows, in a wider type."""
        old, folder = self._array, self._folder
        wider = self._create(f"{self._name}-wider", dtype)
        wider.resize(old.shape)
        step = self._rows_at_once(wider)
        for start in range(0, old.shape[0], step):
            write_rows(wider, start, exactly(np.asarray(old[start : start + step]), dtype))
        pending = self._buffer[: self._n_pending]
        (folder / self._name).rename(folder / f"{self._name}-narrower")
        (folder / f"{self._name}-wider").rename(folder / self._name)
        shutil.rmtree(folder / f"{self._name}-narrower")
        self._array = written_array(self._group, self._name)
        self._buffer, self._n_pending = np.empty((self.shard, *self._width), dtype), 0
        self.append(pending)  # which may be more than one file of the wider type

    def close(self) -> None:
        """Write what is left."""
        if self._n_pending:
            self._write()

    @property
    def header(self) -> Path:
        """File with the header of the array."""
        return self._folder / self._name / "zarr.json"

    def cast(self) -> None:
        """Let others read small integers as floating-point numbers, in which sums and products do not overflow."""
        if self.dtype.kind in "iu" and self._largest <= 2**53:
            dtype = np.dtype(np.float32 if self._largest <= 2**24 else np.float64)
            self._write_header(cast_header(read_header(self._folder, self._name), dtype))


class GrowingTable:
    """Table (X or a layer) that receives row blocks."""

    def __init__(self, group: zarr.Group, name: str, block: Block | None, n_columns: int, n_rows: int) -> None:
        """Create the table for blocks like the first one; without a block, take up that which is there."""
        self._n_columns, self.n_rows = n_columns, 0
        self._lengths: list[Array] = []
        self._n_saved = 0  # lengths that a checkpoint holds
        if block is None:
            there: Any = group[name]
            self._sparse = isinstance(there, zarr.Group)
            dtypes: tuple[Any, Any] = (None, None)
        else:
            self._sparse = isinstance(block, SparseRows)
            values = block.data if isinstance(block, SparseRows) else block
            dtypes = joint_dtype(np.dtype(np.uint8), stored_dtype(values)), index_dtype(n_columns)
            there = create_csr(group, name) if self._sparse else None
        if self._sparse:
            self._group: zarr.Group = there
            self._data = Growing(self._group, "data", dtypes[0])
            self._indices = Growing(self._group, "indices", dtypes[1])
        else:
            self._data = Growing(group, name, dtypes[0], (n_columns,), n_rows)

    def take_up(self) -> None:
        """Go on below all rows that are there."""
        self._data.take_up()
        if self._sparse:
            self._indices.take_up()
            self.take_up_lengths(folder_of(self._group))
            shutil.rmtree(folder_of(self._group) / "indptr")
            self.n_rows = len(self._lengths[0])
        else:
            self.n_rows = self._data.length

    def take_up_lengths(self, folder: Path) -> None:
        """Take the lengths of the first rows from the folder of a table, of which this one is a copy or itself."""
        indptr = np.asarray(open_array(folder, "indptr")[...]).astype(np.int64)
        self._lengths, self._n_saved = [np.diff(indptr)], 1

    def save(self, folder: Path, number: int) -> dict[str, Any]:
        """Keep what is not yet on disk in files of a folder, and return what else `restore` needs."""
        state: dict[str, Any] = {"n_rows": self.n_rows, "number": number}
        state["data"] = self._data.save(folder / f"{number}-data.npy")
        if self._sparse:
            state["indices"] = self._indices.save(folder / f"{number}-indices.npy")
            lengths = np.concatenate([np.zeros(0, np.int64), *self._lengths[self._n_saved :]])
            np.save(folder / f"{number}-lengths.npy", lengths)
            self._n_saved = len(self._lengths)
        return state

    def restore(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Go back to what `save` kept."""
        number = int(state["number"])
        self.n_rows = int(state["n_rows"])
        self._data.restore(folder / f"{number}-data.npy", state["data"])
        if self._sparse:
            self._indices.restore(folder / f"{number}-indices.npy", state["indices"])
            files = [folder / f"{one}-lengths.npy" for one in range(number + 1)]
            self._lengths += [np.load(file, allow_pickle=False) for file in files]
            self._n_saved = len(self._lengths)
            check(sum(map(len, self._lengths)) == self.n_rows, "rows are missing")

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """Read the rows from one on."""
        if not self._sparse:
            step = max(1, RESTORED // max(1, self._n_columns))
            for first in range(start, self.n_rows, step):
                yield self._data.read(first, min(first + step, self.n_rows))
            return
        indptr = offsets(np.concatenate([np.zeros(0, np.int64), *self._lengths]))
        while start < self.n_rows:
            stop = max(start + 1, int(np.searchsorted(indptr, indptr[start] + RESTORED, side="right")) - 1)
            first, last = int(indptr[start]), int(indptr[stop])
            values, columns = self._data.read(first, last), self._indices.read(first, last)
            yield SparseRows(values, columns, indptr[start : stop + 1] - first, self._n_columns)
            start = stop

    def append(self, block: Block) -> None:
        """Add rows."""
        if isinstance(block, SparseRows) != self._sparse:
            raise KithkinError("a table cannot mix sparse and dense blocks")
        check(block.shape[1] == self._n_columns, f"blocks must have {self._n_columns} columns, got {block.shape[1]}")
        values = block.data if isinstance(block, SparseRows) else block
        needed = joint_dtype(self._data.dtype, stored_dtype(values))
        if needed != self._data.dtype:
            self._data.widen(needed)
        self._data.append(values)
        if isinstance(block, SparseRows):
            if self._indices.length + len(block.indices) >= LONG and self._indices.dtype != np.int64:
                self._indices.widen(np.dtype(np.int64))  # now, while what is there is not yet all
            self._indices.append(block.indices.astype(self._indices.dtype, copy=False))
            self._lengths.append(np.diff(block.indptr))
        self.n_rows += block.shape[0]

    def reserve(self, dtype: np.dtype[Any], lengths: Array, largest: int) -> None:
        """Take rows as there, of which others write the values.

        Parameters
        ----------
        dtype
            Type of the values.
        lengths
            Number of stored values of each row; of a dense table one for each row.
        largest
            Largest of the absolute values, where it is more than 65,535.
        """
        self.n_rows, length = len(lengths), int(lengths.sum())
        self._data.reserve(length, dtype, largest)
        if self._sparse:
            self._lengths = [lengths]
            self._indices.reserve(length, self._indices.dtype if length < LONG else np.dtype(np.int64), 0)

    @property
    def arrays(self) -> tuple[Path, tuple[str, ...]]:
        """Folder with the arrays of values, and their names: "data" and "indices", or that of a dense table."""
        header = self._data.header
        return header.parents[1], ("data", "indices") if self._sparse else (header.parent.name,)

    @property
    def shard(self) -> int:
        """Stored values, or rows of a dense table, that are written at a time: whole files."""
        return self._data.shard

    def close(self) -> None:
        """Finish the arrays."""
        self._data.close()
        if self._sparse:
            self._indices.close()
            indptr = offsets(np.concatenate(self._lengths))
            if indptr[-1] >= LONG and self._indices.dtype != np.int64:
                self._indices.widen(np.dtype(np.int64))
            write_element(self._group, "indptr", indptr.astype(self._indices.dtype))
            self._group.attrs["shape"] = [self.n_rows, self._n_columns]

    def cast(self) -> None:
        """Let others read small integers as floating-point numbers."""
        self._data.cast()
