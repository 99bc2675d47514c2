"""Writer of a new dataset, block by block beside its final name, to which it is moved whole."""

# Long: how arrays grow, and how they are taken up again where an import was interrupted
from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import zarr

from kithkin.core.arrays import cast_header, open_array, open_group, read_header
from kithkin.core.blocks import Array, Block, SparseRows, offsets
from kithkin.core.checkpoints import CheckpointError, Checkpoints
from kithkin.core.checksums import MARK, PLACE, survey, write_checksums
from kithkin.core.elements import create_csr, create_dict, plain_strings, write_element
from kithkin.core.errors import KithkinError, check
from kithkin.core.history import Entry, write_history
from kithkin.core.keys import Key
from kithkin.core.layout import (
    SHARD,
    create_table,
    create_vector,
    exactly,
    index_dtype,
    joint_dtype,
    stored_dtype,
    written_array,
)
from kithkin.core.transaction import CHECKPOINT, drop_kept, kept_staging, replace_dataset, writing

log = logging.getLogger("kithkin")
HEADER = "header.json"  # of the values of X, as it was before `cast`
RESTORED = 2**22  # values of X that are read again at a time
EMPTY = ("layers", "obsm", "varm", "obsp", "varp", "uns")


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
        if dtype is None:
            self._settle()
        self._array = written_array(group, name) if dtype is None else self._create(name, dtype)
        self._buffer = np.empty((self._shard, *width), self.dtype)  # the shard that is being filled
        self._n_pending = 0
        self._largest = 0

    def save(self, path: Path) -> dict[str, int]:
        """Keep the values that are not yet on disk in a file, and return what else `restore` needs."""
        np.save(path, self._buffer[: self._n_pending])
        return {"length": self._array.shape[0], "largest": self._largest}

    def restore(self, path: Path, state: Mapping[str, int]) -> None:
        """Go back to what `save` kept."""
        pending = exactly(np.load(path, allow_pickle=False), self.dtype)
        check(self._array.shape[0] >= state["length"], f"{self._name} is shorter than it was")
        self._array.resize((state["length"], *self._width))
        self._n_pending, self._largest = len(pending), state["largest"]
        self._buffer[: self._n_pending] = pending

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

    def _create(self, name: str, dtype: np.dtype[Any]) -> zarr.Array[Any]:
        if self._width:
            return create_table(self._group, name, dtype, (0, *self._width), self._n_rows)
        return create_vector(self._group, name, dtype)

    @property
    def _shard(self) -> int:
        """Rows of one file."""
        return self._array.shards[0] if self._array.shards else SHARD

    @property
    def _folder(self) -> Path:
        return Path(self._group.store_path.store.root) / self._group.path  # type: ignore[attr-defined]

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
        self._array[start:] = self._buffer[: self._n_pending]
        self._n_pending = 0

    def widen(self, dtype: np.dtype[Any]) -> None:
        """Store what is there, and all that follows, in a wider type."""
        old, folder = self._array, self._folder
        wider = self._create(f"{self._name}-wider", dtype)
        wider.resize(old.shape)
        for start in range(0, old.shape[0], self._shard):
            step = self._shard
            wider[start : start + step] = exactly(np.asarray(old[start : start + step]), dtype)
        kept, n_pending = exactly(self._buffer[: self._n_pending], dtype), self._n_pending
        (folder / self._name).rename(folder / f"{self._name}-narrower")
        (folder / f"{self._name}-wider").rename(folder / self._name)
        shutil.rmtree(folder / f"{self._name}-narrower")
        self._array = written_array(self._group, self._name)
        self._buffer = np.empty((self._shard, *self._width), dtype)
        self._buffer[:n_pending] = kept

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
            header = cast_header(read_header(self._folder, self._name), dtype)
            self.header.write_text(json.dumps(header, indent=2), encoding="utf-8")


