"""Further rows below the elements of a dataset: full files stay as they are, the last of an array is written again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from scipy import sparse

from kithkin.core.anndata_elements import read_array
from kithkin.core.arrays import attributes, open_array, open_child, open_group, read_header
from kithkin.core.blocks import Array
from kithkin.core.chunks import ChunkFiles
from kithkin.core.elements import plain_text, read_element, write_element
from kithkin.core.errors import KithkinError
from kithkin.core.growing import folder_of
from kithkin.core.layout import rows_in_full_files, written_array

HEADER = "zarr.json"
NULLABLE = ("nullable-integer", "nullable-boolean")


def link_tree(source: Path, target: Path, but: str | None = None) -> None:
    """Make a folder of the same files as another: headers are copied, all else is linked, or copied where it cannot be.

    Parameters
    ----------
    source, target
        The folders; the second is made where it is not there.
    but
        Name of an entry of the first folder that is left out.

    Raises
    ------
    KithkinError
        If there is a symbolic link in the folder.
    """
    target.mkdir(exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.name == but:
                continue
            if entry.is_symlink():
                raise KithkinError(f"{entry.path} is a link: nothing is written there")
            if entry.is_dir():
                link_tree(Path(entry.path), target / entry.name)
            elif entry.name == HEADER:
                shutil.copyfile(entry.path, target / HEADER)
            else:
                _link(entry.path, target / entry.name)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or too many of one file
        shutil.copy2(source, target)


def replace_element(group: zarr.Group, name: str, value: Any) -> None:
    """Write an element in place of the one that is there."""
    remove_element(group, name)
    write_element(group, name, value)


def replace_values(group: zarr.Group, name: str, values: Array) -> None:
    """Write other values in place of an array, with the attributes that it has."""
    before = attributes(folder_of(group), name)
    replace_element(group, name, values)
    if not before.items() <= attributes(folder_of(group), name).items():
        group[name].attrs.update(before)


def remove_element(group: zarr.Group, name: str) -> None:
    """Remove an element, if it is there."""
    folder = folder_of(group) / name
    if folder.exists():
        shutil.rmtree(folder)


def add_rows(group: zarr.Group, name: str, values: Array) -> None:
    """Add values of its own type, or rows of them, to an array; one of a single file gets the layout of more values."""
    folder = folder_of(group)
    header = read_header(folder, name)
    if header["shape"][0] <= ChunkFiles.of(header).outer[0]:
        whole = read_array(folder, name, {})
        replace_values(group, name, np.concatenate([whole, values.astype(whole.dtype, copy=False)]))
        return
    array = written_array(group, name)
    start = rows_in_full_files(array)
    tail: Array = np.asarray(open_array(folder, name)[start:])
    tail = tail.astype(object) if tail.dtype.kind == "T" else tail
    rows = np.concatenate([tail, values.astype(tail.dtype, copy=False)])
    array.resize((start, *array.shape[1:]))
    array.resize((start + len(rows), *array.shape[1:]))
    array[start:] = rows


def extend_frame(group: zarr.Group, name: str, rows: pd.DataFrame) -> None:
    """Add rows to a table; what one of both does not have is missing there.

    Parameters
    ----------
    group
        Group that holds the table.
    name
        Its name.
    rows
        The rows, by names that are strings.
    """
    table: Any = open_child(group, name)
    order, index = [str(one) for one in table.attrs["column-order"]], str(table.attrs["_index"])
    n_before = int(read_header(folder_of(table), index)["shape"][0])
    for column in order:
        extend_column(table, column, rows.get(column), len(rows))
    for column in [str(one) for one in rows.columns if one not in order]:
        before = pd.Series([np.nan] * n_before, dtype=object)
        write_element(table, column, plain_column(stacked(before, rows[column])))
        order.append(column)
    extend_column(table, index, pd.Series(rows.index.to_numpy(object)), len(rows))
    if order != table.attrs["column-order"]:
        table.attrs["column-order"] = order


def extend_column(table: zarr.Group, name: str, rows: pd.Series[Any] | None, n_rows: int) -> None:
    """Add values to a column of a table; None: they are missing.

    Where its stored type can hold them it is kept, and only the end of the column is written.
    """
    header = read_header(folder_of(table), name)
    encoding = header["attributes"].get("encoding-type")
    known: Any = None if rows is None else rows.dtype
    if encoding == "categorical":
        if rows is None or are_texts(rows):
            extend_categories(table, name, rows, n_rows)
            return
    elif encoding in NULLABLE and rows is None:
        part = open_child(table, name)
        add_rows(part, "values", np.zeros(n_rows, read_header(folder_of(part), "values")["data_type"]))
        add_rows(part, "mask", np.ones(n_rows, bool))
        return
    elif encoding == "string-array" and rows is not None and are_texts(rows) and not rows.isna().any():
        add_rows(table, name, rows.astype(object).to_numpy(object))
        return
    elif encoding == "array" and rows is None and str(header.get("data_type")).startswith("float"):
        add_rows(table, name, np.full(n_rows, np.nan))
        return
    elif encoding == "array" and isinstance(known, np.dtype) and str(header.get("data_type")) == known.name:
        add_rows(table, name, rows.to_numpy())  # type: ignore[union-attr]
        return
    before = pd.Series(read_element(open_group(folder_of(table)), name))
    after = pd.Series([np.nan] * n_rows, dtype=object) if rows is None else rows
    replace_element(table, name, plain_column(stacked(before, after)))


def are_texts(rows: pd.Series[Any]) -> bool:
    """Tell whether all values of a column are texts, or categories that are."""
    if isinstance(rows.dtype, pd.CategoricalDtype):
        return all(isinstance(one, str) for one in rows.cat.categories)
    return rows.dtype == object and all(isinstance(one, str) for one in rows)


def extend_categories(table: zarr.Group, name: str, rows: pd.Series[Any] | None, n_rows: int) -> None:
    """Add texts to a column of categories, the new ones behind those that are there; None: they are missing."""
    column = open_child(table, name)
    codes = np.full(n_rows, -1, np.int64)
    if rows is not None:
        known = pd.Index(np.asarray(read_element(open_group(folder_of(column)), "categories")), dtype=object)
        given = rows if isinstance(rows.dtype, pd.CategoricalDtype) else rows.astype("category")
        used = given.cat.categories.astype(object)
        every = known.append(used[~used.isin(known)])
        codes = np.append(every.get_indexer(used), -1)[given.cat.codes]
        if len(every) > len(known):
            replace_values(column, "categories", every.to_numpy(object))
    stored = np.dtype(str(read_header(folder_of(column), "codes")["data_type"]))
    if codes.max(initial=0) <= np.iinfo(stored).max:
        add_rows(column, "codes", codes.astype(stored))
        return
    wide = np.concatenate([np.asarray(open_array(folder_of(column), "codes")[...]).astype(np.int64), codes])
    replace_values(column, "codes", wide.astype(np.int16 if wide.max() < 2**15 else np.int32))


def stacked(before: pd.Series[Any], after: pd.Series[Any]) -> pd.Series[Any]:
    """Put one column below another, as pandas does; whole numbers beside missing ones become float64."""
    parts = [one for one in (before, after) if one.notna().any()] or [before]
    lengths = len(before), len(after)
    if len(parts) == 2:
        return pd.concat([before, after], ignore_index=True)
    whole = parts[0].reset_index(drop=True)
    start = 0 if parts[0] is before else lengths[0]
    return whole.set_axis(range(start, start + len(whole))).reindex(range(sum(lengths)))


def plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column in a form that AnnData stores: several types become texts, and categories where some miss."""
    if isinstance(column.dtype, (pd.Float32Dtype, pd.Float64Dtype)):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan))
    if column.dtype == object:
        present = column.notna()
        if pd.api.types.infer_dtype(column[present]) == "boolean":
            return column.astype("boolean")
        texts = column.astype(object).where(~present, column[present].map(str))
        return plain_text(texts)
    return column


