"""AnnData files of before 2019: compound tables, categories kept in uns, raw spelt "raw.X"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.annotation import texts


def compound_frame(records: Array, uns: Any) -> pd.DataFrame:
    """Convert an array of records to a table.

    The field "index" or "_index" (else the first one) names the rows. `uns` may hold the categories of column c as
    "c_categories".
    """
    fields = list(records.dtype.names or ())
    index = next((field for field in ("index", "_index") if field in fields), fields[0])
    columns: dict[str, Any] = {}
    for field in fields:
        values, key = records[field], f"{field}_categories"
        if values.ndim > 1:
            raise FormatError(f"column {field} has {values.ndim} dimensions")
        if field == index:
            continue
        columns[field] = texts(values) if values.dtype.kind in "OSU" else values
        if uns is not None and key in uns and values.dtype.kind in "iu" and hasattr(uns[key], "dtype"):
            stored = np.atleast_1d(uns[key][()])
            categories = texts(stored) if stored.dtype.kind in "OSU" else stored
            codes = values.astype(np.int64)
            if codes.size and (codes.min() < -1 or codes.max() >= len(categories)):
                raise FormatError(f"column {field} names category {codes.max()}, but there are {len(categories)}")
            if len(np.unique(categories.astype(str))) < len(categories):
                raise FormatError(f"column {field} has categories that occur twice")
            columns[field] = pd.Categorical.from_codes(codes, pd.Index(categories))
    return pd.DataFrame(columns, index=pd.Index(texts(records[index]), dtype=object))


def compound_arrays(records: Array) -> dict[str, Array]:
    """Split an array of records, as obsm and varm were stored, into arrays."""
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}


def raw_parts(root: Any) -> dict[str, Any]:
    """Map the new names of the nodes of raw (X, var, varm) to the nodes; empty if there is no raw."""
    parts = {part: root[f"raw.{part}"] for part in ("X", "var", "varm") if f"raw.{part}" in root}
    group = root.get("raw")
    if group is not None and not hasattr(group, "dtype"):
        parts |= {part: group[part] for part in ("X", "var", "varm") if part in group}
    return parts if "X" in parts else {}
