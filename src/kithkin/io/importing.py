"""One streaming pass from an opened source into a writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import zarr
from scipy import sparse

from kithkin.core.blocks import Block, SparseRows
from kithkin.core.elements import write_element
from kithkin.core.errors import FormatError, KithkinError
from kithkin.core.execute import Execution, track
from kithkin.core.writer import DatasetWriter
from kithkin.io.source import Source
from kithkin.io.streams.checks import Place, tidy
from kithkin.io.streams.names import plain_frame, unique_names
from kithkin.io.streams.totals import Totals, check_promise


@dataclass
class Imported:
    """What an import wrote, and what is left to write.

    Attributes
    ----------
    obs, var
        Tables of rows and columns, names unique, in a form that anndata stores.
    keys
        Everything that came along: "X", "layers/spliced", "obsm/protein", "obs/celltype".
    notes
        What the user should be told, one sentence each.
    totals
        Number, sum and range of the values of X.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    keys: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)

    @property
    def low(self) -> float:
        """The smallest value of X."""
        return self.totals.low


def _n_rows(block: Block) -> int:
    return block.shape[0]


class Importing:
    """The parts of an import, and what they find out.

    Parameters
    ----------
    source
        Opened input.
    writer
        Receives it.
    execution
        Memory and progress.
    """

    def __init__(self, source: Source, writer: DatasetWriter, execution: Execution) -> None:
        self._source, self._writer, self._execution = source, writer, execution
        self._done = Imported(source.obs, source.var)

    def run(self, observers: Sequence[Callable[[Block, int], Any]]) -> Imported:
        """Carry it out."""
        source, done = self._source, self._done
        source.scratch = self._writer.scratch
        done.totals = self._table("X", observers)
        self._describe()
        done.obs, done.var = self._named(source.obs, "rows"), self._named(source.var, "columns")
        for key in source.tables:
            if key.startswith("layers/"):
                self._layer(key)
        if "raw/X" in source.tables:
            self._raw()
        for key, value in source.elements.items():
            if not key.startswith("raw/"):
                self._element(key, value)
        for place, frame in (("obs", done.obs), ("var", done.var)):
            done.keys += [f"{place}/{column}" for column in frame.columns]
        done.notes = [*source.notes, *done.notes]
        return done

    def _table(self, key: str, observers: Sequence[Callable[[Block, int], Any]] = ()) -> Totals:
        source, totals = self._source, Totals()
        label, n_rows = f"{source.name}: {key}", len(source.obs) or None
        stream = source.tables[key](self._execution)
        for given in track(stream, self._execution, label, unit="row", total=n_rows, size=_n_rows):
            block = tidy(given, Place(source.name, key, totals.rows))
            if block.shape[1] != source.n_columns:
                raise FormatError(f"{source.name}: {key} has {block.shape[1]} columns, not {source.n_columns}")
            for observer in observers:
                observer(block, totals.rows)
            self._writer.append(block, key)
            totals.add(block)
        self._done.keys.append(key)
        return totals

    def _layer(self, key: str) -> None:
        found = self._table(key).rows
        if found != self._done.totals.rows:
            raise FormatError(f"{self._source.name}: {key} has {found} rows, but X has {self._done.totals.rows}")

    def _describe(self) -> None:
        """Hold X against its promises, and say what methods for counts will stumble over."""
        source, totals, notes = self._source, self._done.totals, self._done.notes
        for found, frame, what in ((totals.rows, source.obs, "rows"), (source.n_columns, source.var, "columns")):
            if found != len(frame):
                raise FormatError(f"{source.name}: X has {found} {what}, but {len(frame)} are named")
            if not found:
                raise FormatError(f"{source.name} has no {what}")
        notes += check_promise(totals, source.name, source.stored, source.total)
        if totals.low < 0:
            notes.append(f"X of {source.name} holds negative values: methods for counts will refuse it")
        if totals.real:
            notes.append(f"X of {source.name} holds values that are not integers: methods for counts will refuse it")

    def _named(self, table: pd.DataFrame, what: str) -> pd.DataFrame:
        frame = plain_frame(table)
        names, renamed = unique_names(frame.index)
        if renamed:
            example = names[frame.index.duplicated()][0]
            self._done.notes.append(f"{renamed:,} duplicate names of {what} were made unique, as in {example}")
        return frame.set_axis(names)

    def _raw(self) -> None:
        """Raw has genes of its own, so that it is written as one element; beyond the budget it stays behind."""
        parts: list[sparse.csr_matrix] = []
        size = 0
        for block in self._source.tables["raw/X"](self._execution):
            rows = block.to_scipy() if isinstance(block, SparseRows) else sparse.csr_matrix(block)
            size += rows.data.nbytes + rows.indices.nbytes
            if size > self._execution.memory // 4:
                what = f"raw of {self._source.name} was left out, since it exceeds the memory"
                self._done.notes.append(f"{what}: import it alone with raw=True")
                return
            parts.append(rows)
        self._writer.element("raw/X", sparse.vstack(parts, format="csr"))
        self._done.keys.append("raw/X")
        for key in ("raw/var", "raw/varm"):
            value = self._source.elements[key]
            self._element(key, value)

    def _element(self, key: str, value: Any) -> None:
        try:
            value = value() if callable(value) else value
            kept = self._storable(value, key)
            if kept is not None:
                self._writer.element(key, kept)
                self._done.keys.append(key)
        except FormatError:
            raise
        except KithkinError as error:
            self._done.notes.append(f"{key} was left out: {error}")

    def _storable(self, value: Any, key: str) -> Any:
        """What of a value AnnData can store; the rest is noted, and None stands for nothing."""
        if isinstance(value, Mapping):
            pairs = ((str(name), self._storable(item, f"{key}/{name}")) for name, item in value.items())
            return {name: item for name, item in pairs if item is not None}
        if isinstance(value, pd.DataFrame):
            frame = plain_frame(value)
            axis = {"obsm": self._done.obs, "varm": self._done.var}.get(key.partition("/")[0])
            return frame if axis is None else frame.set_axis(axis.index)
        numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
        if numeric or sparse.issparse(value) or isinstance(value, (str, int, float)):
            return value
        try:
            write_element(zarr.create_group({}, zarr_format=3), "x", value)
        except KithkinError as error:
            self._done.notes.append(f"{key} was left out: {error}")
            return None
        return value


