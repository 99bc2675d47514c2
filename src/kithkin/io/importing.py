"""Import: one streaming pass from an opened source into a dataset writer."""

# Long: the one pass over a source, with all that a block of rows meets on its way
from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
import pandas as pd
import zarr
from scipy import sparse

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.checkpoints import CheckpointError
from kithkin.core.elements import write_element
from kithkin.core.errors import FormatError, KithkinError, ParameterError, check
from kithkin.core.execute import Execution, track
from kithkin.core.writer import DatasetWriter
from kithkin.io.formats.kind import find_kind, missing_note, sentence_of_kind, square_pixels, takes_zeros
from kithkin.io.source import Deferred, Source
from kithkin.io.streams.annotation import plain_frame, texts, unique_names
from kithkin.io.streams.checks import whole_values
from kithkin.io.streams.sequential import format_errors, reason_of
from kithkin.io.streams.spreading import Found, NotSpread, Observer, spread
from kithkin.io.streams.totals import Totals, check_promise

NO_COUNTS = "steps for counts, such as quality, variable genes and count mixtures, cannot use it"


DEEPEST = 50  # mappings within each other


@dataclass
class Imported:
    """Result of an import: the tables that are still to be written, keys, notes and totals."""

    obs: pd.DataFrame  # rows, names unique, in a form that anndata stores
    var: pd.DataFrame  # columns, likewise
    # all that came along: "X", "layers/spliced", "obsm/protein", "obs/celltype"
    keys: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # messages for the user, one sentence each
    totals: Totals = field(default_factory=Totals)  # number, sum and range of the values of X
    kind: dict[str, str] = field(default_factory=dict)  # of X: its name and the reason for it
    is_measured: bool = True  # whether totals and numbers of values above zero mean anything


def import_source(
    source: Source,
    writer: DatasetWriter,
    execution: Execution | None = None,
    *,
    observer: Observer | None = None,
    missing: Literal["keep", "drop", "error"] = "keep",
    kind: str = "auto",
) -> Imported:
    """Stream an opened source into a writer: all of it but obs and var, which `DatasetWriter.finish` writes.

    Parameters
    ----------
    source
        From `open_source`; stays open.
    writer
        Of a new dataset with as many columns.
    execution
        Memory, threads and progress. The workers of an executor read and write the tables that can be cut by rows, if
        they find source and target; all else is done in this process.
    observer
        Measures every block of X, in order: values are whole numbers in the smallest unsigned or signed type if all of
        the block are, else floats. From the first missing value that is kept on it is given no more.
    missing
        "keep": a missing value is NaN. "drop": rows with a missing value are left out. "error": there may be none.
    kind
        "counts", "values", "images", or "auto" to decide it by names and values.

    Returns
    -------
    Imported
        The tables for `writer.finish`, the keys that were written, and notes for the user.

    Raises
    ------
    FormatError
        If the source contradicts itself or holds values that are not allowed.
    OutOfOrder
        If a Matrix Market file turns out to be unsorted half way: import the same source once more, into a new writer.
    NotSpread
        If X cannot be imported by workers after all: import the same source once more, without an executor, into a new
        writer, and with a new observer.
    KithkinError
        If the disk is full.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd
    >>> names = pd.DataFrame(index=["a", "b"])
    >>> block = np.array([[1, 0], [0, 1]], np.uint8)
    >>> source = Source("eye.npz", 2, {"X": lambda execution: iter([block])}, names, names)
    >>> with DatasetWriter(tempfile.mkdtemp() + "/eye.zarr", 2) as writer:
    ...     imported = import_source(source, writer)
    ...     writer.finish(imported.obs, imported.var)
    >>> imported.keys, imported.totals.total
    (['X'], 2)
    """
    # Long: what each block of X goes through, and then the rest of the source
    execution = Execution() if execution is None else execution
    done = Imported(source.obs, source.var)
    source.scratch = writer.scratch
    source.zeros = source.is_joined and takes_zeros(source, kind)
    gaps = MissingValues(source, missing)

    def stream(key: str, observer: Observer | None = None) -> Totals:
        totals, n_rows, label = Totals(), len(source.obs) or None, f"{source.name}: {key}"
        if key == "X":
            _take_up(source, writer, gaps, totals, observer)
        take = partial(gaps.take_measured, observer=observer) if key == "X" else None
        spread_totals = spread(source, key, writer, execution, take, observer)
        if spread_totals is not None:
            return spread_totals
        blocks = _refuse_damage(source.tables[key](execution), source.name, key)
        for block in track(
            _refuse_damage(blocks, source.name, key),
            execution,
            label,
            unit="row",
            total=n_rows,
            size=lambda block: block.shape[0],
        ):
            if block.shape[1] != source.n_columns:
                raise FormatError(f"{source.name}: {key} has {block.shape[1]} columns, not {source.n_columns}")
            if key == "X" and isinstance(block, np.ndarray) and block.dtype.kind == "f":
                block = gaps.take(block)  # noqa: PLW2901
                if source.narrow and block.dtype == np.float64:
                    block = narrowed(block)  # noqa: PLW2901
            elif key == "X":
                gaps.n_rows += block.shape[0]
            gaps.show(block, totals.rows, observer)
            writer.append(block, key)
            totals.add(block)
        return totals

    done.totals = stream("X", observer)
    done.keys.append("X")
    gaps.finish(done)
    _check_table(source, done)
    done.obs, done.var = _unique_index(done.obs, "rows", done), _unique_index(source.var, "columns", done)
    for key in [key for key in source.tables if key.startswith("layers/")]:
        begun = False
        try:
            _check_name(key.removeprefix("layers/"))
            begun = True
            n_rows = stream(key).rows
            if n_rows != done.totals.rows:
                raise FormatError(f"{source.name}: {key} has {n_rows} rows, but X has {done.totals.rows}")
            done.keys.append(key)
        except FormatError as error:  # X is whole, and what cannot be read beside it is named
            if begun:
                writer.discard(key)
            done.notes.append(f"{key} was left out: {error}")
    if "raw/X" in source.tables:
        try:
            _import_raw(source, writer, execution, done)
        except FormatError as error:
            done.notes.append(f"raw was left out: {error}")
    for key, value in source.elements.items():
        if not key.startswith("raw/"):
            _import_element(key, value, writer, done, source.name)
    pixels = square_pixels(source, done.totals, done.var) if kind in ("auto", "images") else None
    if pixels is not None:
        done.var = pixels
        side = math.isqrt(len(pixels))
        done.notes.append(f"the {len(pixels):,} columns of {source.name} were read as pixels of {side} x {side} images")
    gaps.count(done, kind)
    for axis, frame in (("obs", done.obs), ("var", done.var)):
        done.keys += [f"{axis}/{column}" for column in frame.columns]
    done.notes = [*source.notes, *done.notes]
    return done


