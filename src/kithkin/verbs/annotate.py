"""Add a column to obs or var, from a list, array, Series, mapping or file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from natsort import natsorted

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step, digest, fingerprint
from kithkin.core.keys import Key
from kithkin.io.formats.column import pick_column, read_column
from kithkin.io.streams.annotation import plain_frame
from kithkin.verbs.arguments.labels import few, log

NULLABLE: dict[str, Any] = {"b": "boolean", "i": "Int64", "u": "UInt64"}


def annotate(
    ds: Dataset, column: str, values: str | Any, *, on: str | None = None, key: str | None = "auto"
) -> pd.Series[Any]:
    """Add a column to obs or var, from values in memory or a file.

    Values with names (of a pandas object, of a file with names in its first column) go by name: where a name is
    lacking the value is missing, and a note says so. Values without names go by position. Texts that repeat become
    categories in natural order, 2 before 10.

    Parameters
    ----------
    ds
        The dataset.
    column
        Column to write, such as "obs/celltype" or "var/pathway"; in obs where no place is given.
    values
        The values, or the path of a CSV, TSV or Parquet file.
    on
        Column of the file or table to take, where it has several.
    key
        Key under which the result is stored; without one it is only returned. "auto": the column itself.

    Returns
    -------
    Series
        One value for each observation (or variable), in the order of the dataset.

    Raises
    ------
    ParameterError
        If the number of values is wrong, a name is unknown or occurs twice, or `on` names no column.
    FormatError
        If the file is not a table.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> annotate(ds, "donor", ["x", "y", "x"]).cat.categories.tolist()
    ['x', 'y']
    >>> annotate(ds, "obs/age", {"0": 61, "2": 58}).tolist()
    [61, <NA>, 58]
    """
    own = Key.parse(column, "obs", "var", option="column")
    target, place = Key.of(None if key == "auto" else key, str(own)), own.place
    names = ds.obs_names if place == "obs" else ds.var_names
    source = f"file {values}" if isinstance(values, (str, Path)) else type(values).__name__
    where, named = f"{place} of {ds.name}", isinstance(values, (pd.Series, Mapping))
    if isinstance(values, (str, Path)):
        series = _by_name(read_column(values, on, names), names, where)
    elif isinstance(values, pd.DataFrame):
        series = _by_name(pick_column(values, on, "values"), names, where)
    else:
        check(on is None, "on has an effect on files and tables only")
        if isinstance(values, Mapping):
            values = _series(list(values.values())).set_axis(pd.Index(list(values), dtype=object))
        series = _by_name(values, names, where) if named else _by_position(values, names, where)
    series = _tidy(series).rename(target.name)
    n_missing = int(series.isna().sum())
    kind = [*series.cat.categories, series.cat.ordered] if isinstance(series.dtype, pd.CategoricalDtype) else []
    content = digest([series.dtype.name, list(map(str, kind)), fingerprint(series)])
    parameters = {"source": source, "on": on, "missing": n_missing, "values": content}
    if n_missing:
        log.warning("%s of %s values of %s are missing", f"{n_missing:,}", f"{len(names):,}", str(target))
    step = Step("annotate", 1, parameters, (), (str(target),))
    return ds.result(step, lambda: {str(target): series}, store=key is not None)  # type: ignore[no-any-return]


def _series(values: Any) -> pd.Series[Any]:
    # pandas' own guess makes 1.0 of an integer beside a missing value
    return pd.Series(pd.array(values) if isinstance(values, (list, tuple)) and len(values) else values)


def _by_position(values: Any, names: pd.Index[str], where: str) -> pd.Series[Any]:
    if isinstance(values, Iterable) and not hasattr(values, "__len__"):
        values = list(values)
    rows = isinstance(values, Iterable) and not isinstance(values, (set, frozenset, bytes))
    check(rows, f"values must be a list, array, Series, mapping or path of a file, got {type(values).__name__}")
    shape = np.shape(values) if hasattr(values, "shape") else (len(values),)
    check(
        shape == (len(names),),
        f"values must be {len(names)}, one for each row of {where}, got {' x '.join(map(str, shape)) or 'one'}",
    )
    return _series(values).set_axis(names)


def _by_name(given: pd.Series[Any], names: pd.Index[str], where: str) -> pd.Series[Any]:
    own = pd.Index(given.index.astype(str).to_numpy(dtype=object), dtype=object)
    known = own.isin(names)
    twice = own[own.duplicated() & known].unique()
    check(not len(twice), f"values name {few(twice)} more than once")
    unknown = own[~known]
    if len(own) > len(names) and 2 * known.sum() >= len(names):  # a table of all cells, for those that were kept
        log.warning("%s names of values are not in %s, and were left out", f"{len(unknown):,}", where)
        given, own, unknown = given[known], own[known], unknown[:0]
    hint = ". Give an array to go by position" if len(unknown) and len(own) == len(names) else ""
    check(not len(unknown), f"{len(unknown)} names of values are not in {where}: {few(unknown)}{hint}")
    kind = given.dtype.kind if isinstance(given.dtype, np.dtype) else ""
    if kind in NULLABLE and len(own) < len(names):
        given = pd.Series(pd.array(given.to_numpy(), NULLABLE[kind]))
    return given.set_axis(own).reindex(names)


def _tidy(series: pd.Series[Any]) -> pd.Series[Any]:
    """The column in a form that is plain on disk; texts that repeat, or some of which are missing, as categories."""
    if not isinstance(series.dtype, (np.dtype, pd.CategoricalDtype)) or series.dtype == object:
        series = series.convert_dtypes(convert_floating=False, dtype_backend="numpy_nullable")
    if pd.api.types.is_float_dtype(series.dtype):
        return pd.Series(series.to_numpy(np.float64, na_value=np.nan), index=series.index)
    if isinstance(series.dtype, pd.BooleanDtype) or pd.api.types.is_integer_dtype(series.dtype):
        plain = not isinstance(series.dtype, np.dtype) and not series.isna().any()
        return series.astype(series.dtype.numpy_dtype) if plain else series  # type: ignore[union-attr]
    column = plain_frame(series.to_frame("values"))["values"].set_axis(series.index)
    if isinstance(series.dtype, (np.dtype, pd.StringDtype)) and column.dtype.kind == "O":
        known = column.dropna().astype(object).unique()
        if len(known) < len(column):
            return column.astype(object).astype(pd.CategoricalDtype(pd.Index(natsorted(known), dtype=object)))
    return column