def import_source(
    source: Source,
    writer: DatasetWriter,
    execution: Execution | None = None,
    *,
    observers: Sequence[Callable[[Block, int], Any]] = (),
) -> Imported:
    """Stream an opened source into a writer: all of it but the tables of rows and columns, which `finish` writes.

    Parameters
    ----------
    source
        From `open_source`; stays open.
    writer
        Of a new dataset with as many columns.
    execution
        Memory, threads and progress.
    observers
        Each is called as observer(block, start) on every block of X, in order: values are whole numbers in the
        smallest unsigned or signed type if all of the block are, else floats.

    Returns
    -------
    Imported
        The tables for `writer.finish`, what was written, and what the user should be told.

    Raises
    ------
    FormatError
        If the source contradicts itself or holds values that are not allowed.
    OutOfOrder
        If a Matrix Market file turns out to be unsorted half way: import the same source once more, into a new writer.
    KithkinError
        If the disk is full.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd
    >>> names = pd.DataFrame(index=["a", "b"])
    >>> source = Source("eye.npz", 2, {"X": lambda execution: iter([np.eye(2)])}, names, names)
    >>> with DatasetWriter(tempfile.mkdtemp() + "/eye.zarr", 2) as writer:
    ...     imported = import_source(source, writer)
    ...     writer.finish(imported.obs, imported.var)
    >>> imported.keys, imported.totals.total
    (['X'], 2)
    """
    return Importing(source, writer, Execution() if execution is None else execution).run(observers)