def _take_up(
    source: Source,
    writer: DatasetWriter,
    gaps: MissingValues,
    totals: Totals,
    observer: Observer | None,
) -> None:
    """Read again what an interrupted import of several samples has written; keep a checkpoint after each that follows.

    Raises CheckpointError if it is not what was written.
    """
    source.kept_samples = writer.kept_samples
    for block in writer.restored():
        taken = gaps.take(block) if isinstance(block, np.ndarray) and block.dtype.kind == "f" else block
        gaps.show(taken, totals.rows, observer)
        totals.add(taken)
    if source.kept_samples and [totals.rows, totals.stored] != json.loads(source.kept_samples[-1]["totals"]):
        raise CheckpointError(f"{source.name}: what was imported before the interruption is not what was written")

    def keep(sample: Mapping[str, Any]) -> None:
        if not gaps.drops_rows:  # whose names are known at the end
            writer.checkpoint({**sample, "totals": json.dumps([totals.rows, totals.stored])})

    source.after_sample = keep


class MissingValues:
    """Missing values of X (NaN), met while it is streamed: kept and counted, left out with their rows, or refused.

    Examples
    --------
    >>> names = pd.DataFrame(index=["a", "b"])
    >>> gaps = MissingValues(Source("a.csv", 2, {"X": iter}, names, names), "drop")
    >>> gaps.take(np.array([[1.0, np.nan], [2.0, 3.0]])).tolist()
    [[2, 3]]
    """

    def __init__(self, source: Source, treatment: str) -> None:
        self._source, self._treatment = source, treatment
        self.n_missing: Array = np.zeros(source.n_columns, np.int64)
        self.n_rows = 0
        self.kept: list[Array] = []

    @property
    def drops_rows(self) -> bool:
        """True if rows with a missing value are left out."""
        return self._treatment == "drop"

    def take(self, block: Array) -> Array:
        """Return the rows of the next block of X that are kept."""
        absent = np.isnan(block)
        row = self.n_rows
        self.n_rows += len(block)
        if not absent.any():
            return block
        if self._treatment == "error":
            first, column = np.argwhere(absent)[0].tolist()
            known = len(self._source.var) > column
            where = f"column {str(self._source.var.index[column]) if known else column!r}"
            raise FormatError(
                f"{self._source.name}: row {row + first} has no value in {where}: missing='keep' takes it as missing, "
                "and missing='drop' leaves the row out"
            )
        if self._treatment == "drop":
            keep = np.logical_not(absent.any(axis=1))
            self.kept += [np.ones(row - sum(map(len, self.kept)), bool), keep]
            return whole_values(block[keep].ravel(), str)[0].reshape(-1, block.shape[1])
        self.n_missing += absent.sum(axis=0)
        return block

    def show(self, block: Block, start: int, observer: Observer | None) -> None:
        """Give a block of X to an observer, unless a value is missing in this one or one before it."""
        if observer is not None and not self.n_missing.any():
            observer.add(observer.measuring(block.shape[1])(block, start))

    def take_measured(self, found: Found, observer: Observer | None) -> None:
        """Count a block that a worker read, and give what it measured to an observer; as `take` and `show` together.

        Raises NotSpread if rows must be left out, or a missing value be refused.
        """
        self.n_rows += found.totals.rows
        if found.n_missing is not None:
            if self._treatment != "keep":
                raise NotSpread
            self.n_missing += found.n_missing
        if observer is not None and not self.n_missing.any():
            observer.add(found.sums)

    def finish(self, done: Imported) -> None:
        """Leave the rows out of obs that were left out of X."""
        done.obs, done.var = self._source.obs, self._source.var
        if not self.kept:
            return
        source = self._source
        beside = [
            key for key in (*source.tables, *source.elements) if key != "X" and not key.startswith(("uns", "var"))
        ]
        if beside:
            raise ParameterError(
                f"missing='drop' has no effect on {beside[0]} of {source.name}: keep the missing values, and take the "
                "rows without them with kithkin.subset"
            )
        kept = np.concatenate([*self.kept, np.ones(self.n_rows - sum(map(len, self.kept)), bool)])
        if len(kept) != len(done.obs):
            raise FormatError(f"{source.name}: X has {len(kept)} rows, but {len(done.obs)} are named")
        if not kept.any():
            raise FormatError(f"{source.name} has no row without a missing value: import it with missing='keep'")
        done.obs = done.obs[kept]
        left = int((~kept).sum())
        done.notes.append(f"{left:,} row{'s' * (left != 1)} of {source.name} with a missing value left out")

    def count(self, done: Imported, kind: str) -> None:
        """Decide the kind of X, and add the number of missing values of each column to var, where there are any."""
        total = int(self.n_missing.sum())
        done.kind = find_kind(self._source, done.totals, done.var, total, kind)
        expression = self._source.of_counts and self._source.kind is None and kind == "auto"
        if not self._source.of_counts and kind == "auto" and done.kind["name"] != "images":
            done.notes.append(f"{self._source.name} holds {sentence_of_kind(done.kind['name'], done.kind['reason'])}")
        done.is_measured = not total and done.totals.low >= 0 and (done.kind["name"] != "values" or expression)
        if not total:
            done.var = done.var.drop(columns="n_missing", errors="ignore")
            return
        if done.kind["name"] == "counts":
            raise FormatError(
                f"{self._source.name} holds counts ({done.kind['reason']}), but "
                f"{missing_note(dict(zip(done.var.index, self.n_missing.tolist(), strict=True)))}: counts cannot be "
                "missing, so import it with "
                + ("join='inner' or" if self._source.is_joined else "missing='drop' or with")
                + " kind='values'"
            )
        done.var = done.var.assign(n_missing=self.n_missing)
        done.notes.append(missing_note(dict(zip(done.var.index, self.n_missing.tolist(), strict=True))))


