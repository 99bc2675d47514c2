"""AnnData files of before 2019: compound tables, categories kept in uns, raw spelt "raw.X"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.annotation import texts
from kithkin.io.streams.hdf5 import plain_values
from kithkin.io.streams.sequential import format_errors

CATEGORIES = "_categories"  # behind the name of a column, in uns


def compound_frame(records: Array, uns: Any) -> tuple[pd.DataFrame, list[str]]:
    """Convert an array of records to a table, and tell in notes which columns were left out.

    The field "index" or "_index" (else the first one) names the rows. `uns` may hold the categories of column c as
    "c_categories".

    Examples
    --------
    >>> records = np.array([(b"a", 1), (b"b", 0)], [("index", "S1"), ("kind", "i1")])
    >>> compound_frame(records, {"kind_categories": np.array([b"T", b"B"])})[0]["kind"].tolist()
    ['B', 'T']
    """
    fields = list(records.dtype.names or ())
    index = next((field for field in ("index", "_index") if field in fields), fields[0])
    if records.ndim != 1 or records[index].ndim != 1 or records.dtype[index].kind == "V":
        raise FormatError(f"the names of a table must be a column of texts, got {records.dtype[index]}")
    columns: dict[str, Any] = {}
    notes: list[str] = []
    for field in (field for field in fields if field != index):
        values = records[field]
        try:
            if values.ndim > 1 or values.dtype.kind == "V":
                raise FormatError(f"it holds {records.dtype[field]} for each row, not one value")
            coded = is_coded(field, values, uns)
            columns[field] = categorical(values, uns[field + CATEGORIES]) if coded else plain_values(values)
        except FormatError as error:
            notes.append(f"{field} was left out: {error}")
    return pd.DataFrame(columns, index=pd.Index(texts(records[index]), dtype=object)), notes


def is_coded(column: str, values: Any, uns: Any) -> bool:
    """Tell whether a column holds numbers of categories, which are kept in uns."""
    node = uns.get(column + CATEGORIES)
    return getattr(getattr(values, "dtype", None), "kind", "") in "iu" and hasattr(node, "dtype")


def categorical(codes: Array, node: Any) -> pd.Categorical:
    """Name the categories of a column, which are kept in uns."""
    with format_errors("uns", "its categories cannot be read"):
        stored = np.atleast_1d(node[()])
    categories, codes = texts(stored) if stored.dtype.kind in "OSU" else stored, codes.astype(np.int64)
    if categories.ndim != 1 or stored.dtype.kind == "V":
        raise FormatError(f"its categories are no list: {stored.dtype} of shape {stored.shape}")
    if codes.size and (codes.min() < -1 or codes.max() >= len(categories)):
        raise FormatError(f"it names category {codes.max()}, but there are {len(categories)}")
    if len(np.unique(categories.astype(str))) < len(categories):
        raise FormatError("it has categories that occur twice")
    return pd.Categorical.from_codes(codes, pd.Index(categories))


def compound_arrays(records: Array) -> dict[str, Array]:
    """Split an array of records, as obsm and varm were stored, into arrays."""
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}
