"""Read thumbnails cell by cell, chunk by chunk: no more is decoded than was asked for."""

from __future__ import annotations

import os
import struct
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pandas as pd
import zarr
from numcodecs import blosc  # type: ignore[import-untyped]

from kithkin.core.arrays import use_pipeline
from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, ParameterError, check
from kithkin.core.execute import default_threads
from kithkin.io.thumbnails.layout import mask_path
from kithkin.io.thumbnails.shards import Grid
from kithkin.io.thumbnails.writer import TABLE, recover

CRC = 4
RESIDUE = 0x48674BC7  # CRC-32C of any bytes that are followed by their own CRC-32C
ENTRY = np.dtype("<u8")
PARALLEL = 4 * 2**20  # bytes of pixels from which threads pay


class _Store:
    """Files of an array, in a folder or stored in a zip file."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._handles: dict[str, tuple[int, int, int]] = {}
        self._members: dict[str, tuple[int, int]] | None = None
        if path.is_file():
            self._zip = os.open(path, os.O_RDONLY)
            self._members = {}
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    head = os.pread(self._zip, 30, member.header_offset)
                    name, extra = struct.unpack("<HH", head[26:30])
                    self._members[member.filename] = member.header_offset + 30 + name + extra, member.file_size

    def open(self, name: str) -> tuple[int, int, int]:
        """Open a file: descriptor, offset and size."""
        with self._lock:
            if name not in self._handles:
                if self._members is not None:
                    self._handles[name] = (self._zip, *self._members[name])
                else:
                    handle = os.open(self._path / name, os.O_RDONLY)
                    self._handles[name] = handle, 0, os.fstat(handle).st_size
            return self._handles[name]

    def close(self) -> None:
        for handle, _, _ in self._handles.values():
            if self._members is None:
                os.close(handle)
        if self._members is not None:
            os.close(self._zip)
        self._handles, self._members = {}, {}


class _Chunks:
    """Chunks of one array, decoded into place."""

    def __init__(self, path: Path, array: zarr.Array[Any], axis: int) -> None:
        shards = array.shards or array.chunks
        self.name = path.name
        self.grid = Grid(array.shape, axis, array.dtype, array.chunks[axis], shards[axis], array.metadata.zarr_format)
        self._store = _Store(path)
        self._indexes: dict[int, tuple[int, int, Array]] = {}

    def index(self, shard: int) -> tuple[int, int, Array]:
        """Read the index of a file: its descriptor and offset, and offset and size of each of its chunks."""
        if shard not in self._indexes:
            handle, start, size = self._store.open(self.grid.file_of(shard))
            if self.grid.zarr_format == 2:
                self._indexes[shard] = handle, start, np.array([[0, size]], np.int64)
            else:
                length = self.grid.per_shard * 2 * ENTRY.itemsize
                data = os.pread(handle, length + CRC, start + size - length - CRC)
                if google_crc32c.value(data[:-CRC]) != int.from_bytes(data[-CRC:], "little"):
                    raise FormatError(f"{self.name}: the index of {self.grid.file_of(shard)} is damaged")
                entries = np.frombuffer(data[:-CRC], ENTRY).reshape(-1, 2)
                self._indexes[shard] = handle, start, entries.astype(np.int64)
        return self._indexes[shard]

    def decode(self, chunk: int, out: Array | None = None) -> Array:
        """Decode a chunk, into an array of its shape if one is given."""
        shard, position = divmod(chunk, self.grid.per_shard)
        handle, start, index = self.index(shard)
        offset, size = index[position]
        out = np.empty(self.grid.lengths(self.grid.chunk), self.grid.dtype) if out is None else out
        if size < 0:
            out[...] = 0
            return out
        data = os.pread(handle, size, start + offset)
        if self.grid.zarr_format == 2:
            blosc.decompress(data, out)
            return out
        if google_crc32c.value(data) != RESIDUE:
            raise FormatError(f"{self.name}: chunk {chunk} in {self.grid.file_of(shard)} is damaged")
        blosc.decompress(memoryview(data)[:-CRC], out)
        return out

    def close(self) -> None:
        self._store.close()


class Thumbnails:
    """Thumbnails on disk.

    Indexing with a cell, a slice or a list of cells gives cells x channels x window x window (without the first axis
    for one cell), in the order asked for. For everything else there is `array`.

    Parameters
    ----------
    path
        Result of `cut` or `cut_tiles`.
    masked
        Set pixels outside each cell to 0 on reading; needs the array of masks.

    Attributes
    ----------
    path
        Path of the folder or zip file.
    shape
        Channels, cells, window, window.
    dtype
        Type of the pixels.
    """

    def __init__(self, path: str | Path, *, masked: bool = False) -> None:
        self.path = Path(path).expanduser().absolute()
        recover(self.path)
        if not self.path.exists():
            raise FormatError(f"{self.path} does not exist")
        self.array = _open(self.path)
        self.shape: tuple[int, int, int, int] = self.array.shape  # type: ignore[assignment]
        self.dtype = self.array.dtype
        if len(self.shape) != 4:
            raise FormatError(f"{self.path.name} is an array of {len(self.shape)} axes, and no thumbnails")
        self._chunks = _Chunks(self.path, self.array, 1)
        self._masked = masked
        self._masks: _Chunks | None = None
        if masked:
            beside = mask_path(self.path)
            has = bool(self.array.attrs.get("mask")) and beside.exists()
            check(has, f"{self.path.name} has no masks: cut it with masks=True")
            masks = _open(beside)
            if masks.shape != (self.shape[1], *self.shape[2:]):
                raise FormatError(
                    f"{beside.name} has the shape {masks.shape}, which are not the masks of {self.path.name}"
                )
            self._masks = _Chunks(beside, masks, 0)

    def __len__(self) -> int:
        return self.shape[1]

    def __repr__(self) -> str:
        channels, cells, size, _ = self.shape
        return f"Thumbnails of {cells:,} cells, {channels} channels, {size} x {size} {self.dtype}: {self.path.name}"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Ids, centroids, windows and bounding boxes, one row per cell."""
        if self.path.is_dir():
            return pd.read_csv(self.path / TABLE)
        with zipfile.ZipFile(self.path) as archive, archive.open(TABLE) as file:
            return pd.read_csv(file)

    @property
    def channel_names(self) -> list[str]:
        """Names of the channels."""
        return [str(name) for name in self.array.attrs.get("channel_names", [])]  # type: ignore[union-attr]

    def __getitem__(self, cells: int | slice | Sequence[int] | Array) -> Array:
        if isinstance(cells, (int, np.integer)):
            one: Array = self.read([int(cells)])[0]
            return one
        return self.read(cells)

    def read(self, cells: slice | Sequence[int] | Array, out: Array | None = None) -> Array:
        """Read cells in the order asked for.

        Parameters
        ----------
        cells
            A slice, numbers (from the end if negative), or a mask of all cells.
        out
            Cells x channels x window x window, contiguous, to read into: saves making an array for each batch.

        Raises
        ------
        ParameterError
            If there is no such cell, or out is of another shape or type.
        FormatError
            If a chunk is damaged.
        """
        n_cells = self.shape[1]
        rows = np.arange(n_cells)[cells] if isinstance(cells, slice) else np.asarray(cells)
        if rows.dtype == np.bool_ and rows.shape == (n_cells,):
            rows = np.flatnonzero(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ParameterError("cells must be a number, a slice, or a list of numbers")
        rows = rows.astype(np.int64)
        bad = rows[(rows < -n_cells) | (rows >= n_cells)]
        check(not len(bad), f"cells must be in 0..{n_cells - 1}, got {bad[0] if len(bad) else None}")
        rows %= max(n_cells, 1)
        shape = (len(rows), self.shape[0], *self.shape[2:])
        if out is None:
            out = np.empty(shape, self.dtype)
        fits = out.shape == shape and out.dtype == self.dtype and out.flags.c_contiguous
        check(fits, f"out must be a contiguous array of {self.dtype} of the shape {shape}, got {out.shape}")
        chunks, inverse = np.unique(rows // self._chunks.grid.chunk, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        wanted = np.split(order, np.cumsum(np.bincount(inverse, minlength=len(chunks)))[:-1]) if len(chunks) else []
        tasks = list(zip(chunks.tolist(), wanted, strict=True))
        threads = min(default_threads(), len(tasks)) if out.nbytes > PARALLEL else 1
        if threads <= 1:
            self._fill(tasks, rows, out)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda k: self._fill(tasks[k::threads], rows, out), range(threads)))
        return out

    def _fill(self, tasks: Sequence[tuple[int, Array]], rows: Array, out: Array) -> None:
        """Decode chunks, each with the targets of its cells."""
        cells = self._chunks.grid.chunk
        for chunk, targets in tasks:
            if cells == 1:
                self._chunks.decode(chunk, out[targets[0]][:, None])
                out[targets[1:]] = out[targets[0]]
            else:
                decoded = self._chunks.decode(chunk)
                out[targets] = decoded[:, rows[targets] - chunk * cells].transpose(1, 0, 2, 3)
            if self._masks is None:
                continue
            for target in targets:
                mask_chunk, cell = divmod(int(rows[target]), self._masks.grid.chunk)
                np.copyto(out[target], False, where=~self._masks.decode(mask_chunk)[cell])

    def close(self) -> None:
        """Close its files."""
        self._chunks.close()
        if self._masks is not None:
            self._masks.close()


def _open(path: Path) -> zarr.Array[Any]:
    """Open the array of a folder or zip file."""
    store: Any = zarr.storage.ZipStore(path, mode="r") if path.is_file() else str(path)
    try:
        return use_pipeline(zarr.open_array(store, mode="r"))
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise FormatError(f"{path.name} is not a Zarr array: {error}") from error


def open_thumbnails(path: str | Path, *, masked: bool = False) -> Thumbnails:
    """Open thumbnails for reading by cell.

    Parameters
    ----------
    path
        Path of the array that `cut` has written: a folder or a zip file.
    masked
        Set pixels outside each cell to 0 on reading; needs the array of masks.

    Raises
    ------
    FormatError
        If it is not there, or no thumbnails; on reading, if a chunk is damaged.
    ParameterError
        If there are no masks.

    Examples
    --------
    >>> open_thumbnails("nowhere.zarr")
    Traceback (most recent call last):
    kithkin.core.errors.FormatError: ...nowhere.zarr does not exist
    """
    return Thumbnails(path, masked=masked)