def extend_element(group: zarr.Group, name: str, value: Any, n_rows: int) -> None:
    """Add rows to an array, sparse matrix or table; None: they are missing, or empty in a sparse matrix.

    Raises
    ------
    KithkinError
        If it cannot have such rows.
    """
    header = read_header(folder_of(group), name)
    encoding = header["attributes"].get("encoding-type")
    if encoding == "dataframe":
        extend_frame(group, name, value)
        return
    if value is None:
        add_missing_rows(group, name, n_rows)
        return
    if encoding == "array" and isinstance(value, np.ndarray) and value.dtype.name == str(header.get("data_type")):
        add_rows(group, name, value)
        return
    before = read_element(open_group(folder_of(group)), name)
    if sparse.issparse(before) or sparse.issparse(value):
        whole: Any = sparse.vstack([sparse.csr_matrix(before), sparse.csr_matrix(value)], format="csr")
    else:
        whole = np.concatenate([before, np.asarray(value)])
    replace_element(group, name, whole)


def add_missing_rows(group: zarr.Group, name: str, n_rows: int, n_columns: int = 0) -> None:
    """Add rows of missing values to an array, and empty rows and columns to a sparse matrix.

    Raises
    ------
    KithkinError
        If an array has no missing values.
    """
    header = read_header(folder_of(group), name)
    encoding, data_type = header["attributes"].get("encoding-type"), str(header.get("data_type"))
    if encoding in ("csr_matrix", "csc_matrix"):
        element: Any = group[name]
        grown = n_rows if encoding == "csr_matrix" else n_columns
        if grown:
            last = open_array(folder_of(element), "indptr")[-1]
            add_rows(element, "indptr", np.full(grown, last, element["indptr"].dtype))
        rows, columns = header["attributes"]["shape"]
        element.attrs["shape"] = [rows + n_rows, columns + n_columns]
        return
    shape = tuple(header.get("shape", ()))
    if encoding == "array" and n_columns == 0 and data_type.startswith("float"):
        add_rows(group, name, np.full((n_rows, *shape[1:]), np.nan))
        return
    if encoding == "array" and len(shape) <= 2 and np.dtype(data_type).kind in "biuf":
        before = np.asarray(open_array(folder_of(group), name)[...]).astype(np.float64)
        after = [(0, n_rows), *([(0, n_columns)] if len(shape) == 2 else [])]
        replace_element(group, name, np.pad(before, after, constant_values=np.nan))
        return
    what = f"{group.path}/{name}".lstrip("/")
    raise KithkinError(
        f"{what} is stored as {encoding} of {data_type}, which cannot have missing rows: delete it first, or append "
        "what has it too"
    )
