"""One column of a small table, by name: labels and notes on cells or genes that somebody wrote down."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.io.formats.delimited import MISSING
from kithkin.io.formats.parquet import is_parquet
from kithkin.io.streams.textfile import TextFile, head
from kithkin.optional import need

DELIMITERS = "\t;,"
INTEGER = r"[+-]?(?:0|[1-9][0-9]{0,17})"  # what begins with a zero is a name, such as 007


def read_column(path: str | Path, column: str | None, known: pd.Index[str]) -> pd.Series[Any]:
    r"""A column of a CSV, TSV or Parquet file, with the names of the first column (or of the Parquet index).

    Parameters
    ----------
    path
        The file; text may be gzip.
    column
        Which column; None where there is only one beside the names.
    known
        Names that may occur: a text file whose first line begins with one of them has no header.

    Returns
    -------
    Series
        Integers, booleans or numbers where all values are, else texts; empty fields and NA are missing.

    Raises
    ------
    KithkinError
        If there is no such file.
    FormatError
        If it is not a table.
    ParameterError
        If it has no such column, or several and none is named.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = path.write_text("cell,type\na,T cell\nb,NA\n")
    >>> read_column(path, None, pd.Index(["a", "b"])).to_dict()
    {'a': 'T cell', 'b': None}
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise KithkinError(f"{path} {'is a folder, not a table' if path.is_dir() else 'does not exist'}")
    if is_parquet(path):
        return pick_column(_parquet(path), column, path.name)
    return _text_column(path, column, known)


def pick_column(table: pd.DataFrame, column: str | None, name: str) -> pd.Series[Any]:
    """A column of a table; None where there is only one.

    Examples
    --------
    >>> pick_column(pd.DataFrame({"age": [61, 58], "sex": ["f", "m"]}), "sex", "values").tolist()
    ['f', 'm']
    """
    found: pd.Series[Any] = table.iloc[:, _place([str(one) for one in table.columns], column, name)]
    return found


def _place(columns: Sequence[str], column: str | None, name: str) -> int:
    if column is not None and columns.count(column) == 1:
        return columns.index(column)
    if column is None and len(columns) == 1:
        return 0
    listed = ", ".join(columns[:10]) + (", ..." if len(columns) > 10 else "") if columns else "none"
    wrong = f"{column!r} is not one" if column is not None else "say with `on` which to take"
    raise ParameterError(f"{name} has {len(columns)} columns beside the names ({listed}): {wrong}")


def _parquet(path: Path) -> pd.DataFrame:
    arrow = need("pyarrow", "all", "reading Parquet")
    try:
        table: pd.DataFrame = need("pyarrow.parquet", "all", "reading Parquet").read_table(path).to_pandas()
    except (arrow.ArrowException, OSError) as error:
        raise FormatError(f"{path.name} is not a whole Parquet file: {str(error).splitlines()[0]}") from error
    numbered = isinstance(table.index, pd.RangeIndex) and len(table.columns) > 1
    return table.set_index(table.columns[0]) if numbered else table


def _text_column(path: Path, column: str | None, known: pd.Index[str]) -> pd.Series[Any]:
    lines = [line for line in head(path).decode("utf-8-sig", "replace").splitlines()[:16] if line.strip()]
    delimiter = next((mark for mark in DELIMITERS if lines and all(mark in line for line in lines[:-1] or lines)), None)
    if delimiter is None or "\0" in lines[0]:
        raise FormatError(
            f"{path.name} is not a table: it has no names and values set apart by tab, semicolon or comma"
        )
    rows = list(csv.reader(lines, delimiter=delimiter))
    first, width = [field.strip() for field in rows[0]], len(rows[min(1, len(rows) - 1)])
    has_header = first[0] not in known
    # R writes no header cell above the names
    columns = [str(k) for k in range(1, width)] if not has_header else first[1:] if len(first) == width else first
    wanted = [0, 1 + _place(columns, column, path.name)]
    settings: Any = {"header": None, "names": range(width)}
    try:
        with TextFile(path) as file:
            table = pd.read_csv(
                file,
                sep=delimiter,
                skiprows=int(has_header),
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                **settings,
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FormatError(f"{path.name} is not a whole table: {str(error).splitlines()[0]}") from error
    values = table[wanted[1]].fillna("").str.strip()
    return _typed(values.where(~values.isin(MISSING), None)).set_axis(pd.Index(table[0].str.strip()))


def _typed(texts: pd.Series[Any]) -> pd.Series[Any]:
    """The texts as integers, booleans or numbers where all that are not missing can be; else as they are."""
    present = texts.dropna()
    if not len(present):
        return texts
    if present.str.fullmatch(INTEGER).all():
        whole = pd.to_numeric(present).astype("Int64")
        return whole.reindex(texts.index)
    if present.isin(["True", "False", "TRUE", "FALSE", "true", "false"]).all():
        return present.str.lower().eq("true").astype("boolean").reindex(texts.index)
    numbers = pd.to_numeric(present, errors="coerce")
    leading = present.str.match(r"[+-]?0[0-9]").any()
    return texts if leading or numbers.isna().any() else numbers.astype(np.float64).reindex(texts.index)
