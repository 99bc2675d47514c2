"""What AnnData files of before 2019 did differently: compound tables, categories kept in uns, raw spelt "raw.X"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.annotation import texts


def compound_frame(records: Array, uns: Any) -> pd.DataFrame:
    """A table that was stored as an array of records.

    Parameters
    ----------
    records
        Structured array; the field "index" or "_index" (else the first one) names the rows.
    uns
        Group that may hold the categories of column c as "c_categories".

    Examples
    --------
    >>> records = np.array([(b"a", 1), (b"b", 0)], [("index", "S1"), ("kind", "i1")])
    >>> compound_frame(records, {"kind_categories": np.array([b"T", b"B"])})["kind"].tolist()
    ['B', 'T']
    """
    fields = list(records.dtype.names or ())
    index = next((field for field in ("index", "_index") if field in fields), fields[0])
    columns = {field: _column(records[field], field, uns) for field in fields if field != index}
    return pd.DataFrame(columns, index=pd.Index(texts(records[index]), dtype=object))


def _column(values: Array, field: str, uns: Any) -> Any:
    key = f"{field}_categories"
    if uns is not None and key in uns and values.dtype.kind in "iu":
        stored = np.atleast_1d(uns[key][()])
        categories = texts(stored) if stored.dtype.kind in "OSU" else stored
        codes = values.astype(np.int64)
        if codes.size and (codes.min() < -1 or codes.max() >= len(categories)):
            raise FormatError(f"column {field} names category {codes.max()}, but there are {len(categories)}")
        return pd.Categorical.from_codes(codes, pd.Index(categories))
    return texts(values) if values.dtype.kind in "OSU" else values


def compound_arrays(records: Array) -> dict[str, Array]:
    """The arrays of an obsm or varm that was stored as an array of records.

    Examples
    --------
    >>> records = np.zeros(2, [("X_pca", "f4", (3,))])
    >>> compound_arrays(records)["X_pca"].shape
    (2, 3)
    """
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}


def raw_parts(root: Any) -> dict[str, Any]:
    """The nodes of raw by their new names (X, var, varm), whichever way they are stored; empty if there is no raw.

    Examples
    --------
    >>> sorted(raw_parts({"raw.X": 1, "raw.var": 2, "X": 3}))
    ['X', 'var']
    """
    found = {part: root[f"raw.{part}"] for part in ("X", "var", "varm") if f"raw.{part}" in root}
    group = root.get("raw")
    if group is not None and not hasattr(group, "dtype"):
        found |= {part: group[part] for part in ("X", "var", "varm") if part in group}
    return found if "X" in found else {}
