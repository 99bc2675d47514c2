"""Single elements of a dataset, in AnnData's encoding and kithkin's layout."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from scipy import sparse
from zarr.errors import UnstableSpecificationWarning

from kithkin.core.arrays import open_array, open_group, read_header
from kithkin.core.blocks import Array
from kithkin.core.chunks import NUMBERS
from kithkin.core.encoding import write_rows
from kithkin.core.errors import KithkinError
from kithkin.core.layout import COLUMN_CHUNK, WRITTEN, compressors, create_table, create_vector
from kithkin.core.transaction import is_full_disk


@contextmanager
def anndata_io() -> Iterator[Any]:
    """Give anndata's readers and writers of elements; imported when asked for, as streaming does without them."""
    import anndata

    wanted = {"zarr_write_format": 3, "auto_shard_zarr_v3": False, "allow_write_nullable_strings": True}
    there = set(dir(anndata.settings))  # newer versions of anndata have left the first out
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This setting will be removed", category=DeprecationWarning)
        settings = anndata.settings.override(**{name: value for name, value in wanted.items() if name in there})
        # structured and fixed-length text arrays, AnnData's form for marker tables, are an extension of Zarr 3
        warnings.filterwarnings("ignore", category=UnstableSpecificationWarning)
        with settings:
            yield anndata.io


def read_element(group: zarr.Group, key: str) -> Any:
    """Read the element at a key as anndata does."""
    with anndata_io() as io:
        return plain_texts(io.read_elem(group[key]))


def load_element(path: Path, key: str, n_files: Mapping[str, int]) -> Any:
    """Read the element at a key of a dataset: arrays and sparse matrices by compiled codecs, the rest as anndata does.

    Parameters
    ----------
    path
        The dataset.
    key
        The element.
    n_files
        Number of files of each array that were written, where it is known.
    """
    header = read_header(path, key)
    encoding = header["attributes"].get("encoding-type")
    if encoding == "array" and header.get("data_type") in NUMBERS and header["shape"]:
        return _load_array(path, key, n_files)
    if encoding in ("csr_matrix", "csc_matrix"):
        parts = [_load_array(path, f"{key}/{part}", n_files) for part in ("data", "indices", "indptr")]
        matrix = sparse.csr_matrix if encoding == "csr_matrix" else sparse.csc_matrix
        return matrix((parts[0], parts[1], parts[2]), shape=tuple(header["attributes"]["shape"]))
    return read_element(open_group(path), key)


def _load_array(path: Path, key: str, n_files: Mapping[str, int]) -> Array:
    array = open_array(path, key, n_files=n_files.get(key))
    values: Array = np.asarray(array[...]) if array.size else np.empty(array.shape, array.dtype)
    dtype = np.dtype(str(read_header(path, key)["data_type"]))
    return values.astype(dtype, copy=False)


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
        child = create_csr(group, name)
        shape = [int(n) for n in compressed.shape]
        child.attrs.update({"encoding-type": f"{compressed.format}_matrix", "shape": shape})
        wide = np.int64 if max(compressed.nnz, *shape) >= 2**31 else np.int32
        for part in ("data", "indices", "indptr"):
            vector = getattr(compressed, part)
            if part != "data":
                vector = vector.astype(wide, copy=False)
            array = create_vector(child, part, vector.dtype, len(vector))
            write_rows(array, 0, vector)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.ndim >= 1:
        _write_array(group, name, value)
    else:
        _write_other(group, name, value)


def create_dict(group: zarr.Group, name: str) -> zarr.Group:
    """Create an empty mapping in AnnData's encoding."""
    return group.create_group(name, attributes={"encoding-type": "dict", "encoding-version": "0.1.0"})


def create_csr(group: zarr.Group, name: str) -> zarr.Group:
    """Create an empty CSR matrix in AnnData's encoding; its arrays and its shape come later."""
    return group.create_group(name, attributes={"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})


def _write_array(group: zarr.Group, name: str, value: Array) -> None:
    if value.ndim == 1:
        array = create_vector(group, name, value.dtype, len(value))
        array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    else:
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
            _write_array(group, name, value)
            return
    if isinstance(value, pd.DataFrame):
        value = plain_strings(value)
    codecs: dict[str, Any] = {"compressors": compressors(), "config": WRITTEN}
    if hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
        sizes = value.shape if isinstance(value, np.ndarray) else (len(value),)
        codecs["chunks"] = (max(1, min(sizes[0], COLUMN_CHUNK)), *(max(1, size) for size in sizes[1:]))
    try:
        with anndata_io() as io:
            io.write_elem(group, name, value, dataset_kwargs=codecs)
    except OSError:
        raise
    except Exception as error:
        if is_full_disk(error):
            raise
        raise KithkinError(f"{group.path}/{name} cannot be stored in AnnData's format: {error}") from error
