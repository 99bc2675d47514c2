"""Add columns to obs or var, from a list, array, Series, mapping, file or constant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from natsort import natsorted

from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, brief, check
from kithkin.core.history import Step, digest, fingerprint
from kithkin.core.keys import Key
from kithkin.core.suggest import did_you_mean
from kithkin.io.formats.column import pick_column, read_columns
from kithkin.io.streams.annotation import plain_frame
from kithkin.verbs.arguments.labels import few, label_texts, log

NULLABLE: dict[str, Any] = {"b": "boolean", "i": "Int64", "u": "UInt64"}
TABLES = (".csv", ".tsv", ".txt", ".tab", ".parquet", ".gz")  # endings of a text that is meant as the path of a table


def annotate(
    ds: Dataset,
    column: str | Any,
    values: str | Any = None,
    *,
    by: str | None = None,
    on: str | None = None,
    key: str | None = "auto",
) -> pd.Series[Any] | pd.DataFrame:
    """Add a column to obs or var, from values, or all columns of a table.

    Values with names, such as those of a file with names in its first column, go by name: where a name is lacking the
    value is missing, and a note says so; so it does where a table names more than the dataset holds. Values without
    names go by position. Texts that repeat become categories in natural order, 2 before 10. Whole numbers stay numbers;
    figures and the page draw them as classes where none is negative, each stands in two rows or more, and there are at
    most 20 of them, or 100 that count up from 0 or 1 without a gap. Texts or categories have other numbers drawn as
    classes, and floating-point numbers have them drawn on a scale.

    Parameters
    ----------
    ds
        The dataset.
    column
        Column to write, such as "obs/celltype" or "var/pathway"; in obs where no place is given. Without `values` a
        table or its path, of which every column is added.
    values
        Path of a CSV, TSV or Parquet file, or a constant. In Python also a list, array, Series, DataFrame or mapping.
    by
        Column of obs or var whose labels the values are named by, such as "obs/leiden" for a name for each cluster, or
        "obs/sample" for a table of samples; the names of the observations or variables by default.
    on
        Column of the file or table to take, where it has several.
    key
        Key under which the result is stored; without one it is only returned. "auto": the column itself.

    Returns
    -------
    Series or DataFrame
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
    >>> annotate(ds, "obs/age", {"x": 61, "y": 58}, by="donor").tolist()
    [61, 58, 61]
    >>> annotate(ds, pd.DataFrame({"sex": ["f", "m"], "batch": [1, 2]}, index=["x", "y"]), by="donor")["sex"].tolist()
    ['f', 'm', 'f']
    """
    if values is None:
        return _annotate_all(ds, column, by, on, key)
    check(isinstance(column, str), f"column must be the name of a column, such as 'obs/celltype', got {brief(column)}")
    own = Key.parse(column, "obs", "var", option="column")
    target, place = Key.of(None if key == "auto" else key, str(own)), own.place
    source = f"file {values}" if _is_path(values) else type(values).__name__
    names, where, inputs = _names_of(ds, place, by)
    if isinstance(values, pd.DataFrame) or _is_path(values):
        table = _table_of(values, names, by)
        name = Path(values).name if _is_path(values) else "values"
        series = _by_name(pick_column(table, on, name), names, where, by is not None)
    else:
        check(on is None, "on has an effect on files and tables only")
        if isinstance(values, (str, bool, int, float, np.generic)):
            series = pd.Series([values] * len(names))
        elif isinstance(values, Mapping):
            given = _series(list(values.values())).set_axis(pd.Index(list(values), dtype=object))
            if by is not None:
                _check_labels(given.index, names, where)
            series = _by_name(given, names, where, by is not None)
        elif isinstance(values, pd.Series):
            series = _by_name(values, names, where, by is not None)
        else:
            check(by is None, f"by has an effect on values with names: give a mapping, got {type(values).__name__}")
            series = _by_position(values, names, where)
    series = _tidy(series.set_axis(ds.obs_names if place == "obs" else ds.var_names)).rename(target.name)
    step = _step({str(target): series}, {"source": source, "on": on} | ({"by": by} if by else {}), inputs)
    return ds.result(step, lambda: {str(target): series}, store=key is not None)  # type: ignore[no-any-return]


def _annotate_all(ds: Dataset, source: Any, by: str | None, on: str | None, key: str | None) -> pd.DataFrame:
    """Add every column of a table."""
    check(
        on is None and key in ("auto", None), "on and key have an effect on a single column: name it, as in 'obs/age'"
    )
    place = "obs" if by is None else Key.parse(by, "obs", "var", option="by").place
    if not isinstance(source, pd.DataFrame) and not _is_path(source):
        advice = f"annotate(ds, {source!r}, values)" if isinstance(source, str) else "annotate(ds, 'obs/name', values)"
        raise ParameterError(f"annotate needs values for a column, as in {advice}, or a table, got {source!r} alone")
    names, where, inputs = _names_of(ds, place, by)
    table = _table_of(source, names, by)
    table = table.set_axis([name.replace("/", "-") for name in map(str, table.columns)], axis=1)
    check(
        bool(len(table.columns)) and table.columns.is_unique, "values must be a table whose columns have unique names"
    )
    rows = ds.obs_names if place == "obs" else ds.var_names
    added = {
        str(Key(place, name)): _tidy(_by_name(table[name], names, where, by is not None).set_axis(rows)).rename(name)
        for name in table.columns
    }
    about = {"source": f"file {source}" if _is_path(source) else "DataFrame", "on": None} | ({"by": by} if by else {})
    found = ds.results(_step(added, about, inputs), lambda: added, store=key is not None)
    return pd.DataFrame({column.name: column for column in found.values()}, index=rows)


def _step(columns: Mapping[str, pd.Series[Any]], about: dict[str, Any], inputs: tuple[str, ...]) -> Step:
    """Describe the step, and note the values that are missing."""
    content: list[str] = []
    missing = {target: int(series.isna().sum()) for target, series in columns.items()}
    for target, series in columns.items():
        kind = [*series.cat.categories, series.cat.ordered] if isinstance(series.dtype, pd.CategoricalDtype) else []
        content.append(digest([series.dtype.name, list(map(str, kind)), fingerprint(series)]))
        if missing[target]:
            log.warning("%s of %s values of %s are missing", f"{missing[target]:,}", f"{len(series):,}", target)
    single = len(content) == 1
    parameters = about | {
        "missing": sum(missing.values()),
        "values": content[0] if single else content,
    }
    return Step("annotate", 1, parameters, inputs, tuple(columns))


def _is_path(values: Any) -> bool:
    """Tell whether values are the path of a table, and no constant text."""
    if isinstance(values, str):
        return values.lower().endswith(TABLES) or "/" in values or Path(values).expanduser().is_file()
    return isinstance(values, Path)


def _names_of(ds: Dataset, place: str, by: str | None) -> tuple[pd.Index[str], str, tuple[str, ...]]:
    """Return the names that values go by, one for each row; words for them; and the keys that are read."""
    if by is None:
        return (ds.obs_names if place == "obs" else ds.var_names), f"{place} of {ds.name}", ()
    key = Key.parse(by, place, option="by")
    return pd.Index(label_texts(ds.read(str(key))), dtype=object), f"{key} of {ds.name}", (str(key),)


def _table_of(values: Any, names: pd.Index[str], by: str | None) -> pd.DataFrame:
    """Read a table by the names in its first column or, where there is one, in the column that is called like `by`."""
    if not isinstance(values, pd.DataFrame):
        values = read_columns(values, pd.Index(names.dropna().unique()))
    column = by.rpartition("/")[2] if by else ""
    return values.set_index(column) if column in values.columns else values  # type: ignore[no-any-return]


def _check_labels(labels: pd.Index[Any], names: pd.Index[str], where: str) -> None:
    """Refuse a mapping of labels that do not occur."""
    there = [str(name) for name in natsorted(names.dropna().unique())]
    unknown = [str(label) for label in labels if str(label) not in there]
    near = did_you_mean(unknown[0], there) if unknown else ""
    check(not unknown, f"{where} has no label {few(unknown)}{near or ': there are ' + few(there)}")


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


def _by_name(given: pd.Series[Any], names: pd.Index[str], where: str, joined: bool = False) -> pd.Series[Any]:
    """Bring values into the order of names; where they are `joined` a name stands for many rows."""
    own = pd.Index(label_texts(given.index.to_series()) if joined else given.index.astype(str), dtype=object)
    known = own.isin(names)
    twice = own[own.duplicated() & known].unique()
    check(not len(twice), f"values name {few(twice)} more than once")
    unknown = own[~known]
    if known.any() and (joined or len(own) > len(names)):  # a table of all cells or samples, for those that were kept
        if len(unknown):
            log.warning("%s names of values are not in %s, and were left out", f"{len(unknown):,}", where)
        given, own, unknown = given[known], own[known], unknown[:0]
    hint = ". Give an array to go by position" if len(unknown) and len(own) == len(names) else ""
    near = did_you_mean(str(unknown[0]), names.dropna().unique()) if len(unknown) and not hint else hint
    check(not len(unknown), f"{len(unknown)} names of values are not in {where}: {few(unknown)}{near}")
    kind = given.dtype.kind if isinstance(given.dtype, np.dtype) else ""
    if kind in NULLABLE and not names.isin(own).all():
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
