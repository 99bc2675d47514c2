"""Writer of a new dataset, block by block beside its final name, to which it is moved whole."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import zarr

from kithkin.core.arrays import cast_header, open_array, open_group, read_header
from kithkin.core.blocks import Array, Block, SparseRows, offsets
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
from kithkin.core.transaction import replace_dataset, writing

EMPTY = ("layers", "obsm", "varm", "obsp", "varp", "uns")


class Growing:
    """Array on disk that grows at its end, in whole shards, and widens its type when a value asks for it."""

    def __init__(
        self, group: zarr.Group, name: str, dtype: np.dtype[Any], width: tuple[int, ...] = (), n_rows: int = 0
    ):
        self._group, self._name, self._width, self._n_rows = group, name, width, n_rows
        self._array = self._create(name, dtype)
        self._buffer = np.empty((self._shard, *width), dtype)  # the shard that is being filled
        self._n_pending = 0
        self._largest = 0

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
        shutil.rmtree(folder / self._name)
        (folder / f"{self._name}-wider").rename(folder / self._name)
        self._array = written_array(self._group, self._name)
        self._buffer = np.empty((self._shard, *self._width), dtype)
        self._buffer[:n_pending] = kept

    def close(self) -> None:
        """Write what is left."""
        if self._n_pending:
            self._write()

    def cast(self) -> None:
        """Let others read small integers as floating-point numbers, in which sums and products do not overflow."""
        if self.dtype.kind in "iu" and self._largest <= 2**53:
            dtype = np.dtype(np.float32 if self._largest <= 2**24 else np.float64)
            header = cast_header(read_header(self._folder, self._name), dtype)
            (self._folder / self._name / "zarr.json").write_text(json.dumps(header, indent=2), encoding="utf-8")


class _Table:
    """Table (X or a layer) that receives row blocks."""

    def __init__(self, group: zarr.Group, name: str, block: Block, n_columns: int, n_rows: int) -> None:
        self._n_columns, self.n_rows = n_columns, 0
        self._sparse = isinstance(block, SparseRows)
        first = joint_dtype(np.dtype(np.uint8), stored_dtype(block.data if isinstance(block, SparseRows) else block))
        if self._sparse:
            self._group = create_csr(group, name)
            self._data = Growing(self._group, "data", first)
            self._indices = Growing(self._group, "indices", index_dtype(n_columns))
            self._lengths: list[Array] = []
        else:
            self._data = Growing(group, name, first, (n_columns,), n_rows)

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

    def __init__(self, target: str | Path, n_columns: int, *, overwrite: bool = False, n_rows: int = 1 << 20) -> None:
        self._target, self._n_columns = Path(target).expanduser().absolute(), n_columns
        self._overwrite, self._n_rows = overwrite, n_rows
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
            self._staging = self._stack.enter_context(writing(self._target)) / "dataset"
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
        self._stack.__exit__(kind, error, trace)

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
        replace_dataset(self._staging, self._target)
