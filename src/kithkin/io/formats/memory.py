"""Objects in memory: AnnData (backed too), pandas, NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, Block, even_ranges
from kithkin.core.budget import rows_per_block
from kithkin.core.errors import FormatError, ParameterError, check_known
from kithkin.core.execute import Execution
from kithkin.io.formats.anndata_layout import MAPPINGS
from kithkin.io.formats.chosen import Chosen, counts_up
from kithkin.io.formats.labels import note_of_labels, typed_column
from kithkin.io.formats.numerals import NO_NUMBER, find_marks, plain_number
from kithkin.io.formats.pixel_names import numbered, pixel_columns
from kithkin.io.source import BlockStream, Deferred, Source
from kithkin.io.streams.annotation import plain_frame
from kithkin.io.streams.checks import Place, check_pointers, check_shape, tidy_dense
from kithkin.io.streams.compressed import Compressed
from kithkin.io.streams.dense import dense_rows
from kithkin.io.streams.stored_table import table_stream, transposed
from kithkin.io.streams.table_chunk import stack_columns


def sniff(source: Any) -> bool:
    """Tell whether an object is a table that can be read."""
    return isinstance(source, (anndata.AnnData, pd.DataFrame, np.ndarray)) or sparse.issparse(source)


def _sparse_stream(X: Any, key: str, source: Source) -> BlockStream:
    if X.dtype.kind not in "buif":
        raise FormatError(f"{source.name}: {key} must hold numbers, it holds {X.dtype}")
    if X.format not in ("csr", "csc") or not X.has_canonical_format:
        # SciPy defines duplicates as sums: they are added in a type that holds the sum
        table = X.astype({"f": np.float64, "u": np.uint64}.get(X.dtype.kind, np.int64), copy=True)
        X = table if table.format in ("csr", "csc") else table.tocoo().tocsr()
        X.sum_duplicates()
    by_rows = X.format == "csr"
    lines, width = X.shape if by_rows else X.shape[::-1]
    place = Place(source.name, key) if by_rows else Place(source.name, key, line="column", across="row")
    pointers = check_pointers(X.indptr, lines, (len(X.indices), len(X.data)), source.name, key)
    lines_table = Compressed(X.data, X.indices, pointers, width, place)
    return lines_table.blocks if by_rows else partial(transposed, source, lines_table)


def _stream(X: Any, key: str, source: Source) -> BlockStream:
    """Return the stream of a table, whatever it is made of."""
    if sparse.issparse(X):
        return _sparse_stream(X, key, source)
    if isinstance(X, anndata.abc.CSRDataset | anndata.abc.CSCDataset):
        return table_stream(X.group, key, source)[0]
    if isinstance(X, pd.DataFrame):
        return partial(_frame_rows, X, Place(source.name, key))
    if isinstance(X, np.ma.MaskedArray):
        raise FormatError(f"{source.name}: {key} is a masked array: fill it first")
    if _is_lazy(X):
        return partial(_lazy_rows, X, key, source)
    if not hasattr(X, "dtype") or not hasattr(X, "shape"):
        raise FormatError(f"{source.name}: {key} is a {type(X).__name__}, which cannot be streamed: compute it first")
    array = np.asarray(X) if isinstance(X, np.ndarray) else X
    if array.dtype.kind not in "buif":
        raise FormatError(f"{source.name}: {key} must hold numbers, it holds {array.dtype}")
    return partial(dense_rows, array, Place(source.name, key, missing=key == "X"))


def _is_lazy(X: Any) -> bool:
    """Tell whether an array is one of dask, of which parts are computed when they are asked for."""
    chunks: Any = getattr(X, "chunks", None)
    return hasattr(X, "compute") and bool(chunks) and isinstance(chunks[0], tuple)


def _lazy_rows(X: Any, key: str, source: Source, execution: Execution) -> Iterator[Block]:
    """Compute an array of dask a few rows at a time."""
    rows = rows_per_block(16.0 * X.shape[1], execution.memory, execution.threads)
    for start, stop in even_ranges(X.shape[0], rows):
        part = X[start:stop].compute()
        yield from _stream(sparse.csr_matrix(part) if sparse.issparse(part) else part, key, source)(execution)


def _in_memory(value: Any) -> Any:
    """Load a lazy table or array; anything else stays as it is."""
    if isinstance(value, pd.DataFrame):
        return plain_frame(value)
    if hasattr(value, "to_memory"):
        return plain_frame(value.to_memory())
    return value.compute() if _is_lazy(value) else value


def _shape(X: Any, name: str, key: str) -> tuple[int, int]:
    return check_shape(np.array(getattr(X, "shape", ())), name, key)


def _frame_rows(frame: pd.DataFrame, place: Place, execution: Execution) -> Iterator[Array]:
    rows = rows_per_block(24 * frame.shape[1], execution.memory, execution.threads)
    for start, stop in even_ranges(len(frame), rows):
        columns = []
        for k in range(frame.shape[1]):
            column = frame.iloc[start:stop, k]
            kind: Any = column.dtype
            kind = getattr(kind, "numpy_dtype", None) or getattr(kind, "subtype", None) or kind
            if column.isna().any():
                kind = np.float64 if kind.kind != "f" else kind
                columns.append(column.to_numpy(dtype=kind, na_value=np.nan))
            else:
                columns.append(column.to_numpy(dtype=kind))
        yield tidy_dense(stack_columns(columns, place.name), place.moved(start))


def _open_anndata(adata: anndata.AnnData, layer: str | None, raw: bool) -> Source:
    name = "the AnnData object"
    if layer is not None and raw:
        raise ParameterError("choose either layer or raw, not both")
    tables = {f"layers/{key}": adata.layers[key] for key in adata.layers if key is not None}
    if adata.X is not None:
        tables["X"] = adata.X
    key, var = "X" if layer is None else f"layers/{layer}", adata.var
    if raw:
        if adata.raw is None:
            raise ParameterError(f"raw=True has no effect: {name} has no raw")
        key, var, left, tables = "raw/X", adata.raw.var, sorted(tables), {"raw/X": adata.raw.X}
    if key not in tables:
        present = ", ".join(key for key in adata.layers if key is not None) or "none"
        if layer is None:
            raise FormatError(f"{name} has no X: choose a layer ({present})")
        check_known(
            [layer],
            [str(key) for key in adata.layers if key is not None],
            f"layer must be one of the layers of {name}, got",
        )
    source = Source(name, _shape(tables[key], name, key)[1], {}, _in_memory(adata.obs), _in_memory(var))
    source.tables["X"] = _stream(tables.pop(key), key, source)
    beside = dict(tables)
    if adata.raw is not None and not raw:
        beside["raw/X"] = adata.raw.X
    for other, table in beside.items():
        goes_to = "layers/X" if other == "X" else other
        try:
            source.tables[goes_to] = _stream(table, other, source)
        except FormatError as error:
            source.notes.append(f"{goes_to} was left out: {error}")
    if raw:
        left += [place for place in ("varm", "varp") if len(getattr(adata, place))]
        if left:
            source.notes.append(f"raw became X: left out is what belongs to other genes: {', '.join(left)}")
    for place in ("obsm", "obsp") if raw else MAPPINGS:
        for key, value in getattr(adata, place).items():
            source.elements[f"{place}/{key}"] = Deferred(partial(_in_memory, value))
    source.elements |= {f"uns/{key}": value for key, value in adata.uns.items() if key != "kithkin"}
    if "kithkin" in adata.uns:
        source.kind = None if raw or layer is not None else adata.uns["kithkin"].get("kind")
        source.notes.append(f"the history of {source.name} was not taken over (uns/kithkin)")
    if "raw/X" in source.tables:
        source.elements["raw/var"] = plain_frame(adata.raw.var)
        source.elements["raw/varm"] = dict(adata.raw.varm)
    return source


def _open_frame(source: pd.DataFrame, chosen: Chosen) -> Source:
    """Open a DataFrame: columns of numbers, and texts that are numbers, become X and the others obs."""
    name = "the DataFrame"
    if not len(source):
        raise FormatError(f"{name} has no rows")
    labels = [str(label) for label in source.columns]
    index, named = chosen.position(labels, name), not isinstance(source.index, pd.RangeIndex)
    notes, kinds, others, numbers = list[str](), list[tuple[str, str]](), list[Any](), list[int]()
    frame = source if index is None else source.set_axis(pd.Index(source.iloc[:, index].astype(str)))
    taken = {k for k, keep in enumerate(chosen.mask(labels, name)) if keep and k != index}
    present = [k for k, keep in enumerate(Chosen(ignore=chosen.ignore).mask(labels, name)) if keep and k != index]
    parsed = {k: column for k in present if (column := _numbers_of(frame.iloc[:, k])) is not None}
    pixels = pixel_columns([labels[k] for k in parsed])
    for position, (k, column) in enumerate(parsed.items()):
        asked = chosen.asked_for(labels[k], labels, name) or len(parsed) == 1
        counted = not asked and column.dtype.kind in "iu" and counts_up(column.to_numpy())
        if counted and not named and index is None:
            index, frame = k, frame.set_axis(pd.Index(column.astype(str)))
            notes.append(f"{labels[k]!r} only counts up, so it names the rows: list it in columns to take it as values")
        elif k in taken and not counted and (pixels is None or pixels[position]):
            numbers.append(k)
    for k in (k for k in sorted(taken) if k not in numbers and k != index):
        column, what = typed_column(frame.iloc[:, k])
        others.append(column.set_axis(frame.index))
        kinds.append((labels[k], what))
    if not numbers:
        raise FormatError(f"{name} has no columns of numbers")
    obs = pd.DataFrame(dict(enumerate(others)), index=frame.index).set_axis([label for label, _ in kinds], axis=1)
    values = pd.concat([parsed[k].set_axis(frame.index) for k in numbers], axis=1)
    var = plain_frame(pd.DataFrame(index=source.columns[numbers]))
    opened = Source(
        name, len(numbers), {}, plain_frame(obs), var, notes=notes + ([note_of_labels(kinds)] if kinds else [])
    )
    opened.of_counts, opened.narrow = False, True
    if all(isinstance(kind, pd.SparseDtype) and kind.fill_value == 0 for kind in values.dtypes):
        opened.tables["X"] = _sparse_stream(values.sparse.to_coo(), "X", opened)  # type: ignore[attr-defined]
    else:
        opened.tables["X"] = partial(_frame_rows, values, Place(name, "X", missing=True))
    return opened


def _numbers_of(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return a column of numbers, also where they are texts such as 1,200 or objects; None for anything else."""
    kind: Any = column.dtype
    if pd.api.types.is_numeric_dtype(kind):
        return None if pd.api.types.is_bool_dtype(kind) else column
    if not pd.api.types.is_object_dtype(kind) and not isinstance(kind, pd.StringDtype):
        return None
    known = column.dropna()
    if not len(known) or known.map(lambda value: isinstance(value, bool | np.bool_)).any():
        return None
    if known.map(lambda value: isinstance(value, (int, float, np.number))).all():
        return pd.to_numeric(column.where(column.notna(), np.nan))
    if not known.map(lambda value: isinstance(value, str)).all():
        return None
    texts = {text.strip() for text in known}
    if not any("," in text or text in NO_NUMBER for text in texts):
        return None  # plain numbers that somebody keeps as text are labels
    marks = find_marks([[*texts]], ",")
    thousands = marks.thousands.get(0, "." if marks.decimal == "," else ",")
    read = {text: plain_number(text, thousands) for text in texts}
    if None in read.values() or all(np.isnan(value) for value in read.values() if value is not None):
        return None
    return known.str.strip().map(read).astype(np.float64).reindex(column.index)