def narrowed(block: Array) -> Array:
    """Return numbers in float32, unless a whole number would change or a number leave the range.

    Examples
    --------
    >>> narrowed(np.array([0.5])).dtype, narrowed(np.array([0.5, 16777217.0])).dtype
    (dtype('float32'), dtype('float64'))
    """
    with np.errstate(over="ignore"):
        out: Array = block.astype(np.float32)
    changed = out != block
    changed &= np.isinf(out) | (block == np.floor(block)) | ((out == 0) & (block != 0))
    return block if changed.any() else out


def _refuse_damage(blocks: Iterator[Block], name: str, key: str) -> Iterator[Block]:
    """Yield blocks; whatever their parser raises names the file."""
    while True:
        with format_errors(name, f"{key} cannot be read"):
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _check_table(source: Source, done: Imported) -> None:
    """Compare X with what the file promises, and note what steps for counts cannot use."""
    totals = done.totals
    for length, frame, axis in ((totals.rows, done.obs, "rows"), (source.n_columns, source.var, "columns")):
        if length != len(frame):
            raise FormatError(f"{source.name}: X has {length} {axis}, but {len(frame)} are named")
        if not length:
            raise FormatError(f"{source.name} has no {axis}")
    done.notes += check_promise(totals, source.name, source.stored, source.total)
    if source.of_counts and totals.low < 0:
        done.notes.append(f"X of {source.name} holds negative values: {NO_COUNTS}")
    if source.of_counts and totals.real:
        done.notes.append(f"X of {source.name} holds values that are not integers: {NO_COUNTS}")


