"""Writer of a new dataset, block by block beside its final name, to which it is moved whole."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import zarr

from kithkin.core.arrays import open_array, open_group
from kithkin.core.blocks import Array, Block, Blocks, SparseRows
from kithkin.core.checkpoints import CheckpointError, Checkpoints
from kithkin.core.checksums import MARK, PLACE, survey, write_checksums
from kithkin.core.elements import create_dict, write_element
from kithkin.core.errors import KithkinError, check
from kithkin.core.execute import Execution, map_blocks, send_tasks
from kithkin.core.growing import GrowingTable
from kithkin.core.history import Entry, write_history
from kithkin.core.keys import Key
from kithkin.core.own_rows import only_rows
from kithkin.core.spread import Measured, Sizes, Writing, between, measure_rows, shares, write_share
from kithkin.core.transaction import CHECKPOINT, drop_kept, kept_staging, replace_dataset, writing

log = logging.getLogger("kithkin")
EMPTY = ("layers", "obsm", "varm", "obsp", "varp", "uns")


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
    >>> import tempfile, numpy as np
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
        self._n_before = 0  # rows that are there in any case
        self._tables: dict[str, GrowingTable] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.check_target()
        try:
            staging = self._stack.enter_context(writing(self._target))
            if self._identity is None:
                drop_kept(staging)
            else:
                staging = kept_staging(staging, self._identity)
                self._checkpoints = Checkpoints(staging)
            self._staging = staging / "dataset"
            if self._checkpoints is None or not self._restore(self._checkpoints):
                self.begin()
            self.add_places()
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

    def check_target(self) -> None:
        """Refuse what is at the target, unless it may be replaced."""
        if self._target.exists() and not self._overwrite:
            raise KithkinError(
                f"{self._target} exists already. Choose another name, or use overwrite=True to replace it."
            )
        if self._overwrite and self._target.exists() and not (self._target / "zarr.json").is_file():
            raise KithkinError(f"{self._target} is not a dataset, and will not be overwritten")

    def begin(self) -> None:
        """Make the folder of the dataset."""
        self._group = open_group(self._staging, "w")
        encoding = {"encoding-type": "anndata", "encoding-version": "0.1.0"}
        self._group.attrs.update({**encoding, MARK: {"checksums": PLACE}})

    def add_places(self) -> None:
        """Make the places that are filled beside X."""
        for name in EMPTY:
            create_dict(self._group, name)

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
                self._tables["X"] = self.restore_table(folder, found[0])
                self.kept_samples = found[1]
                self._n_samples = len(found[1])
                return True
        except Exception as error:  # whatever is wrong with what a killed process left
            log.warning("%s: the import begins again, as its checkpoint cannot be used: %s", self._target.name, error)
        self._tables.clear()
        checkpoints.clear()
        return False

    def restore_table(self, folder: Path, state: Mapping[str, Any]) -> GrowingTable:
        """Take up X as a checkpoint has it."""
        table = GrowingTable(self._group, "X", None, self._n_columns, self._n_rows)
        table.restore(folder, state)
        return table

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
        """Read the rows of X that an interrupted import has written.

        Raises
        ------
        CheckpointError
            If they cannot be read.
        """
        try:
            yield from self._tables["X"].blocks(self._n_before) if self.kept_samples else ()
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
            self._place_for(key, block)
        self._tables[key].append(block)

    def _place_for(self, key: str, block: Block) -> GrowingTable:
        target = Key.parse(key)
        group: Any = self._group if target.place == "X" else self._group[target.place]
        self._tables[key] = self.begin_table(group, target.name or "X", block)
        return self._tables[key]

    def stream(
        self,
        blocks: Blocks,
        key: str = "X",
        execution: Execution | None = None,
        *,
        rows: Array | None = None,
        measure: Callable[[Block, int], Any] | None = None,
        label: str = "",
    ) -> Iterator[Any]:
        """Write a table from row blocks, and yield what is measured of each block, in order, to the end.

        The workers of an executor write the files themselves, where they find the folder of the new dataset.

        Parameters
        ----------
        blocks
            The rows, of which a block may leave some out.
        key
            "X" or "layers/<name>"; nothing of it may have been written.
        execution
            Threads and executor.
        rows
            Numbers of the rows that are not left out, ascending; all if None.
        measure
            Function of a block and its first row, which pickles.
        label
            Text before the progress bar.
        """
        execution = Execution() if execution is None else execution
        if not self.spreads(key, execution):
            for block, found in map_blocks(partial(_with_measure, measure=measure), blocks, execution, label):
                self.append(block, key)
                yield found
            return
        parts: list[Measured] = []
        for part in map_blocks(partial(measure_rows, measure=measure), blocks, execution, label):
            yield part.found
            parts.append(replace(part, found=None))
        self.write_parts(blocks, key, execution, parts, rows=rows, label=label)

    def spreads(self, key: str, execution: Execution, *sources: Path) -> bool:
        """Tell whether workers can write a table: it is new, and they find the folder of the dataset and sources."""
        executor = execution.executor
        there = (self._staging / str(Key.parse(key))).exists()  # rows that others stand below
        if executor is None or there or not executor.submit(os.path.isdir, self._staging).result():
            return False
        return all(executor.submit(os.path.exists, source).result() for source in sources)

    def write_parts(
        self,
        blocks: Blocks,
        key: str,
        execution: Execution,
        parts: list[Measured],
        *,
        rows: Array | None = None,
        label: str = "",
    ) -> None:
        """Have the workers of the executor write a table whose blocks were measured; see `stream`."""
        executor = execution.executor
        if executor is None:
            raise KithkinError(f"{key} is written by the workers of an executor, and there is none")
        table, sizes = self._place_for(key, _nothing(parts[0].is_sparse, self._n_columns)), Sizes(parts)
        table.reserve(sizes.dtype, sizes.lengths, sizes.largest)
        folder, names = table.arrays
        tasks = (
            Writing(
                only_rows(blocks, one.start, one.stop), between(blocks.ranges, one.start, one.stop), folder, names, one
            )
            for one in shares(sizes.lengths, table.shard, rows)
        )
        for _ in send_tasks(write_share, tasks, executor, execution, label):
            pass

    def begin_table(self, group: zarr.Group, name: str, block: Block) -> GrowingTable:
        """Begin a table with rows like a first block."""
        return GrowingTable(group, name, block, self._n_columns, self._n_rows)

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
        >>> import tempfile, numpy as np
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
        self.close_tables(len(obs), len(var), inspect)
        write_element(self._group, "obs", obs)
        write_element(self._group, "var", var)
        uns: zarr.Group = self._group["uns"]  # type: ignore[assignment]
        records = create_dict(uns, "kithkin")
        write_history(records, history)
        if kind:
            write_element(records, "kind", dict(kind))
        self._move(records)

    def close_tables(self, n_rows: int, n_columns: int, inspect: Callable[[Any], None] | None) -> None:
        """Finish X and the layers, and compare them with the tables of rows and columns."""
        for key, table in self._tables.items():
            table.close()
            check(table.n_rows == n_rows, f"{key} has {table.n_rows} rows, but obs has {n_rows}")
        check(n_columns == self._n_columns, f"var has {n_columns} rows, but X has {self._n_columns} columns")
        if inspect is not None:
            inspect(open_array(self._staging, "X/data" if (self._staging / "X/data").exists() else "X"))
        for table in self._tables.values():
            table.cast()

    def _move(self, records: zarr.Group) -> None:
        """Write the checksums into the group of records, and move the dataset to its name."""
        write_checksums(records, survey(self._staging))
        if self._checkpoints is not None:
            self._checkpoints.forget()  # from here on another dataset may be in its place
        replace_dataset(self._staging, self._target)


def _with_measure(block: Block, start: int, measure: Callable[[Block, int], Any] | None) -> tuple[Block, Any]:
    return block, None if measure is None else measure(block, start)


def _nothing(is_sparse: bool, n_columns: int) -> Block:
    """Return a block without rows."""
    values: Array = np.empty((0, n_columns), np.uint8)
    if not is_sparse:
        return values
    return SparseRows(values.ravel(), np.empty(0, np.int32), np.zeros(1, np.int64), n_columns)