def open_memory(
    source: Any,
    *,
    layer: str | None = None,
    raw: bool = False,
    columns: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    id: str | None = None,
) -> Source:
    """Open an object in memory; what it holds is read while it is streamed, and is not changed.

    The object is an AnnData (in memory or backed by a file), a DataFrame, whose columns of numbers become X and the
    others obs, a NumPy array or a SciPy sparse matrix of any format, n x p. `layer` of an AnnData is taken as X, and X
    itself becomes layers/X; with `raw`, raw is taken as X, with its genes. Of a DataFrame only `columns` are taken and
    those to `ignore` are not; `id` names the rows. Raises ParameterError if it is none of these, or there is no such
    layer, raw or column; FormatError if it has no rows, no columns or no numbers.
    """
    if not isinstance(source, pd.DataFrame):
        for setting, value in (("columns", columns), ("ignore", ignore), ("id", id)):
            if value is not None:
                raise ParameterError(
                    f"{setting} has no effect: a {type(source).__name__} has no columns to choose by name"
                )
    if isinstance(source, anndata.AnnData):
        return _open_anndata(source, layer, raw)
    if layer is not None or raw:
        setting = "raw=True" if layer is None else f"layer={layer!r}"
        raise ParameterError(f"{setting} has no effect: a {type(source).__name__} has none")
    if isinstance(source, pd.DataFrame):
        return _open_frame(source, Chosen(columns, ignore, id))
    if isinstance(source, np.ndarray) or sparse.issparse(source):
        name = "the array" if isinstance(source, np.ndarray) else "the matrix"
        n_rows, n_columns = _shape(source, name, "X")
        opened = Source(name, n_columns, {}, numbered(n_rows), numbered(n_columns))
        opened.tables["X"] = _stream(source, "X", opened)
        opened.of_counts = sparse.issparse(source)
        return opened
    raise ParameterError(
        f"source must be a path, AnnData, DataFrame, NumPy array or SciPy matrix, got {type(source).__name__}"
    )
