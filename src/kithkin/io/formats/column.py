"""One column of a small table, by name, such as cell types in a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.io.formats.dialect import find_dialect
from kithkin.io.formats.numerals import MISSING, is_number
from kithkin.io.formats.parquet import is_parquet
from kithkin.io.streams.textfile import TextFile
from kithkin.optional import need

DELIMITERS = "\t;,"  # without the space, which stands in names such as "T cell"
INTEGER = r"[+-]?(?:0|[1-9][0-9]{0,17})"  # what begins with a zero is a name, such as 007


def read_column(path: str | Path, column: str | None, known: pd.Index[str]) -> pd.Series[Any]:
    r"""Read a column of a CSV, TSV or Parquet file, with the names of the first column (or of the Parquet index).

    `column` is None if there is only one beside the names. Raises as `read_columns`, and ParameterError if there is no
    such column, or several and none is named.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = path.write_text("cell,type\na,T cell\nb,NA\n")
    >>> read_column(path, None, pd.Index(["a", "b"])).to_dict()
    {'a': 'T cell', 'b': None}
    """
    return pick_column(read_columns(path, known), column, Path(path).name)


def read_columns(path: str | Path, known: pd.Index[str]) -> pd.DataFrame:
    """Read all columns of a CSV, TSV or Parquet file, with the names of the first column (or of the Parquet index).

    Text may be gzip. A text file whose first line begins with one of the `known` names has no header. Returns integers,
    booleans or numbers where all values are, else texts; empty fields and NA are missing. Raises KithkinError if there
    is no such file; FormatError if it is not a table.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise KithkinError(f"{path} {'is a folder, not a table' if path.is_dir() else 'does not exist'}")
    if is_parquet(path):
        arrow = need("pyarrow", "all", "reading Parquet")
        try:
            table: pd.DataFrame = need("pyarrow.parquet", "all", "reading Parquet").read_table(path).to_pandas()
        except (arrow.ArrowException, OSError) as error:
            raise FormatError(f"{path.name} is not a whole Parquet file: {str(error).splitlines()[0]}") from error
        numbered = isinstance(table.index, pd.RangeIndex) and len(table.columns) > 1
        return table.set_index(table.columns[0]) if numbered else table
    dialect = find_dialect(path, DELIMITERS)
    if dialect is None:
        raise FormatError(
            f"{path.name} is not a table: it has no names and values set apart by tab, semicolon or comma"
        )
    has_header = dialect.first[0].strip() not in known
    columns = dialect.header[1:] if has_header else [str(k) for k in range(1, dialect.width)]
    last = [row[-1].strip() for row in dialect.rows if len(row) == dialect.width]
    if has_header and columns[-1] == "" and not any(last):  # lines end in a delimiter
        columns.pop()
    numbers: Any = range(dialect.width)
    try:
        with TextFile(path) as file:
            table = pd.read_csv(
                file,
                sep=dialect.delimiter,
                header=None,
                names=numbers,
                skiprows=dialect.n_before + has_header,
                dtype=str,
                keep_default_na=False,
            )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FormatError(f"{path.name} is not a whole table: {str(error).splitlines()[0]}") from error
    found: list[pd.Series[Any]] = []
    for position in range(1, 1 + len(columns)):
        values = table[position].fillna("").str.strip()
        values = values.where(~values.isin(MISSING), None)
        if dialect.decimal == "," and all(is_number(text, ",") for text in values.dropna()):
            values = values.str.replace(",", ".")
        found.append(_convert(values))
    names = pd.Index(table[0].str.strip(), name=dialect.header[0].strip() if has_header else None)
    return pd.concat(found, axis=1).set_axis(columns, axis=1).set_axis(names) if found else pd.DataFrame(index=names)


def pick_column(table: pd.DataFrame, column: str | None, name: str) -> pd.Series[Any]:
    """Return a column of a table; the only one if `column` is None."""
    values: pd.Series[Any] = table.iloc[:, _position([str(one) for one in table.columns], column, name)]
    return values


def _position(columns: Sequence[str], column: str | None, name: str) -> int:
    if column is not None and columns.count(column) == 1:
        return columns.index(column)
    if column is None and len(columns) == 1:
        return 0
    listed = ", ".join(columns[:10]) + (", ..." if len(columns) > 10 else "") if columns else "none"
    wrong = f"{column!r} is not one" if column is not None else "choose one of them with on="
    raise ParameterError(f"{name} has {len(columns)} columns beside the names ({listed}): {wrong}")


def _convert(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Convert texts to integers, booleans or numbers if all that are not missing can be."""
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
