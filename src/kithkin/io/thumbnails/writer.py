"""Thumbnails of cells on disk: a Zarr array [channels, cells, window, window], its masks, and the table of its cells.

The array is written in a hidden folder beside its name and moved there whole. A writer that is killed leaves the
folder, and the next one with the same inputs and settings takes up what is in it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import KithkinError
from kithkin.core.transaction import flush, flush_tree, is_full_disk, place, write_text, writing
from kithkin.io.thumbnails.layout import MIB, Layout, mask_path
from kithkin.io.thumbnails.shards import ChunkWriter, Grid, create_array

log = logging.getLogger("kithkin")
FLUSH = 8 * MIB  # packed bytes that a thread gathers before it writes them
TABLE = "cells.csv"
STATE = "state.json"  # identity of the job whose chunks lie in the hidden folder
PARTS = ("pixels", "mask", "pixels.zip", "mask.zip")
REVISION = 2  # of the format; raised when other arrays are written for the same inputs


class ThumbnailWriter:
    """Writes thumbnails, in any order and from any thread.

    `target` is a path from `destination`. `identity` stands for the inputs and settings by which a folder left by a
    kill is taken up; None: it never is. Raises KithkinError if somebody else writes it, or the disk becomes full.

    Examples
    --------
    >>> import tempfile, zarr
    >>> target = Path(tempfile.mkdtemp()) / "cells.zarr"
    >>> layout = Layout(2, 3, 4, np.dtype("uint8"), 1, 3)
    >>> with ThumbnailWriter(target, layout, {}, None) as writer:
    ...     writer.write([writer.pack(k, np.full((2, 1, 4, 4), k, "uint8")) for k in range(3)])
    ...     writer.finish(pd.DataFrame({"CellID": [7, 8, 9]}))
    >>> zarr.open_array(target, mode="r")[1, :, 0, 0].tolist()
    [0, 1, 2]
    """

    def __init__(self, target: Path, layout: Layout, attributes: dict[str, Any], identity: str | None) -> None:
        self._target, self.layout, self._attributes, self._identity = target, layout, attributes, identity
        self.folder = target.with_name(f".{target.name}.cut")
        self._stack = ExitStack()
        self._writers: list[ChunkWriter] = []

    def __enter__(self) -> Self:
        self._stack.enter_context(writing(self._target))
        try:
            finish_moves(self._target)
            self.prepare()
        except BaseException as error:
            self.leave(error)
            self._stack.close()
            raise
        return self

    def arrays(self) -> dict[str, tuple[Grid, list[str], dict[str, Any]]]:
        """Layout, axes and attributes of each array in the hidden folder."""
        masks: dict[str, tuple[Grid, list[str], dict[str, Any]]]
        masks = {"mask": (self.layout.mask(), ["cell", "y", "x"], {})} if self.layout.masks else {}
        return {"pixels": (self.layout.pixels(), ["channel", "cell", "y", "x"], self._attributes)} | masks

    def prepare(self) -> None:
        """Take up the hidden folder if it belongs to this job, or begin it again; the lock must be held."""
        folder, arrays = self.folder, self.arrays()
        if os.path.lexists(folder) and not is_own_folder(folder):
            raise KithkinError(
                f"{folder} is a link, or belongs to another user: remove it, or choose another destination"
            )
        shape = {key: str(value) for key, value in asdict(self.layout).items()}
        said = {"revision": REVISION, "job": self._identity, "layout": shape, "attributes": self._attributes}
        state = json.dumps(said, sort_keys=True)
        known = folder / STATE
        same = self._identity is not None and known.exists() and known.read_text(encoding="utf-8") == state
        # a folder that was being removed when its remover was killed has its state, but maybe not its headers
        if not (same and all((folder / name / grid.header).exists() for name, (grid, _, _) in arrays.items())):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name, (grid, axes, attributes) in arrays.items():
                create_array(folder / name, grid, axes, attributes)
            write_text(known, state)
        for name, (grid, _, _) in arrays.items():
            self._writers.append(ChunkWriter(folder / name, grid, folder / f"{name}.log"))
        kept = min(int(self.written.sum()) * self.layout.chunk, self.layout.n_cells)
        if kept:
            log.warning("%s: %d of %d cells are cut already, and kept", self._target.name, kept, self.layout.n_cells)

    @property
    def written(self) -> Array:
        """Chunks that are on disk already, as a mask of all: those of a run before that was killed."""
        known: Array = np.all([writer.written for writer in self._writers], axis=0)
        return known

    def pack(self, chunk: int, pixels: Array, masks: Array | None = None) -> tuple[int, list[bytes]]:
        """Compress a chunk: channels x cells x window x window, and cells x window x window of bool."""
        values = [pixels] if masks is None else [pixels, masks]
        return chunk, [writer.pack(value) for writer, value in zip(self._writers, values, strict=True)]

    def write(self, packed: Sequence[tuple[int, list[bytes]]]) -> None:
        """Put packed chunks on disk."""
        for k, writer in enumerate(self._writers):
            writer.write([(chunk, data[k]) for chunk, data in packed])

    def finish(self, table: pd.DataFrame, name: str = TABLE) -> None:
        """Write the table of the cells, and move everything to its name."""
        if not self.written.all():
            raise KithkinError(f"{self._target.name} is not complete: not every thumbnail was written")
        for writer in self._writers:
            writer.close()
        self._writers = []
        table.to_csv(self.folder / "pixels" / name, index=False)
        parts = ["mask", "pixels"] if self.layout.masks else ["pixels"]
        if self.layout.zipped:
            for part in parts:
                packed = self.folder / f"{part}.zip"
                with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                    for path in sorted(p for p in (self.folder / part).rglob("*") if p.is_file()):
                        archive.write(path, path.relative_to(self.folder / part).as_posix())
            parts = [f"{part}.zip" for part in parts]
        for part in parts:
            flush_tree(self.folder / part)
        moves = [[part, os.stat(self.folder / part).st_ino] for part in parts]
        write_text(self.folder / "moves.json", json.dumps(moves))
        finish_moves(self._target)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(error)
        self._stack.__exit__(kind, error, trace)

    def leave(self, error: BaseException | None) -> None:
        """Remove the hidden folder, unless the same call can take up what is in it."""
        for writer in self._writers:
            writer.abandon()
        self._writers = []
        refused = isinstance(error, Exception) and not is_full_disk(error)
        begun = (self.folder / "moves.json").exists()  # the next call or reader finishes what has begun to be moved
        if (error is None or refused or self._identity is None) and not begun:
            shutil.rmtree(self.folder, ignore_errors=True)


def recover(target: Path) -> None:
    """Finish the moves of a writer that was killed in the middle of them, unless it is still at work."""
    folder = target.with_name(f".{target.name}.cut")
    if not (is_own_folder(folder) and (folder / "moves.json").exists()):
        return
    try:
        with writing(target):
            finish_moves(target)
    except KithkinError:
        return  # its writer lives and will finish them itself


def finish_moves(target: Path) -> None:
    """Carry out the moves that a finished writer has listed; the lock of the target must be held.

    If one fails, those before it are undone.
    """
    folder = target.with_name(f".{target.name}.cut")
    moves = folder / "moves.json"
    if not (is_own_folder(folder) and moves.exists()):
        return
    # first of all: the folder will hold the old array, which no later call may take up as its own
    (folder / STATE).unlink(missing_ok=True)
    try:
        listed = [(str(part), int(inode)) for part, *_, inode in json.loads(moves.read_text(encoding="utf-8"))]
    except (ValueError, TypeError):
        listed = []
    done: list[tuple[Path, Path]] = []
    try:
        for part, inode in listed:
            if part not in PARTS:
                continue  # no writer lists it
            staged, final = folder / part, mask_path(target) if part.startswith("mask") else target
            if staged.exists() and os.stat(staged).st_ino == inode:
                place(staged, final)
                done.append((staged, final))
        flush(target.parent)
    except OSError:
        for staged, final in reversed(done):
            place(staged, final) if staged.exists() else os.rename(final, staged)
        moves.unlink()
        raise
    shutil.rmtree(folder)


def is_own_folder(folder: Path) -> bool:
    """Tell whether a path is a folder of this user, and no link to one."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


class Batch:
    """Packed chunks of one thread, written a few megabytes at a time.

    At most `limit` bytes are gathered. `finish` is a function of (chunk, pixels, masks) that returns the pixels to
    store.
    """

    def __init__(
        self, writer: ThumbnailWriter, limit: int, finish: Callable[[int, Array, Array | None], Array] | None = None
    ) -> None:
        self._writer, self._limit, self._finish = writer, min(limit, FLUSH), finish
        self._packed: list[tuple[int, list[bytes]]] = []
        self._size = 0

    def add(self, chunk: int, pixels: Array, masks: Array | None) -> None:
        """Pack a chunk."""
        if self._finish is not None:
            pixels = self._finish(chunk, pixels, masks)
        self._packed.append(self._writer.pack(chunk, pixels, masks if self._writer.layout.masks else None))
        self._size += sum(map(len, self._packed[-1][1]))
        if self._size >= self._limit:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered."""
        if self._packed:
            self._writer.write(self._packed)
        self._packed, self._size = [], 0
