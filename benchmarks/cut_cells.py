"""Cutting cells out of an image: processor seconds, clock, peak memory, and how fast thumbnails are read again.

    python benchmarks/cut_cells.py FOLDER [--peer cellcutter/bin/cut_cells] [--threads 2] [--parts cut read layout]

FOLDER holds image.ome.tif, cellMask.tif and cells.csv. Each run of `cut` is a process of its own, the start of Python
included; with a peer, every pixel of its array is compared. `read` takes 100 cells with all channels, at random and
side by side, from the array that was written: the best of thirty. `layout` packs the same thumbnails with one choice
changed at a time. The files lie in the cache of the operating system.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numcodecs import Blosc

from timing import markdown, peak_memory

CELLS, ROUNDS, SAMPLE = 100, 30, 2000
CHILD, PEAK = "--child", "peak MB: "
SETTINGS = {  # of kithkin: name -> arguments, whether the table is shuffled
    "kithkin": ([], False),
    "kithkin, cells shuffled": ([], True),
    "kithkin, --mask-cells": (["--mask-cells"], False),
    "kithkin, --cache-size 64": (["--cache-size", "64"], True),
    "kithkin, --cache-size 4096": (["--cache-size", "4096"], True),
    "kithkin, --zarr-format 2, shuffled": (["--zarr-format", "2"], True),
}
CODECS = {
    "lz4, bits": ("lz4", 5, Blosc.BITSHUFFLE),
    "lz4 at level 1, bits": ("lz4", 1, Blosc.BITSHUFFLE),
    "lz4, bytes": ("lz4", 5, Blosc.SHUFFLE),
    "zstd at level 1, bits": ("zstd", 1, Blosc.BITSHUFFLE),
    "zstd at level 2, bytes": ("zstd", 2, Blosc.SHUFFLE),
}


def measured(command: list[str]) -> dict[str, float]:
    """Run a command to its end: seconds of processor and of the clock, and peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.stdout.read() if process.stdout else ""
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {said}")
    scale = 1 if sys.platform == "darwin" else 1024
    told = [line.removeprefix(PEAK) for line in said.splitlines() if line.startswith(PEAK)]
    # what the system tells begins at the size of this process, so that a child of our own tells it itself
    peak = float(told[-1]) if told else used.ru_maxrss * scale / 1e6
    return {"cpu": used.ru_utime + used.ru_stime, "wall": time.perf_counter() - start, "peak": peak}