class _Table:
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

    @property
    def header(self) -> Path:
        """File with the header of the values, which `cast` changes."""
        return self._data.header

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
            self._lengths = [np.load(file, allow_pickle=False) for file in files]
            self._n_saved = len(self._lengths)
            check(sum(map(len, self._lengths)) == self.n_rows, "rows are missing")

    def blocks(self) -> Iterator[Block]:
        """Read the rows that were appended."""
        if not self._sparse:
            step = max(1, RESTORED // max(1, self._n_columns))
            for start in range(0, self.n_rows, step):
                yield self._data.read(start, min(start + step, self.n_rows))
            return
        indptr = offsets(np.concatenate([np.zeros(0, np.int64), *self._lengths]))
        start = 0
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
            self._indices.append(block.indices.astype(index_dtype(self._n_columns), copy=False))
            self._lengths.append(np.diff(block.indptr))
        self.n_rows += block.shape[0]

    def close(self) -> None:
        """Finish the arrays."""
        self._data.close()
        if self._sparse:
            self._indices.close()
            indptr = offsets(np.concatenate(self._lengths))
            if indptr[-1] >= 2**31 and self._indices.dtype != np.int64:
                self._indices.widen(np.dtype(np.int64))
            write_element(self._group, "indptr", indptr.astype(self._indices.dtype))
            self._group.attrs["shape"] = [self.n_rows, self._n_columns]

    def cast(self) -> None:
        """Let others read small integers as floating-point numbers."""
        self._data.cast()


class DatasetWriter:
    """Writer of a new dataset: nothing is at the target until `finish`, and nothing is left after an error.

    Parameters
    ----------
    target
        Path of the dataset.
    n_columns
        Width of X and of the layers.
    overwrite
        Replace an existing dataset, whole, at the end.
    n_rows
        Number of rows that will come, where it is known: decides the chunks of dense tables only.
    identity
        Identity of an import that can be continued: `checkpoint` then keeps what was written, and the next writer with
        the same target and identity begins with it, if the process was killed or interrupted. An error ends the import.

    Raises
    ------
    KithkinError
        If the target exists, or somebody else writes it, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.zarr"
    >>> with DatasetWriter(target, 3) as writer:
    ...     writer.append(np.eye(3))
    ...     writer.finish(pd.DataFrame(index=list("abc")), pd.DataFrame(index=list("xyz")))
    >>> import anndata
    >>> anndata.read_zarr(target).shape
    (3, 3)
    """

    def __init__(
        self,
        target: str | Path,
        n_columns: int,
        *,
        overwrite: bool = False,
        n_rows: int = 1 << 20,
        identity: str | None = None,
    ) -> None:
        self._target, self._n_columns = Path(target).expanduser().absolute(), n_columns
        self._overwrite, self._n_rows, self._identity = overwrite, n_rows, identity
        self._checkpoints: Checkpoints | None = None
        self.kept_samples: list[dict[str, Any]] = []  # what was kept of the samples that X holds at the start
        self._n_samples = 0
        self._tables: dict[str, _Table] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._target.exists() and not self._overwrite:
            raise KithkinError(
                f"{self._target} exists already. Choose another name, or use overwrite=True to replace it."
            )
        if self._overwrite and self._target.exists() and not (self._target / "zarr.json").is_file():
            raise KithkinError(f"{self._target} is not a dataset, and will not be overwritten")
        try:
            staging = self._stack.enter_context(writing(self._target))
            if self._identity is None:
                drop_kept(staging)
            else:
                staging = kept_staging(staging, self._identity)
                self._checkpoints = Checkpoints(staging)
            self._staging = staging / "dataset"
            if self._checkpoints is None or not self._restore(self._checkpoints):
                self._group = open_group(self._staging, "w")
                encoding = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
                self._group.attrs.update({**encoding, MARK: {"checksums": PLACE}})
            for name in EMPTY:
                create_dict(self._group, name)
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        if self._checkpoints is not None and not (interrupted and (self._staging.parent / CHECKPOINT).exists()):
            drop_kept(self._staging.parent)
        self._stack.__exit__(kind, error, trace)

    def _restore(self, checkpoints: Checkpoints) -> bool:
        """Begin with what a checkpoint holds; False if there is none that can be used."""
        folder = checkpoints.folder
        try:
            found = checkpoints.load()
            if found is not None:
                shutil.rmtree(folder / "headers", ignore_errors=True)
                self._group = open_group(self._staging, "r+")
                for path in self._staging.iterdir():
                    if path.is_dir() and path.name != "X":
                        shutil.rmtree(path)
                shutil.rmtree(self._staging / "X/indptr", ignore_errors=True)
                if (folder / HEADER).exists():  # others already read the values as floats
                    place = "X/data/zarr.json" if (self._staging / "X/data").exists() else "X/zarr.json"
                    os.replace(folder / HEADER, self._staging / place)
                table = _Table(self._group, "X", None, self._n_columns, self._n_rows)
                table.restore(folder, found[0])
                self._tables["X"], self.kept_samples = table, found[1]
                self._n_samples = len(found[1])
                return True
        except Exception as error:  # whatever is wrong with what a killed process left
            log.warning("%s: the import begins again, as its checkpoint cannot be used: %s", self._target.name, error)
        self._tables.clear()
        checkpoints.clear()
        return False

    def checkpoint(self, sample: Mapping[str, Any]) -> None:
        """Keep X as it is after all rows of a sample, and what else is needed of the sample, against an interruption.

        Parameters
        ----------
        sample
            Elements by name, as AnnData holds them.
        """
        if self._checkpoints is None or "X" not in self._tables:
            return
        number = self._n_samples
        state = self._tables["X"].save(self._checkpoints.folder, number)
        self._checkpoints.save(number, state, sample)
        self._n_samples += 1
        for name in ("data", "indices"):
            (self._checkpoints.folder / f"{number - 1}-{name}.npy").unlink(missing_ok=True)

    def restored(self) -> Iterator[Block]:
        """Read the rows of X that were there at the start.

        Raises
        ------
        CheckpointError
            If they cannot be read.
        """
        try:
            yield from self._tables["X"].blocks() if self.kept_samples else ()
        except Exception as error:
            raise CheckpointError(f"{self._target.name}: what was imported cannot be read again: {error}") from error

    @property
    def scratch(self) -> Path:
        """Folder on the target's disk for what a reader must put aside; gone when the writer is."""
        folder = self._staging.parent / "scratch"
        folder.mkdir(exist_ok=True)
        return folder

    def append(self, block: Block, key: str = "X") -> None:
        """Add rows to X or to a layer, in order.

        Parameters
        ----------
        block
            SparseRows with ascending indices, or a dense array.
        key
            "X" or "layers/<name>".
        """
        if key not in self._tables:
            target = Key.parse(key)
            group: Any = self._group if target.place == "X" else self._group[target.place]
            self._tables[key] = _Table(group, target.name or "X", block, self._n_columns, self._n_rows)
        self._tables[key].append(block)

    def element(self, key: str, value: Any) -> None:
        """Write anything else that AnnData can hold, such as "obsm/protein"."""
        target = Key.parse(key)
        group: Any = (
            self._group[target.place] if target.place in self._group else create_dict(self._group, target.place)
        )
        try:
            write_element(group, target.name, value)
        except KithkinError:
            self.discard(key)  # no half of it
            raise

    def discard(self, key: str) -> None:
        """Remove a layer or another element that was begun, as if nothing of it had been written.

        Examples
        --------
        >>> import tempfile
        >>> with DatasetWriter(tempfile.mkdtemp() + "/a.zarr", 3) as writer:
        ...     writer.append(np.eye(3))
        ...     writer.append(np.eye(3)[:1], "layers/half")
        ...     writer.discard("layers/half")
        ...     writer.finish(pd.DataFrame(index=list("abc")), pd.DataFrame(index=list("xyz")))
        """
        self._tables.pop(key, None)
        folder = self._staging / str(Key.parse(key))
        if folder.exists():
            shutil.rmtree(folder)

    def finish(
        self,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        history: Sequence[Entry] = (),
        inspect: Callable[[Any], None] | None = None,
        kind: Mapping[str, str] | None = None,
    ) -> None:
        """Write the tables of rows and columns, and move the dataset to its name.

        Parameters
        ----------
        obs, var
            One row for each row and each column of X.
        history
            Records of what was done.
        inspect
            Called with the values of X as stored, before the move; an error that it raises leaves nothing behind.
        kind
            Name of what X holds ("counts", "values", "images") and the reason for it, as `Dataset.kind` gives them.
        """
        for key, table in self._tables.items():
            table.close()
            check(table.n_rows == len(obs), f"{key} has {table.n_rows} rows, but obs has {len(obs)}")
        check(len(var) == self._n_columns, f"var has {len(var)} rows, but X has {self._n_columns} columns")
        if inspect is not None:
            inspect(open_array(self._staging, "X/data" if (self._staging / "X/data").exists() else "X"))
        if self._checkpoints is not None and "X" in self._tables:
            shutil.copy(self._tables["X"].header, self._checkpoints.folder / HEADER)
        for table in self._tables.values():
            table.cast()
        write_element(self._group, "obs", plain_strings(obs))
        write_element(self._group, "var", plain_strings(var))
        uns: zarr.Group = self._group["uns"]  # type: ignore[assignment]
        records = create_dict(uns, "kithkin")
        write_history(records, history)
        if kind:
            write_element(records, "kind", dict(kind))
        write_checksums(records, survey(self._staging))
        if self._checkpoints is not None:
            self._checkpoints.forget()  # from here on another dataset may be in its place
        replace_dataset(self._staging, self._target)
