"""Paths of thumbnails, and the number of cells in a chunk and in a file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import check, check_choice
from kithkin.io.thumbnails.shards import Grid

MIB = 2**20
INNER_BYTES = 1 << 15  # a chunk holds several cells if one is smaller than this
MOST_CELLS = 16  # cells in a chunk: more cost reading at random, see benchmarks/cut_cells.py


@dataclass(frozen=True)
class Layout:
    """Layout of thumbnails on disk."""

    n_channels: int
    n_cells: int
    size: int  # side of a thumbnail in pixels
    dtype: np.dtype[Any]
    chunk: int  # cells in a chunk
    shard: int  # cells in a file
    zarr_format: int = 3  # 3, or 2: one chunk per file, zstd with byte shuffle
    zipped: bool = False  # write one zip file instead of a folder
    masks: bool = False  # write an array of masks beside it

    def pixels(self) -> Grid:
        """Return the layout of the array of pixels."""
        shape = self.n_channels, self.n_cells, self.size, self.size
        return Grid(shape, 1, self.dtype, self.chunk, self.shard, self.zarr_format)

    def mask(self) -> Grid:
        """Return the layout of the array of masks."""
        shape = self.n_cells, self.size, self.size
        return Grid(shape, 0, np.dtype(bool), self.chunk, self.shard, self.zarr_format)

    @property
    def chunk_bytes(self) -> int:
        """Uncompressed bytes of a chunk."""
        return self.chunk * self.n_channels * self.size**2 * self.dtype.itemsize


def plan_layout(
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    chunk_size: float | None = None,
    cells_per_chunk: int | None = None,
    zarr_format: int = 3,
) -> tuple[int, int]:
    """Plan the number of cells in a chunk and in a file (a shard, or a chunk of format 2).

    `shape` is channels, cells, and side of a thumbnail. `chunk_size` is the uncompressed MiB of a file; None: 32, or
    one cell if that is more. `cells_per_chunk` is the cells in a file, instead of chunk_size. Raises ParameterError if
    both are given, or a cell is larger than the chunk.
    """
    check_choice("zarr_format", zarr_format, (2, 3))
    check(chunk_size is None or cells_per_chunk is None, "give either chunk_size or cells_per_chunk, not both")
    check(cells_per_chunk is None or cells_per_chunk >= 1, f"cells_per_chunk must be at least 1, got {cells_per_chunk}")
    check(chunk_size is None or chunk_size > 0, f"chunk_size must be more than 0, got {chunk_size}")
    n_channels, n_cells, size = shape
    cell = n_channels * size**2 * dtype.itemsize
    fit = int((32 if chunk_size is None else chunk_size) * MIB) // cell
    check(
        fit >= 1 or chunk_size is None or cells_per_chunk is not None,
        f"chunk_size must be at least {cell / MIB:.2f} for a thumbnail of {n_channels} x {size} x {size} pixels, "
        f"got {chunk_size}",
    )
    shard = min(max(fit, 1) if cells_per_chunk is None else cells_per_chunk, max(n_cells, 1))
    if zarr_format == 2:
        return shard, shard
    inner = max(1, min(MOST_CELLS, INNER_BYTES // cell))
    if cells_per_chunk is not None:
        return gcd(inner, shard), shard
    inner = min(inner, shard)
    return inner, shard // inner * inner


def mask_path(target: Path) -> Path:
    """Return the path of the masks of thumbnails."""
    name = target.name
    ending = next((e for e in (".zarr.zip", ".zip", ".zarr") if name.endswith(e)), "")
    return target.with_name(f"{name.removesuffix(ending)}_mask{ending or '.zarr'}")


def named(target: str | Path, *, zipped: bool) -> Path:
    """Complete the path of a destination; a zip file gets its ending, by which others know it."""
    path = Path(target).expanduser().absolute()
    return path.with_name(f"{path.name}.zip") if zipped and path.suffix != ".zip" else path


def destination(target: str | Path, *, zipped: bool, masks: bool, overwrite: bool) -> Path:
    """Check the destination of thumbnails.

    Raises KithkinError if something is there and must not be replaced, or is no Zarr array.
    """
    path = named(target, zipped=zipped)
    check(path.parent.is_dir(), f"the folder {path.parent} does not exist")
    check(zipped or path.suffix != ".zip", f"{path.name} names a zip file: use zipped=True to write one")
    for one in [path, mask_path(path)] if masks else [path]:
        if one.exists():
            check(overwrite, f"{one} already exists: choose another destination, or use overwrite=True to replace it")
            check(_is_array(one), f"{one} is not a Zarr array, and will not be replaced")
    return path


def _is_array(path: Path) -> bool:
    """Tell whether a folder or zip file is a Zarr array."""
    try:
        if not path.is_dir():
            with zipfile.ZipFile(path) as archive:
                return bool({"zarr.json", ".zarray"} & set(archive.namelist()))
        header = path / "zarr.json"
        if header.exists():
            return bool(json.loads(header.read_text(encoding="utf-8")).get("node_type") == "array")
    except (zipfile.BadZipFile, ValueError, AttributeError):
        return False
    return (path / ".zarray").exists()
