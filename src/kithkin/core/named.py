"""Values of the observations by a name: columns of obs, genes, and columns of the tables in obsm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.arrays import attributes
from kithkin.core.dataset import Dataset
from kithkin.core.keys import Key
from kithkin.core.query import names_of

NAMES = ("index", "obs_names", "var_names")  # what the names of rows are called in a condition


def named_values(ds: Dataset, name: str) -> tuple[str, pd.Series[Any]] | None:
    """Find one value for each observation by a name, and the key that it is read from; None if there is none.

    Parameters
    ----------
    ds
        The dataset.
    name
        A column of obs ("n_genes"), a gene ("CD3D"; X as it is), a column of a table in obsm ("CD3_TotalSeqB"), or such
        a column with its key ("obsm/Antibody Capture/CD3_TotalSeqB", "obsm/X_pca/0").

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obsm/Antibody Capture"] = pd.DataFrame({"CD3": [5, 0, 2]}, index=ds.obs_names)
    >>> named_values(ds, "CD3")[0], named_values(ds, "obsm/Antibody Capture/CD3")[1].tolist(), named_values(ds, "1")[0]
    ('obsm/Antibody Capture', [5, 0, 2], 'X')
    """
    place = name.partition("/")[0]
    present = ds.keys()
    own = name if place == "obs" else f"obs/{name}"
    if own in present:
        return own, ds.read(own)
    tables = [key for key in present if key.startswith("obsm/")]
    if place == "obsm":
        held = [(key, name.removeprefix(f"{key}/")) for key in tables if name.startswith(f"{key}/")]
        return next((found for key, column in held if (found := _of_table(ds, key, column)) is not None), None)
    wanted = pd.Index([name], dtype=object)
    if max(int(known.get_indexer(wanted)[0]) for known in (ds.var_names, ds.var_labels) if known.is_unique) >= 0:
        return "X", pd.Series(ds.genes([name])[:, 0], index=ds.obs_names, name=name)
    frames = (key for key in tables if name in attributes(ds.path, key).get("column-order", []))
    return next((found for key in frames if (found := _of_table(ds, key, name)) is not None), None)


def columns_of_tables(ds: Dataset) -> list[str]:
    """List the columns of the tables in obsm, with their keys.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obsm/Antibody Capture"] = pd.DataFrame({"CD3": [5, 0, 2]}, index=ds.obs_names)
    >>> columns_of_tables(ds)
    ['obsm/Antibody Capture/CD3']
    """
    tables = [key for key in ds.keys() if key.startswith("obsm/")]  # noqa: SIM118
    return [f"{key}/{column}" for key in tables for column in attributes(ds.path, key).get("column-order", [])]


def _of_table(ds: Dataset, key: str, column: str) -> tuple[str, pd.Series[Any]] | None:
    table = ds.read(key)
    if isinstance(table, pd.DataFrame):
        return (key, table[column].set_axis(ds.obs_names)) if column in table.columns else None
    if not column.isdigit() or int(column) >= table.shape[1]:
        return None
    values = table[:, int(column)]
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return key, pd.Series(values.ravel(), index=ds.obs_names, name=f"{Key.parse(key).name}[{column}]")


def with_named(ds: Dataset, frame: pd.DataFrame, query: str, place: str = "obs") -> tuple[pd.DataFrame, list[str]]:
    """Add what a condition names beside the columns of obs or var, and list the keys that it reads.

    `index` are the names of the rows; on observations also genes and columns of tables in obsm, as `named_values`
    finds them.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> from kithkin.core.query import select
    >>> frame, keys = with_named(ds, ds.obs, "n_counts > 0 and (`1` > 0 or index == '2')")
    >>> select(frame, "`1` > 0 or index == '2'").tolist(), keys
    ([False, True, True], ['obs/n_counts', 'X'])
    """
    frame, keys = frame.copy(deep=False), []
    for name in names_of(query):
        if name in frame.columns:
            keys.append(f"{place}/{name}")
        elif name in NAMES:
            frame[name] = frame.index
        elif place == "obs" and (found := named_values(ds, name)) is not None:
            frame[name] = found[1].to_numpy() if isinstance(found[1].dtype, np.dtype) else found[1].array
            keys.append(found[0])
    return frame, list(dict.fromkeys(keys))
