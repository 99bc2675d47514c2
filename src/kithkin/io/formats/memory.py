"""Objects in memory: AnnData (backed too), pandas, NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.budget import rows_per_block
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.formats.anndata_layout import MAPPINGS
from kithkin.io.formats.pixel_names import numbered
from kithkin.io.source import BlockStream, Source
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
    chunks = getattr(X, "chunks", None)
    if not hasattr(X, "dtype") or not hasattr(X, "shape") or (chunks and isinstance(chunks[0], tuple)):
        raise FormatError(f"{source.name}: {key} is a {type(X).__name__}, which cannot be streamed: compute it first")
    array = np.asarray(X) if isinstance(X, np.ndarray) else X
    if array.dtype.kind not in "buif":
        raise FormatError(f"{source.name}: {key} must hold numbers, it holds {array.dtype}")
    return partial(dense_rows, array, Place(source.name, key))


def _shape(X: Any, name: str, key: str) -> tuple[int, int]:
    return check_shape(np.array(getattr(X, "shape", ())), name, key)


def _frame_rows(frame: pd.DataFrame, place: Place, execution: Execution) -> Iterator[Array]:
    rows = rows_per_block(24 * frame.shape[1], execution.memory, execution.threads)
    for start, stop in even_ranges(len(frame), rows):
        columns = []
        for k in range(frame.shape[1]):
            column = frame.iloc[start:stop, k]
            if column.isna().any():
                where = place.at(start + int(column.isna().to_numpy().argmax()))
                raise FormatError(f"{where} has no number in column {column.name!r}, which holds numbers")
            kind: Any = column.dtype
            kind = getattr(kind, "numpy_dtype", None) or getattr(kind, "subtype", None) or kind
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
        raise ParameterError(f"layer must be one of the layers of {name}, got {layer!r}. Present: {present}")
    source = Source(name, _shape(tables[key], name, key)[1], {}, plain_frame(adata.obs), plain_frame(var))
    source.tables["X"] = _stream(tables.pop(key), key, source)
    for other, table in tables.items():
        goes_to = "layers/X" if other == "X" else other
        source.tables[goes_to] = _stream(table, other, source)
    if raw:
        left += [place for place in ("varm", "varp") if len(getattr(adata, place))]
        if left:
            source.notes.append(f"raw became X: left out is what belongs to other genes: {', '.join(left)}")
    for place in ("obsm", "obsp") if raw else MAPPINGS:
        for key, value in getattr(adata, place).items():
            source.elements[f"{place}/{key}"] = plain_frame(value) if isinstance(value, pd.DataFrame) else value
    source.elements |= {f"uns/{key}": value for key, value in adata.uns.items() if key != "kithkin"}
    if "kithkin" in adata.uns:
        source.notes.append(f"the history of {source.name} was not taken over (uns/kithkin)")
    if adata.raw is not None and not raw:
        source.tables["raw/X"] = _stream(adata.raw.X, "raw/X", source)
        source.elements["raw/var"] = plain_frame(adata.raw.var)
        source.elements["raw/varm"] = dict(adata.raw.varm)
    return source


def open_memory(source: Any, *, layer: str | None = None, raw: bool = False) -> Source:
    """Open an object in memory; what it holds is read while it is streamed, and is not changed.

    The object is an AnnData (in memory or backed by a file), a DataFrame, whose columns of numbers become X and the
    others obs, a NumPy array or a SciPy sparse matrix of any format, n x p. `layer` of an AnnData is taken as X, and X
    itself becomes layers/X; with `raw`, raw is taken as X, with its genes. Raises ParameterError if it is none of
    these, or there is no such layer or raw; FormatError if it has no rows, no columns or no numbers.
    """
    if isinstance(source, anndata.AnnData):
        return _open_anndata(source, layer, raw)
    if layer is not None or raw:
        setting = "raw=True" if layer is None else f"layer={layer!r}"
        raise ParameterError(f"{setting} has no effect: a {type(source).__name__} has none")
    if isinstance(source, pd.DataFrame):
        name, kinds = "the DataFrame", source.dtypes
        is_number = np.array(
            [pd.api.types.is_numeric_dtype(k) and not pd.api.types.is_bool_dtype(k) for k in kinds], bool
        )
        numbers, others = source.loc[:, is_number], source.loc[:, ~is_number]
        if not len(source):
            raise FormatError(f"{name} has no rows")
        if not numbers.shape[1]:
            raise FormatError(f"{name} has no columns of numbers")
        var = plain_frame(pd.DataFrame(index=numbers.columns))
        opened = Source(name, numbers.shape[1], {}, plain_frame(others), var)
        if all(isinstance(kind, pd.SparseDtype) and kind.fill_value == 0 for kind in numbers.dtypes):
            opened.tables["X"] = _sparse_stream(numbers.sparse.to_coo(), "X", opened)  # type: ignore[attr-defined]
        else:
            opened.tables["X"] = partial(_frame_rows, numbers, Place(name, "X"))
        return opened
    if isinstance(source, np.ndarray) or sparse.issparse(source):
        name = "the array" if isinstance(source, np.ndarray) else "the matrix"
        n_rows, n_columns = _shape(source, name, "X")
        opened = Source(name, n_columns, {}, numbered(n_rows), numbered(n_columns))
        opened.tables["X"] = _stream(source, "X", opened)
        return opened
    raise ParameterError(
        f"source must be a path, AnnData, DataFrame, NumPy array or SciPy matrix, got {type(source).__name__}"
    )
