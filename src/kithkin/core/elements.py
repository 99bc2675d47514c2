"""Single elements of a dataset, in AnnData's encoding and kithkin's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from scipy import sparse
from zarr.storage import LocalStore

from kithkin.core.anndata_elements import anndata_io, encoded, is_plain, read_encoded, write_column, write_frame
from kithkin.core.arrays import open_group, read_header
from kithkin.core.blocks import Array
from kithkin.core.encoding import write_rows
from kithkin.core.errors import KithkinError
from kithkin.core.layout import ARRAY, COLUMN_CHUNK, create_table, write_vector
from kithkin.core.nodes import create_group, remove
from kithkin.core.transaction import is_full_disk

CAST = ("array", "csr_matrix", "csc_matrix")  # what may be stored in another type than its header says


def read_element(group: zarr.Group, key: str) -> Any:
    """Read the element at a key as anndata does."""
    store = group.store_path.store
    if isinstance(store, LocalStore):
        path, below = store.root, f"{group.path}/{key}".lstrip("/")
        header = read_header(path, below)
        if header["attributes"].get("encoding-type") not in CAST:
            value = read_encoded(path, below, header, {})
            if value is not None:
                return plain_texts(value)
    with anndata_io() as io:
        return plain_texts(io.read_elem(group[key]))


def load_element(path: Path, key: str, n_files: Mapping[str, int]) -> Any:
    """Read the element at a key of a dataset: by compiled codecs, or as anndata does what is rare.

    Parameters
    ----------
    path
        The dataset.
    key
        The element.
    n_files
        Number of files of each array that were written, where it is known.
    """
    value = read_encoded(path, key, read_header(path, key), n_files)
    if value is not None:
        return plain_texts(value)
    with anndata_io() as io:
        return plain_texts(io.read_elem(open_group(path)[key]))


def write_element(group: zarr.Group, name: str, value: Any) -> None:
    """Write an array, sparse matrix, table, mapping, column or scalar under a name.

    Raises
    ------
    KithkinError
        If the AnnData format has no place for such a value, or the name holds a slash or is a dot or two.
    """
    if "/" in name or name in ("", ".", ".."):
        raise KithkinError(f"{group.path}: an element cannot be named {name!r}")
    if isinstance(value, Mapping):
        child = create_dict(group, name)
        for key, item in value.items():
            write_element(child, str(key), item)
    elif sparse.issparse(value):
        compressed = value if value.format in ("csr", "csc") else sparse.csr_matrix(value)
        shape = [int(n) for n in compressed.shape]
        encoding = encoded(f"{compressed.format}_matrix", "0.1.0")
        child = create_group(group, name, {**encoding, "shape": shape})
        wide = np.int64 if max(compressed.nnz, *shape) >= 2**31 else np.int32
        for part in ("data", "indices", "indptr"):
            vector = getattr(compressed, part)
            write_vector(child, part, vector if part == "data" else vector.astype(wide, copy=False))
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.ndim >= 1:
        _write_numbers(group, name, value)
    else:
        _write_other(group, name, value)


def create_dict(group: zarr.Group, name: str) -> zarr.Group:
    """Create an empty mapping in AnnData's encoding."""
    return create_group(group, name, encoded("dict", "0.1.0"))


def create_csr(group: zarr.Group, name: str) -> zarr.Group:
    """Create an empty CSR matrix in AnnData's encoding; its arrays and its shape come later."""
    return create_group(group, name, encoded("csr_matrix", "0.1.0"))


def _write_numbers(group: zarr.Group, name: str, value: Array) -> None:
    if value.ndim == 1:
        write_vector(group, name, value, ARRAY)
        return
    array = create_table(group, name, value.dtype, value.shape, value.shape[0])
    if value.size:
        write_rows(array, 0, value)