def row_of(name: str, found: dict[str, float], path: Path, equal: str) -> list[str]:
    """Say one run as a line of the table."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    return [name, f"{found['cpu']:.1f}", f"{found['wall']:.1f}", f"{found['peak']:.0f}", f"{size:.0f}", equal]


def different(path: Path, other: Path, order: np.ndarray | None) -> str:
    """Count cells of two arrays that are not equal in every pixel; order says where each cell lies in the second."""
    ours, theirs = zarr.open_array(path, mode="r"), zarr.open_array(other, mode="r")
    count, n_cells = 0, ours.shape[1]
    for start in range(0, n_cells, SAMPLE):
        rows = np.arange(start, min(start + SAMPLE, n_cells))
        expected = theirs[:, start : start + SAMPLE] if order is None else theirs.oindex[:, order[rows]]
        count += int((ours[:, start : start + SAMPLE] != expected).any(axis=(0, 2, 3)).sum())
    return f"{count}"


def cut(folder: Path, scratch: Path, peer: str | None, threads: int) -> Path:
    """Cut with every setting; gives the first array."""
    rows, table = [], pd.read_csv(folder / "cells.csv")
    shuffled = table.sample(frac=1, random_state=0)
    shuffled.to_csv(scratch / "shuffled.csv", index=False)
    sources = [str(folder / "image.ome.tif"), str(folder / "cellMask.tif")]
    theirs = scratch / "peer.zarr"
    if peer is not None:
        for jobs in (1, threads):
            shutil.rmtree(theirs, ignore_errors=True)
            found = measured([peer, "-p", str(jobs), *sources, str(folder / "cells.csv"), str(theirs)])
            rows.append(row_of(f"cellcutter, -p {jobs}", found, theirs, ""))
    for number, (name, (settings, mixed)) in enumerate(SETTINGS.items()):
        target = scratch / f"{number}.zarr"
        cells = scratch / "shuffled.csv" if mixed else folder / "cells.csv"
        program = [sys.executable, __file__, CHILD, "-p", str(threads)]
        found = measured([*program, *settings, *sources, str(cells), str(target)])
        equal = ""
        if peer is not None and "--mask-cells" not in settings:
            equal = different(target, theirs, shuffled.index.to_numpy() if mixed else None)
        rows.append(row_of(name, found, target, equal))
        if number:
            shutil.rmtree(target)
            shutil.rmtree(scratch / f"{number}_mask.zarr", ignore_errors=True)
    print(markdown(["", "CPU s", "s", "peak MB", "MB on disk", "cells that differ"], rows), flush=True)
    return scratch / "0.zarr"


def best(do: Callable[[Any], Any], draw: Callable[[], Any]) -> str:
    """Milliseconds of a call, the best of many."""
    took = []
    for _ in range(ROUNDS):
        rows = draw()
        start = time.perf_counter()
        do(rows)
        took.append(time.perf_counter() - start)
    return f"{1e3 * min(took):.1f}"


def read(path: Path) -> None:
    """Read cells by inner chunk, and with zarr itself."""
    from kithkin.images import open_thumbnails

    cells, rng = open_thumbnails(path), np.random.default_rng(0)
    n_cells = len(cells)
    first = {
        "at random": lambda: rng.choice(n_cells, CELLS, replace=False),
        "side by side": lambda: np.arange(CELLS) + rng.integers(0, n_cells - CELLS),
    }
    rows = []
    for name, draw in first.items():
        by_zarr = (
            (lambda k: cells.array[:, k[0] : k[-1] + 1])
            if name != "at random"
            else (lambda k: cells.array.oindex[:, k])
        )
        rows.append([f"{CELLS} cells {name}", best(lambda k: cells[k], draw), best(by_zarr, draw)])
    print(markdown([f"{cells!r}", "open_thumbnails, ms", "zarr, ms"], rows), flush=True)


def layout(path: Path) -> None:
    """Pack and unpack thumbnails by each codec, and by each number of cells in a chunk."""
    from kithkin.images import open_thumbnails

    pixels = open_thumbnails(path)[:SAMPLE]
    rows = [[name, "1", *packed(pixels, codec, 1)] for name, codec in CODECS.items()]
    rows += [["lz4, bits", str(cells), *packed(pixels, CODECS["lz4, bits"], cells)] for cells in (4, 16, 64)]
    head = ["codec", "cells in a chunk", "share of raw", "pack MB/s", "at random, ms", "side by side, ms"]
    print(markdown(head, rows), flush=True)


def packed(pixels: np.ndarray, codec: tuple[str, int, int], cells: int) -> list[str]:
    """Share of the raw size, MB packed per processor second, milliseconds to unpack cells in both orders."""
    blosc = Blosc(*codec)
    chunks = [np.ascontiguousarray(pixels[k : k + cells].swapaxes(0, 1)) for k in range(0, len(pixels), cells)]
    start = time.process_time()
    data = [blosc.encode(chunk) for chunk in chunks]
    seconds = time.process_time() - start
    rng, out = np.random.default_rng(0), np.empty_like(chunks[0])

    def unpack(rows: np.ndarray) -> None:
        for chunk in np.unique(rows // cells):
            blosc.decode(data[chunk], out=out if chunks[chunk].shape == out.shape else None)

    random = best(unpack, lambda: rng.choice(len(pixels), CELLS, replace=False))
    along = best(unpack, lambda: np.arange(CELLS) + rng.integers(0, len(pixels) - CELLS))
    return [f"{sum(map(len, data)) / pixels.nbytes:.3f}", f"{pixels.nbytes / 1e6 / seconds:.0f}", random, along]


def main() -> None:
    """Read the arguments, and run what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", help="cellcutter's cut_cells")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=("cut", "read", "layout"), default=["cut", "read", "layout"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        path = Path(scratch) / "0.zarr"
        if "cut" in given.parts:
            path = cut(given.folder, Path(scratch), given.peer, given.threads)
        else:
            sources = [str(given.folder / name) for name in ("image.ome.tif", "cellMask.tif", "cells.csv")]
            measured([sys.executable, __file__, CHILD, *sources, str(path)])
        if "read" in given.parts:
            read(path)
        if "layout" in given.parts:
            layout(path)


def child(arguments: list[str]) -> None:
    """Cut in this process, and say its peak memory."""
    from kithkin.cli.cut_cells import main as cut_cells

    code = cut_cells(arguments)
    print(f"{PEAK}{peak_memory()}")
    sys.exit(code)


if __name__ == "__main__":
    child(sys.argv[2:]) if sys.argv[1:2] == [CHILD] else main()
