"""Tables for other programs: written whole to a file or a pipe, where a terminal shows their head."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kithkin.core.errors import ParameterError
from kithkin.core.files import whole
from kithkin.core.tables import FORMATS, table_of, with_symbols, write_table
from kithkin.optional import need

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset


def gives_table(function: Callable[..., Any]) -> bool:
    """Check by the type that it returns whether a function gives a table, a column, or a table with its annotations.

    Examples
    --------
    >>> gives_table(check_form)
    False
    """
    returned = str(getattr(function, "__annotations__", {}).get("return", ""))
    return any(name in returned for name in ("DataFrame", "Series", "AnnData", "Means"))


def check_form(form: str | None, output: str | None) -> None:
    """Refuse Parquet on standard output."""
    if form == "parquet" and output is None:
        raise ParameterError("--format parquet needs a file: add --output FILE")


def plain_table(result: Any) -> Any:
    """Give the table of a result that has annotations beside it, and any other result as it is."""
    return table_of(result) if hasattr(result, "to_df") else result


def is_whole(result: Any, form: str | None) -> bool:
    """Tell whether standard output gets all rows: of a table where it is no terminal, else where a form is named.

    A table with a text, such as the sentences of describe, is that text unless a form is named.
    """
    import pandas as pd  # the help does without it

    table = isinstance(result, pd.DataFrame) and not sys.stdout.isatty() and "text" not in result.attrs
    return table or (form is not None and isinstance(result, (pd.DataFrame, pd.Series)))


def write_whole(result: Any, ds: Dataset | None, form: str | None, output: str | None) -> None:
    """Write a table or a column to a file, in the form that was named or that its name says, or to standard output."""
    import pandas as pd

    if not isinstance(result, (pd.DataFrame, pd.Series)):
        raise ParameterError("--output is for a table, and this command gave none: leave it out")
    table = result.to_frame() if isinstance(result, pd.Series) else result
    if ds is not None:
        table = with_symbols(table, ds.var_names, ds.var_labels)
    if output is None:
        write_table(table, form or "tsv", sys.stdout)
        sys.stdout.flush()
        return
    suffix = Path(output).suffix[1:].lower()
    if form is None and suffix not in FORMATS:
        raise ParameterError(f"--output must end in .tsv, .csv, .json or .parquet, or add --format, got {output!r}")
    form = form or suffix
    if form == "parquet":
        need("pyarrow", "all", "--format parquet")
    with whole(output, overwrite=True) as staged:
        write_table(table, form, staged)
