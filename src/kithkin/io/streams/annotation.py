"""Annotation of rows and columns (obs, var) in the form that every version of anndata can store."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from kithkin.core.blocks import Array
from kithkin.core.elements import plain_text

RENAMED = {"_index": "index", "": "unnamed", ".": "unnamed", "..": "unnamed"}
NUMBERS: dict[str, Any] = {"boolean": "boolean", "integer": "Int64", "floating": "float64"}  # of Python objects
NUMBERS |= {"mixed-integer-float": "float64", "decimal": "float64"}
AT_A_TIME = 65_536  # texts that are converted
NULLABLE = {"boolean", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}  # anndata stores these


def unique_names(names: pd.Index[str]) -> pd.Index[str]:
    """Append -1, -2, ... to repeated names, as `anndata.utils.make_index_unique` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a-1 was there before is no reason to worry
        unique: pd.Index[str] = pd.Index(make_index_unique(names), dtype=object)
    return unique


def texts(values: Any) -> Array:
    """Convert text to Python strings, whether it was stored as bytes, fixed-length or variable-length."""
    items = np.asarray(values)
    if items.dtype.kind in "mM":
        items = np.asarray(pd.Series(items.ravel()).astype(object), dtype=object).reshape(items.shape)
    out = np.empty(items.size, object)
    for start in range(0, items.size, AT_A_TIME):
        part = items.ravel()[start : start + AT_A_TIME].tolist()
        out[start : start + len(part)] = part if _are_plain(part) else [_text(item) for item in part]
    return out.reshape(items.shape)


def _are_plain(items: list[Any]) -> bool:
    """Tell whether all of some objects are texts that a file can hold."""
    try:
        "".join(items).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return all(type(item) is str for item in items)


def _text(item: Any) -> str:
    if not isinstance(item, bytes):
        text = str(item)
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a pair of UTF-16, which no file can hold
            return text.encode(errors="replace").decode()
        return text
    try:
        return item.decode()
    except UnicodeDecodeError:  # as older programs wrote it in western Europe
        return item.decode("latin-1")


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert a table to text as Python strings (categories where some is missing) and an index of strings.

    Numbers, booleans and categories stay what they are, durations become seconds, dates and mixed columns text. Columns
    that occur twice, without a name, or under a name that AnnData keeps for itself ("_index", and any with a slash),
    are renamed.

    Examples
    --------
    >>> frame = plain_frame(pd.DataFrame({"a": pd.array(["x", None], dtype="string")}, index=[1, 2]))
    >>> frame["a"].dtype.name, frame.index.tolist()
    ('category', ['1', '2'])
    """
    renamed = [RENAMED.get(str(name).strip(), str(name)).replace("/", "-") for name in frame.columns]
    names = unique_names(pd.Index(renamed, dtype=object)).tolist()
    name = None if frame.index.name in (*names, "_index") else frame.index.name
    index = pd.Index(texts(frame.index.to_numpy(dtype=object)), dtype=object, name=name)
    columns = {name: plain_column(frame.iloc[:, k].set_axis(index)) for k, name in enumerate(names)}
    return pd.DataFrame(columns, index=index)


def plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """Convert a column to numbers, booleans, text as Python strings, or categories of these."""
    kind: Any = column.dtype
    if isinstance(kind, pd.SparseDtype):
        column = pd.Series(np.asarray(column), index=column.index, name=column.name)
        kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        if isinstance(kind.categories.dtype, np.dtype) and kind.categories.dtype.kind in "biuf":
            return column
        labels = texts(kind.categories)
        codes, known = pd.factorize(labels)  # 1 and "1" become one category
        position = np.append(codes, -1)[column.cat.codes.to_numpy()]
        merged = pd.Categorical.from_codes(position, pd.Index(known, dtype=object), ordered=bool(kind.ordered))
        return pd.Series(merged, index=column.index, name=column.name)
    if isinstance(kind, np.dtype) and kind.kind in "biuf":
        return column.astype(np.float64) if kind.itemsize > 8 else column
    if pd.api.types.is_float_dtype(kind):  # AnnData has no float that may be missing but NaN
        plain = np.float32 if kind.itemsize == 4 else np.float64
        return pd.Series(column.to_numpy(plain, na_value=np.nan), index=column.index, name=column.name)
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_integer_dtype(kind):
        if kind.name in NULLABLE:
            return column
        name: Any = "boolean" if pd.api.types.is_bool_dtype(kind) else "Int64"
        return column.astype("UInt64" if pd.api.types.is_unsigned_integer_dtype(kind) else name)
    if isinstance(kind, np.dtype) and kind.kind == "m":
        return pd.Series(column.dt.total_seconds(), index=column.index, name=column.name)
    present = column.notna()
    if isinstance(kind, np.dtype) and kind.kind == "O" and present.any():  # objects that all are of one kind
        found = pd.api.types.infer_dtype(column[present])
        if found in NUMBERS:
            return plain_column(column.astype(NUMBERS[found]))
    words = column[present].map(_text)
    if present.all():
        return words.astype(object)
    # a missing text has no plain form on disk, but a category may be missing
    return plain_text(words.astype("category").reindex(column.index))
