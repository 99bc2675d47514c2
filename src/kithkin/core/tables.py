"""Tables as text and as Parquet, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

import pandas as pd

FORMATS = ("tsv", "csv", "json", "parquet")
SEPARATORS = {"tsv": "\t", "csv": ","}
NAME = "name"  # heading of the names of rows, where they have none


def write_table(table: pd.DataFrame, form: str, to: TextIO | Path) -> None:
    """Write a table whole; the names of its rows become the first column, numbers of rows are left out.

    Parameters
    ----------
    table
        The table.
    form
        "tsv", "csv", "json" (a list of one object a row, missing values as null) or "parquet".
    to
        An open text file, or the path of a file; Parquet needs a path.

    Examples
    --------
    >>> import sys
    >>> write_table(pd.DataFrame({"gene": ["CD3E"], "score": [2.5]}, index=["T"]), "csv", sys.stdout)
    name,gene,score
    T,CD3E,2.5
    """
    if table.index.dtype.kind != "i" or isinstance(table.index, pd.MultiIndex):
        table = table.reset_index(names=[name or NAME for name in table.index.names])
    target: Any = to
    if form in SEPARATORS:
        table.to_csv(target, sep=SEPARATORS[form], index=False)
    elif form == "json":
        table.to_json(target, orient="records", date_format="iso", double_precision=15)
    else:
        table.to_parquet(target, index=False)