def plain_texts(value: Any) -> Any:
    """Return a value with all its texts as Python strings: what anndata and pandas keep them in differs by version."""
    if isinstance(value, Mapping):
        return {key: plain_texts(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        value = value.copy(deep=False)
        for name in value.columns:
            given = value[name]
            plain = plain_text(given)
            if plain is not given:  # or pandas would copy it
                value[name] = plain
        if isinstance(value.columns.dtype, pd.StringDtype):
            value.columns = value.columns.astype(object)
    elif isinstance(value, pd.Series):
        value = plain_text(value)
    elif isinstance(value, (pd.Categorical, pd.arrays.StringArray, pd.arrays.ArrowStringArray)):
        column = plain_text(pd.Series(value))
        return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array
    elif isinstance(value, np.ndarray) and value.dtype.kind == "T":
        return value.astype(object)
    named = isinstance(value, (pd.DataFrame, pd.Series)) and isinstance(value.index.dtype, pd.StringDtype)
    return value.set_axis(value.index.astype(object)) if named else value


def plain_strings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with texts in forms that every anndata reads: plain objects, or categories where some miss."""
    plain: pd.DataFrame = plain_texts(frame)
    index = plain.index.astype(str).to_numpy(dtype=object)
    plain.index = pd.Index(index, dtype=object, name=plain.index.name)  # set_axis copies the columns
    return plain


def listed_column(values: Any) -> Any:
    """Return a list, or an array of objects, as a column in which what is missing is missing; others as they are.

    Examples
    --------
    >>> listed_column(["b", None]).isna().tolist(), listed_column([1, None]).dtype, listed_column(["b", "a"]).dtype
    ([False, True], Int64Dtype(), dtype('O'))
    """
    one_axis = isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1
    if not isinstance(values, (list, tuple)) and not one_axis:
        return values
    missing = pd.isna(pd.Series(list(values), dtype=object))
    if missing.all():
        return np.full(len(values), np.nan)
    if not missing.any():
        if all(isinstance(value, str) for value in values):
            return np.array(values, dtype=object)  # a type of NumPy's own gives each text the room of the longest
        return np.asarray(values)
    column = pd.Series(pd.array(list(values)))
    return column.to_numpy(np.float64, na_value=np.nan) if pd.api.types.is_float_dtype(column.dtype) else column


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Turn the rows of a record, such as the history of a training, into arrays; numbers that a row lacks are NaN.

    Examples
    --------
    >>> columns_of([{"epoch": 0}, {"epoch": 1, "held_out": 2.5}])
    {'epoch': array([0, 1]), 'held_out': array([nan, 2.5])}
    """
    table = pd.DataFrame(list(rows))
    return {str(name): table[name].to_numpy() for name in table}


def plain_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of texts as plain objects, or as categories if some are missing; any other as it is.

    Examples
    --------
    >>> plain_text(pd.Series(["b", None, "a"])).cat.categories.tolist()
    ['a', 'b']
    """
    if isinstance(column.dtype, pd.StringDtype) or column.dtype == object:
        column = column.astype(object) if isinstance(column.dtype, pd.StringDtype) else column
        if not column.isna().any():
            return column
        known = column.dropna()
        if not len(known) or not all(isinstance(value, str) for value in known):
            return column
        column = column.astype("category")
    if isinstance(column.dtype, pd.CategoricalDtype) and isinstance(column.cat.categories.dtype, pd.StringDtype):
        return column.cat.rename_categories(column.cat.categories.astype(object))  # type: ignore[arg-type]
    return column


def _write_other(group: zarr.Group, name: str, value: Any) -> None:
    if isinstance(value, pd.Series):
        value = plain_text(value)  # then in the form that anndata writes best
        value = value.to_numpy() if isinstance(value.dtype, np.dtype) else value.array
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            _write_numbers(group, name, value)
            return
    if isinstance(value, pd.DataFrame):
        value = plain_strings(value)
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    n_rows = len(value) if hasattr(value, "__len__") and not isinstance(value, (str, bytes)) else 0
    n_rows = max(1, min(n_rows, COLUMN_CHUNK))
    remove(group, name)
    try:
        if isinstance(value, pd.DataFrame) and is_plain(value):
            write_frame(group, name, value, n_rows)
        else:
            write_column(group, name, value, n_rows)
    except OSError:
        raise
    except Exception as error:
        if is_full_disk(error):
            raise
        raise KithkinError(f"{group.path}/{name} cannot be stored in AnnData's format: {error}") from error
