"""An array on disk whose chunks come in any order: each is packed once and put behind what its file holds already.

A Zarr shard is a file of chunks in any order with an index at its end. So the chunks can be written as they come, at
no cost in memory, whatever their order in the array; the index follows when all are there. What was written is listed
in a log, so that a writer that was killed goes on where it stopped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs import Blosc  # type: ignore[import-untyped]

from kithkin.core.blocks import Array
from kithkin.core.layout import compressors

PLAIN = {"cname": "zstd", "clevel": 2, "shuffle": Blosc.SHUFFLE}  # what cellcutter writes
ABSENT = np.uint64(2**64 - 1)
RECORD = np.dtype([("chunk", "<i8"), ("offset", "<i8"), ("size", "<i8"), ("crc", "<u4"), ("seal", "<u4")])


@dataclass(frozen=True)
class Grid:
    """Layout of an array of cells on disk: whole along all axes but that of the cells."""

    shape: tuple[int, ...]
    axis: int  # of the cells
    dtype: np.dtype[Any]
    chunk: int  # cells in a chunk
    shard: int  # cells in a file; a file is one chunk in format 2
    zarr_format: int = 3  # 3, or 2 for the plain old layout

    def lengths(self, cells: int) -> tuple[int, ...]:
        """Return the shape of so many cells."""
        return *self.shape[: self.axis], cells, *self.shape[self.axis + 1 :]

    @property
    def n_chunks(self) -> int:
        """Number of chunks of the array."""
        return -(-self.shape[self.axis] // self.chunk)

    @property
    def per_shard(self) -> int:
        """Number of chunks in a file."""
        return self.shard // self.chunk

    @property
    def header(self) -> str:
        """Name of the file with the header of the array."""
        return ".zarray" if self.zarr_format == 2 else "zarr.json"

    def file_of(self, shard: int) -> str:
        """Return the path of a file within the array."""
        place = [str(shard) if k == self.axis else "0" for k in range(len(self.shape))]
        return ".".join(place) if self.zarr_format == 2 else "/".join(["c", *place])


def create_array(folder: Path, grid: Grid, names: Sequence[str], attributes: dict[str, Any]) -> None:
    """Write the header of an array."""
    settings: dict[str, Any]
    if grid.zarr_format == 2:
        settings = {"chunks": grid.lengths(grid.shard), "compressors": Blosc(**PLAIN)}
        attributes = {"_ARRAY_DIMENSIONS": list(names), **attributes}
    else:
        settings = {
            "chunks": grid.lengths(grid.chunk),
            "shards": grid.lengths(grid.shard),
            "compressors": compressors(),
            "dimension_names": list(names),
        }
    zarr.create_array(
        folder,
        shape=grid.shape,
        dtype=grid.dtype,
        fill_value=0,
        attributes=attributes,
        zarr_format=2 if grid.zarr_format == 2 else 3,
        overwrite=True,
        **settings,
    )


def _seal(records: Array) -> Array:
    """Compute a checksum of each record, so that one torn by a kill is told from a whole one."""
    mixed = records["chunk"] * 31 + records["offset"] * 17 + records["size"] * 13 + records["crc"] + 1
    sealed: Array = mixed.astype(np.uint64).astype(np.uint32)
    return sealed


class ChunkWriter:
    """Writes the chunks of one array in any order, from any thread.

    The header of the array in `folder` is not needed. Each written chunk is listed in the file `log`; chunks that it
    lists and that are whole on disk count as written.

    Examples
    --------
    >>> import tempfile
    >>> folder, grid = Path(tempfile.mkdtemp()) / "a.zarr", Grid((3, 2, 2), 0, np.dtype("uint8"), 1, 2)
    >>> create_array(folder, grid, ["cell", "y", "x"], {})
    >>> writer = ChunkWriter(folder, grid, folder.with_suffix(".log"))
    >>> writer.write([(k, writer.pack(np.full((1, 2, 2), k, np.uint8))) for k in (2, 0, 1)])
    >>> writer.close()
    >>> zarr.open_array(folder)[:, 0, 0].tolist()
    [0, 1, 2]
    """

    def __init__(self, folder: Path, grid: Grid, log: Path) -> None:
        self._folder, self._grid = folder, grid
        self._offsets = np.full(grid.n_chunks, -1, np.int64)
        self._sizes = np.zeros(grid.n_chunks, np.int64)
        self._ends = np.zeros(-(-grid.n_chunks // grid.per_shard), np.int64)
        self._codec = (
            Blosc(cname="lz4", clevel=5, shuffle=Blosc.BITSHUFFLE) if grid.zarr_format == 3 else Blosc(**PLAIN)
        )
        self._lock = threading.Lock()
        if log.exists():
            self._take_up(log)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @property
    def written(self) -> Array:
        """Chunks that are on disk, as a mask of all."""
        with self._lock:
            known: Array = self._offsets >= 0
            return known

    def pack(self, values: Array) -> bytes:
        """Compress the values of a chunk, cells along their axis; a chunk at the end of the array is filled up."""
        missing = self._grid.chunk - values.shape[self._grid.axis]
        if missing:
            values = np.pad(values, [(0, missing if k == self._grid.axis else 0) for k in range(values.ndim)])
        data: bytes = self._codec.encode(np.ascontiguousarray(values))
        if self._grid.zarr_format == 2:
            return data
        return data + int(google_crc32c.value(data)).to_bytes(4, "little")

    def write(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Put packed chunks on disk, and list them."""
        records = np.zeros(len(chunks), RECORD)
        with self._lock:
            for record, (chunk, data) in zip(records, chunks, strict=True):
                shard = chunk // self._grid.per_shard
                end = (
                    0 if self._grid.zarr_format == 2 else self._ends[shard]
                )  # there a file is one chunk, written again
                record["chunk"], record["offset"], record["size"] = chunk, end, len(data)
                self._ends[shard] = end + len(data)
        order = np.argsort(records["chunk"] // self._grid.per_shard, kind="stable")
        for some in np.split(order, np.flatnonzero(np.diff(records["chunk"][order] // self._grid.per_shard)) + 1):
            path = self._path(int(records["chunk"][some[0]]) // self._grid.per_shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                for k in some:
                    data = chunks[k][1]
                    write_whole(handle, data, int(records["offset"][k]))
                    records["crc"][k] = google_crc32c.value(data)
                    if self._grid.zarr_format == 2:
                        os.truncate(handle, len(data))
            finally:
                os.close(handle)
        records["seal"] = _seal(records)
        with self._lock:
            os.write(self._log, records.tobytes())
            self._offsets[records["chunk"]], self._sizes[records["chunk"]] = records["offset"], records["size"]

    def _path(self, shard: int) -> Path:
        """Return the path of a file."""
        return self._folder / self._grid.file_of(shard)

    def _take_up(self, log: Path) -> None:
        """Find the chunks that a run before has written, and forget the others."""
        data = log.read_bytes()
        records = np.frombuffer(data[: len(data) // RECORD.itemsize * RECORD.itemsize], RECORD)
        records = records[_seal(records) == records["seal"]]
        shards = records["chunk"] // self._grid.per_shard
        for shard in range(len(self._ends)):
            path = self._path(shard)
            if path.exists():
                listed, whole = records[shards == shard], []  # of which those count that are on disk as written
                with path.open("rb") as file:
                    for k in np.argsort(listed["offset"], kind="stable"):
                        file.seek(int(listed["offset"][k]))
                        packed = file.read(int(listed["size"][k]))
                        if len(packed) == listed["size"][k] and google_crc32c.value(packed) == listed["crc"][k]:
                            whole.append(k)
                kept = listed[whole]
                self._offsets[kept["chunk"]], self._sizes[kept["chunk"]] = kept["offset"], kept["size"]
                self._ends[shard] = max((kept["offset"] + kept["size"]).tolist(), default=0)
                os.truncate(path, self._ends[shard])
        good = records[(self._offsets[records["chunk"]] == records["offset"]) & (records["size"] > 0)]
        beside = log.with_name(f"{log.name}.new")
        beside.write_bytes(good.tobytes())
        os.replace(beside, log)

    def close(self) -> None:
        """Write the index of every file, and stop listing."""
        self.abandon()
        if self._grid.zarr_format == 2:
            return
        per_shard = self._grid.per_shard
        for shard, end in enumerate(self._ends.tolist()):
            index = np.full((per_shard, 2), ABSENT)
            first = shard * per_shard
            offsets = self._offsets[first : first + per_shard]
            index[: len(offsets), 0] = offsets
            index[: len(offsets), 1] = self._sizes[first : first + per_shard]
            data = index.astype("<u8").tobytes()
            data += int(google_crc32c.value(data)).to_bytes(4, "little")
            handle = os.open(self._path(shard), os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.truncate(handle, end)
                write_whole(handle, data, end)
            finally:
                os.close(handle)

    def abandon(self) -> None:
        """Stop without an index."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1


def write_whole(handle: int, data: bytes, offset: int) -> None:
    """Write all bytes at an offset: the system may take them in parts, the last before a disk is full."""
    view, done = memoryview(data), 0
    while done < len(data):
        done += os.pwrite(handle, view[done:], offset + done)