def _unique_index(table: pd.DataFrame, axis: str, done: Imported) -> pd.DataFrame:
    frame = plain_frame(table)
    repeated = frame.index.duplicated()
    if not repeated.any():
        return frame
    names = unique_names(frame.index)
    example = names[repeated][0]
    done.notes.append(f"{repeated.sum():,} duplicate names of {axis} were made unique, as in {example}")
    return frame.set_axis(names)


def _import_raw(source: Source, writer: DatasetWriter, execution: Execution, done: Imported) -> None:
    """Write raw as one element, since it has genes of its own; beyond the budget it stays behind."""
    parts: list[sparse.csr_matrix] = []
    size = 0
    for block in _refuse_damage(source.tables["raw/X"](execution), source.name, "raw/X"):
        rows = block.to_scipy() if isinstance(block, SparseRows) else sparse.csr_matrix(block)
        size += rows.data.nbytes + rows.indices.nbytes
        if size > execution.memory // 4:
            left = f"raw of {source.name} was left out, since it exceeds the memory"
            done.notes.append(f"{left}: import it alone with raw=True")
            return
        parts.append(rows)
    writer.element("raw/X", sparse.vstack(parts, format="csr"))
    done.keys.append("raw/X")
    for key in ("raw/var", "raw/varm"):
        _import_element(key, source.elements[key], writer, done, source.name)


def _import_element(key: str, value: Any, writer: DatasetWriter, done: Imported, name: str) -> None:
    """Write an element, or note why it was left out; `name` is that of the source."""
    storable = _storable(value, key, done, name)
    if storable is None:
        return
    try:
        writer.element(key, storable)
        done.keys.append(key)
    except KithkinError as error:
        done.notes.append(f"{key} was left out: {error}")


def _storable(value: Any, key: str, done: Imported, name: str) -> Any:
    """Return the part of a value that AnnData can store, or None; note what was left out, and why."""
    try:
        with format_errors(name, f"{key} cannot be read"):
            value = value.read() if isinstance(value, Deferred) else value
            check(key.count("/") < DEEPEST, f"it lies below {DEEPEST} others, or in itself")
            if isinstance(value, Mapping):
                pairs = ((str(part), _part(item, key, str(part), done, name)) for part, item in value.items())
                return {part: item for part, item in pairs if item is not None}
            return _plain(value, key, done)
    except KithkinError as error:
        done.notes.append(f"{key} was left out: {error}")
        return None


def _part(value: Any, key: str, part: str, done: Imported, name: str) -> Any:
    """Return a part of a mapping as `_storable` does."""
    try:
        _check_name(part)
    except FormatError as error:
        done.notes.append(f"{key}/{part} was left out: {error}")
        return None
    return _storable(value, f"{key}/{part}", done, name)


def _check_name(name: str) -> None:
    """Raise FormatError if an element cannot have this name in a folder."""
    if "/" in name or name in ("", ".", ".."):
        raise FormatError(f"an element cannot be named {name!r}")


def _plain(value: Any, key: str, done: Imported) -> Any:
    """Return a value in a form that AnnData can store, or None with a note."""
    if isinstance(value, (date, np.datetime64, bytes, PurePath)):
        value = texts(value).item()
    if isinstance(value, (tuple, pd.Index)):
        value = np.asarray(list(value))
    if isinstance(value, pd.DataFrame):
        frame = plain_frame(value)
        axis = {"obsm": done.obs, "varm": done.var}.get(key.partition("/")[0])
        return frame if axis is None else frame.set_axis(axis.index)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.ma.MaskedArray):
        done.notes.append(f"{key} was left out: it is a masked array, for which AnnData has no form")
        return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "mM":
        value = texts(value)  # of dates anndata reads none
    if callable(value):
        done.notes.append(f"{key} was left out: it is code ({type(value).__name__}), not data")
        return None
    numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    if numeric or sparse.issparse(value) or isinstance(value, (str, int, float)):
        return value
    try:
        write_element(zarr.create_group({}, zarr_format=3), "x", value)
    except (KithkinError, AttributeError, TypeError, ValueError) as error:
        reason = reason_of(error.__cause__ or error)
        done.notes.append(f"{key} was left out: AnnData has no form on disk for this {type(value).__name__} ({reason})")
        return None
    return value
