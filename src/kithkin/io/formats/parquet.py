"""Parquet files: the kinds of their columns, and their rows in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.errors import FormatError
from kithkin.io.formats.chosen import Chosen, counts_up
from kithkin.io.formats.dialect import names_rows
from kithkin.io.formats.pixel_names import pixel_columns
from kithkin.io.streams.annotation import texts
from kithkin.io.streams.table_chunk import TableChunk, stack_columns
from kithkin.optional import need

MAGIC = b"PAR1"
SAMPLE_ROWS = 1000  # rows by which columns that count are told


def is_parquet(path: Path) -> bool:
    """Tell whether a file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


class Parquet:
    """A Parquet file; needs pyarrow.

    `columns` are the names of the columns of numbers, `counted` is that of the names, if they are numbers that count
    the rows, and `notes` the decisions that were taken, one sentence each. With `transpose` its rows are genes. Raises
    FormatError if it is damaged, or has no rows or no column of numbers; ParameterError if it has no column of a name
    that was chosen; KithkinError if pyarrow is not installed.
    """

    def __init__(self, path: Path, chosen: Chosen | None = None, *, transpose: bool = False) -> None:
        chosen = Chosen() if chosen is None else chosen
        self._path, self.name, self.notes = path, path.name, list[str]()
        self.counted: str | None = None
        self._arrow = need("pyarrow", "all", "reading Parquet")
        file = self._open()
        schema = file.schema_arrow
        index = [name for name in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)]
        self._index = index[0] if len(index) == 1 else None
        kinds = {name: schema.field(k).type for k, name in enumerate(schema.names)}
        if len(kinds) < len(schema.names):
            raise FormatError(f"{self.name} has two columns of the same name")
        types = self._arrow.types
        names, kept = list(kinds), chosen.mask(list(kinds), self.name)
        position = chosen.position(names, self.name)
        if position is not None:
            self._index = names[position]
        elif self._index is None and kinds:
            first = next(iter(kinds))
            text = self._is_text(kinds[first])
            if text or (types.is_integer(kinds[first]) and names_rows(first)):
                column = file.read([first]).column(0)
                distinct = not column.null_count and len(column.unique()) == len(column)
                self._index = first if distinct and (names_rows(first) or text) else None
                if self._index is not None:
                    self.notes.append(f"the first column of {self.name}, {first!r}, was read as names")
        taken = {name: kind for (name, kind), keep in zip(kinds.items(), kept, strict=True) if keep}
        numeric = {name: kind for name, kind in taken.items() if types.is_integer(kind) or types.is_floating(kind)}
        numeric |= {name: kind for name, kind in taken.items() if types.is_decimal(kind)}
        self.columns = [name for name in taken if name in numeric and name != self._index]
        if not transpose:
            asked = {name for name in self.columns if chosen.asked_for(name, names, self.name)}
            whole = [name for name in self.columns if types.is_integer(kinds[name]) and name not in asked]
            heads: Iterator[Any] = file.iter_batches(batch_size=SAMPLE_ROWS, columns=whole)
            head = next(heads, None)
            for name in [] if head is None else whole:
                cells = head.column(head.schema.get_field_index(name))  # type: ignore[union-attr]
                if not cells.null_count and len(self.columns) > 1 and counts_up(np.asarray(cells, np.float64)):
                    self.columns.remove(name)
                    if self._index is None:
                        self._index = self.counted = name
            pixels = pixel_columns(self.columns)
            if pixels is not None:
                self.columns = [name for name, is_pixel in zip(self.columns, pixels, strict=True) if is_pixel]
        known = {*self.columns, self._index}
        self._others = [name for name in taken if name not in known]
        self._n_rows = int(file.metadata.num_rows)
        file.close()
        if not self._n_rows:
            raise FormatError(f"{self.name} has no rows")
        if not self.columns:
            raise FormatError(f"{self.name} has no columns of numbers")

    def _is_text(self, kind: Any) -> bool:
        """Tell whether a type is one of texts: strings or bytes of any length, as they are or as a dictionary."""
        types = self._arrow.types
        kind = kind.value_type if types.is_dictionary(kind) else kind
        names = ("string", "large_string", "string_view", "binary", "large_binary", "fixed_size_binary", "binary_view")
        return any(getattr(types, f"is_{name}")(kind) for name in names if hasattr(types, f"is_{name}"))

    def _open(self) -> Any:
        try:
            return need("pyarrow.parquet", "all", "reading Parquet").ParquetFile(self._path, pre_buffer=False)
        except (self._arrow.ArrowException, OSError) as error:
            raise FormatError(f"{self.name} is not a whole Parquet file: {str(error).splitlines()[0]}") from error

    def chunks(self, rows: int, *, missing: bool = True) -> Iterator[TableChunk]:
        """Stream the table in chunks of at most so many rows.

        Raises FormatError at a missing value in a column of numbers unless `missing`, or where the file is damaged.
        """
        file, start = self._open(), 0
        try:
            # a name is looked up in linear time, and there may be very many
            number = {name: k for k, name in enumerate(file.schema_arrow.names)}
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                columns = []
                for name in self.columns:
                    column = batch.column(number[name]).to_numpy(zero_copy_only=False)
                    columns.append(column.astype(np.float64) if column.dtype == object else column)
                    absent = np.isnan(columns[-1]) if columns[-1].dtype.kind == "f" and not missing else None
                    if absent is not None and absent.any():
                        row = start + int(absent.argmax())
                        raise FormatError(
                            f"{self.name}: row {row} has no number in column {name!r}, which holds numbers"
                        )
                values = stack_columns(columns, self.name)
                others = {name: batch.column(number[name]).to_pandas() for name in self._others}
                names = None if self._index is None else _names(batch.column(number[self._index]))
                frame = pd.DataFrame(others, index=range(len(values)))
                for name in [name for name in frame.columns if frame[name].dtype == object]:
                    frame[name] = frame[name].map(_decoded, na_action="ignore")
                    if frame[name].dropna().map(lambda value: isinstance(value, str)).all():
                        frame[name] = frame[name].astype("category")
                yield TableChunk(names, values, frame)
                start += len(values)
        except (self._arrow.ArrowException, OSError) as error:
            raise FormatError(f"{self.name} is damaged after row {start}: {str(error).splitlines()[0]}") from error
        finally:
            file.close()

    def row_names(self) -> list[str]:
        """Read the names of all rows."""
        if self._index is None:
            return [str(number) for number in range(self._n_rows)]
        file = self._open()
        try:
            return _names(file.read([self._index]).column(0))
        finally:
            file.close()


def _decoded(value: Any) -> Any:
    return texts(value).item() if isinstance(value, bytes) else value


def _names(column: Any) -> list[str]:
    return [str(_decoded(item)) for item in column.to_pylist()]
