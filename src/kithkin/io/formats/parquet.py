"""Parquet files: the kinds of their columns, and their rows in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.errors import FormatError
from kithkin.io.formats.dialect import names_rows
from kithkin.io.streams.table_chunk import TableChunk, stack_columns
from kithkin.optional import need

MAGIC = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Tell whether a file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


class Parquet:
    """A Parquet file; needs pyarrow.

    `columns` are the names of the columns of numbers, `notes` the decisions that were taken, one sentence each. Raises
    FormatError if it is damaged, or has no rows or no column of numbers; KithkinError if pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name, self.notes = path, path.name, list[str]()
        self._arrow = need("pyarrow", "all", "reading Parquet")
        file = self._open()
        schema = file.schema_arrow
        index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
        self._index = index[0] if len(index) == 1 else None
        kinds = {name: schema.field(k).type for k, name in enumerate(schema.names)}
        if len(kinds) < len(schema.names):
            raise FormatError(f"{self.name} has two columns of the same name")
        types = self._arrow.types
        if self._index is None and kinds:
            first = next(iter(kinds))
            text = types.is_string(kinds[first]) or types.is_large_string(kinds[first])
            if text or (types.is_integer(kinds[first]) and names_rows(first)):
                names = file.read([first]).column(0)
                distinct = not names.null_count and len(names.unique()) == len(names)
                self._index = first if distinct and (names_rows(first) or text) else None
                if self._index is not None:
                    self.notes.append(f"the first column of {self.name}, {first!r}, was taken for names")
        self.columns = [
            name
            for name, kind in kinds.items()
            if (types.is_integer(kind) or types.is_floating(kind)) and name != self._index
        ]
        known = {*self.columns, self._index}
        self._others = [name for name in kinds if name not in known]
        self._n_rows = int(file.metadata.num_rows)
        file.close()
        if not self._n_rows:
            raise FormatError(f"{self.name} has no rows")
        if not self.columns:
            raise FormatError(f"{self.name} has no columns of numbers")

    def _open(self) -> Any:
        try:
            return need("pyarrow.parquet", "all", "reading Parquet").ParquetFile(self._path, pre_buffer=False)
        except (self._arrow.ArrowException, OSError) as error:
            raise FormatError(f"{self.name} is not a whole Parquet file: {str(error).splitlines()[0]}") from error

    def chunks(self, rows: int) -> Iterator[TableChunk]:
        """Stream the table in chunks of at most so many rows.

        Raises FormatError at a missing value in a column of numbers, or where the file is damaged.
        """
        file, start = self._open(), 0
        try:
            # a name is looked up in linear time, and there may be very many
            number = {name: k for k, name in enumerate(file.schema_arrow.names)}
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                columns = []
                for name in self.columns:
                    column = batch.column(number[name])
                    columns.append(column.to_numpy(zero_copy_only=False))
                    missing = np.asarray(column.is_null()) if column.null_count else None
                    if columns[-1].dtype.kind == "f" and missing is None:
                        missing = ~np.isfinite(columns[-1])
                    if missing is not None and missing.any():
                        row = start + int(missing.argmax())
                        raise FormatError(
                            f"{self.name}: row {row} has no number in column {name!r}, which holds numbers"
                        )
                values = stack_columns(columns, self.name)
                others = {name: batch.column(number[name]).to_pandas().to_numpy() for name in self._others}
                index = None if self._index is None else batch.column(number[self._index]).to_pylist()
                names = None if index is None else [str(item) for item in index]
                yield TableChunk(names, values, pd.DataFrame(others, index=range(len(values))))
                start += len(values)
        except (self._arrow.ArrowException, OSError) as error:
            raise FormatError(f"{self.name} is damaged behind row {start}: {str(error).splitlines()[0]}") from error
        finally:
            file.close()

    def row_names(self) -> list[str]:
        """Read the names of all rows."""
        if self._index is None:
            return [str(number) for number in range(self._n_rows)]
        file = self._open()
        try:
            return [str(item) for item in file.read([self._index]).column(0).to_pylist()]
        finally:
            file.close()
