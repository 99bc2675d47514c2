"""How counts should lie on disk: types, codec, checksum, chunks, shards, pipeline, and how much to read at a time.

    python benchmarks/layout.py counts.h5ad [--values 16000000] [--threads 2]

Takes the first stored values of a CSR file and writes their `data` and `indices` as two Zarr arrays, in kithkin's own
layout and with one choice changed at a time. Printed for each: bytes on disk per stored value (value and index
together), files, CPU seconds to write, million stored values read per CPU second and per second of the clock in blocks
as kithkin reads them (the best of three), and milliseconds for the values of one cell at a random place. Nothing is
computed on what is read. The files lie in the cache of the operating system: what is compared is decoding, not disks.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from kithkin.core.arrays import use_pipeline
from kithkin.core.budget import BLOCK_BYTES
from kithkin.core.layout import CHUNK, SHARD, index_dtype, stored_dtype
from timing import markdown

ROUNDS, PLACES = 3, 200


@dataclass(frozen=True)
class Layout:
    """One way to store the two arrays; the values given here are kithkin's own."""

    name: str = "kithkin's own"
    values: str = "smallest"
    indices: str = "smallest"
    codec: str = "lz4"
    level: int = 5
    shuffle: str = "bitshuffle"
    checksum: bool = True
    chunk: int = CHUNK
    shard: int | None = SHARD
    compiled: bool = True
    block_bytes: int = BLOCK_BYTES

    def compressors(self) -> list[Any]:
        """The codecs behind both arrays."""
        if self.codec == "zarr":
            return [ZstdCodec(level=0)]
        blosc = BloscCodec(cname=self.codec, clevel=self.level, shuffle=self.shuffle)
        return [blosc, Crc32cCodec()] if self.checksum else [blosc]


def trials(index: Any) -> list[Layout]:
    """Kithkin's own layout, and one choice changed at a time."""
    own = Layout()
    by = {
        "indices": [{"indices": kind} for kind in ("int16", "uint16", "int32") if kind != index],
        "values": [{"values": kind} for kind in ("uint32", "float32")],
        "codec": [
            *({"codec": "lz4", "level": level} for level in (1, 9)),
            *({"codec": "zstd", "level": level} for level in (1, 3, 5)),
        ],
        "shuffle": [{"shuffle": how} for how in ("shuffle", "noshuffle")],
        "checksum": [{"checksum": False}],
        "chunk": [{"chunk": 1 << power} for power in (13, 14, 15, 17, 18, 20)],
        "shard": [{"shard": size} for size in (1 << 20, 1 << 24, None)],
        "pipeline": [{"compiled": False}],
        "block": [{"block_bytes": 1 << power} for power in (20, 21, 22, 24, 25, 26)],
    }
    made = [own]
    for changes in by.values():
        made += [replace(own, name=title(change), **change) for change in changes]
    plain = {"values": "float32", "indices": "int32", "codec": "zarr", "chunk": 1 << 20, "shard": None}
    usual = replace(own, name="float32, int32, zstd, no shards", compiled=False, **plain)
    return [*made, usual, replace(usual, name=f"{usual.name}, compiled pipeline", compiled=True)]


def title(change: dict[str, Any]) -> str:
    """What is different."""
    if "codec" in change:
        return f"{change['codec']} level {change['level']}"
    (name, value), *_ = change.items()
    if value is False:
        return {"compiled": "zarr's own pipeline", "checksum": "no checksum"}[name]
    shown = f"{value:,}" if isinstance(value, int) else value or "none"
    return f"{name.replace('block_bytes', 'bytes read at a time')}: {shown}"


def create(folder: Path, name: str, values: np.ndarray, layout: Layout) -> None:
    """Write one array, in pieces of whole shards as kithkin does."""
    shards = None if layout.shard is None else (layout.shard,)
    array = zarr.create_array(
        str(folder / name),
        shape=values.shape,
        dtype=values.dtype,
        chunks=(layout.chunk,),
        shards=shards,
        compressors=layout.compressors(),
        fill_value=0,
    )
    step = layout.shard or SHARD
    for start in range(0, len(values), step):
        array[start : start + step] = values[start : start + step]


def stream(arrays: list[Any], step: int, threads: int) -> tuple[float, float]:
    """CPU seconds and seconds of reading everything in blocks, the best of several rounds."""
    starts, best = range(0, arrays[0].shape[0], step), (np.inf, np.inf)

    def read(start: int) -> int:
        return sum(array[start : start + step].size for array in arrays)

    for _ in range(ROUNDS):
        cpu, wall = time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, starts))
        best = min(best[0], time.process_time() - cpu), min(best[1], time.perf_counter() - wall)
    return best


def scattered(arrays: list[Any], length: int) -> float:
    """Milliseconds for a short run of values at a random place."""
    places = np.random.default_rng(0).integers(0, arrays[0].shape[0] - length, PLACES)
    start = time.perf_counter()
    for place in places.tolist():
        for array in arrays:
            array[place : place + length]
    return (time.perf_counter() - start) / PLACES * 1000


def measure(
    layout: Layout, data: np.ndarray, indices: np.ndarray, folder: Path, options: argparse.Namespace
) -> list[str]:
    """Write, read and remove; one row of the table."""
    kind = stored_dtype(data) if layout.values == "smallest" else np.dtype(layout.values)
    index = options.index if layout.indices == "smallest" else np.dtype(layout.indices)
    cpu = time.process_time()
    create(folder, "data", data.astype(kind), layout)
    create(folder, "indices", indices.astype(index), layout)
    cpu = time.process_time() - cpu
    opened = [zarr.open_array(str(folder / name), mode="r") for name in ("data", "indices")]
    arrays = [use_pipeline(array, compiled=layout.compiled) for array in opened]
    step = layout.block_bytes // (kind.itemsize + index.itemsize)
    read_cpu, read_wall = stream(arrays, step, options.threads)
    place = scattered(arrays, options.length)
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / len(data)
    shutil.rmtree(folder)
    rates = [f"{len(data) / 1e6 / seconds:.0f}" for seconds in (read_cpu, read_wall)]
    return [layout.name, f"{size:.2f}", str(len(files)), f"{cpu:.2f}", *rates, f"{place:.2f}"]


def main() -> None:
    """Try every layout and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="counts as h5ad with CSR rows")
    parser.add_argument("--values", type=int, default=16_000_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with h5py.File(options.source) as file:
        data, indices = (file[f"X/{name}"][: options.values] for name in ("data", "indices"))
        options.index = index_dtype(int(file["X"].attrs["shape"][1]))
        options.length = len(file["X/data"]) // (len(file["X/indptr"]) - 1)
    rates = ["million values per CPU s", "million values a second"]
    head = ["layout", "bytes per value", "files", "CPU s to write", *rates, "ms for one cell"]
    with tempfile.TemporaryDirectory() as name:
        measure(Layout(), data[:CHUNK], indices[:CHUNK], Path(name) / "warm", options)
        rows = [measure(layout, data, indices, Path(name) / "trial", options) for layout in trials(options.index)]
    print(f"{len(data):,} stored values, {options.length} in a cell; {options.threads} threads\n")
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
