"""Tables: CSV, TSV and Parquet. Columns of numbers go to X, the others to obs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from kithkin.core.blocks import Array, Block
from kithkin.core.budget import BLOCK_BYTES
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.formats.chosen import Chosen, counts_up
from kithkin.io.formats.delimited import Delimited
from kithkin.io.formats.dialect import find_dialect
from kithkin.io.formats.labels import note_of_labels, typed_column
from kithkin.io.formats.parquet import Parquet, is_parquet
from kithkin.io.source import Source
from kithkin.io.streams.annotation import plain_frame
from kithkin.io.streams.checks import Place, tidy_dense, whole_values
from kithkin.io.streams.dense import sparse_rows
from kithkin.io.streams.table_chunk import TableChunk
from kithkin.io.streams.transpose import sort_triplets
from kithkin.io.streams.transpose import transpose as swap_axes

CELL_BYTES = 24  # a number while it is read: the parser's buffer, its copy and the block


def sniff(source: Any) -> bool:
    """Tell whether a path is a CSV, TSV or Parquet file, by its content."""
    path = Path(source)
    return path.is_file() and (is_parquet(path) or find_dialect(path) is not None)


class _RowTable:
    """Names and other columns of the rows, collected while a file is streamed."""

    def __init__(self, table: Parquet | Delimited) -> None:
        self._table = table
        self._names: list[str] = []
        self._others: list[pd.DataFrame] = []

    def add(self, chunk: TableChunk) -> None:
        first = len(self._names)
        numbered = [str(k) for k in range(first, first + len(chunk.values))]
        self._names += numbered if chunk.names is None else chunk.names
        self._others.append(chunk.others)

    def frame(self, place: str) -> pd.DataFrame:
        """Join what was collected; notes say what names the rows, and what other columns went to obs or var."""
        columns, kinds, names = [], list[tuple[str, str]](), self._names
        counted, notes = self._table.counted, self._table.notes
        if counted is not None and not counts_up(np.array(names, np.float64), whole_table=False):
            column = pd.Series(names).astype(np.int64)
            columns, kinds, names = [column], [(counted, "numbers")], [str(k) for k in range(len(names))]
            notes.append(
                f"{counted!r} counts up at first only, and is not a value: list it in columns to take it as values"
            )
        elif counted is not None:
            notes.append(f"{counted!r} only counts up, so it names the rows: list it in columns to take it as values")
        labels = [str(name) for name in self._others[0].columns]
        for k, label in enumerate(labels):
            parts = [frame.iloc[:, k] for frame in self._others]
            texts = all(isinstance(part.dtype, pd.CategoricalDtype) for part in parts)
            joined: Any = union_categoricals(parts, sort_categories=True) if texts else pd.concat(parts)
            column, what = typed_column(pd.Series(joined).reset_index(drop=True))
            columns.append(column)
            kinds.append((label, what))
        if kinds:
            notes.append(note_of_labels(kinds, place))
        self._others = []
        table = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(len(names)))
        return plain_frame(table.set_axis([name for name, _ in kinds], axis=1).set_axis(pd.Index(names, dtype=object)))


def _rows_at_a_time(width: int, execution: Execution) -> int:
    return max(1, min(2 * BLOCK_BYTES, execution.memory // 8) // (CELL_BYTES * width))


def _frame_of(names: list[str]) -> pd.DataFrame:
    return plain_frame(pd.DataFrame(index=pd.Index(names, dtype=object)))


def open_table(
    source: str | Path,
    *,
    transpose: bool = False,
    columns: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    id: str | None = None,
) -> Source:
    r"""Open a CSV, TSV or Parquet file.

    The delimiter is told by the content. The first line is the header, unless numbers stand in it where other lines
    have numbers; blank lines and comments (#) above it are skipped. The first column holds the names of the rows if its
    header cell is empty, if it is text that seldom occurs twice, or if its header cell says so (Cell_Index, gene_id). A
    table with the columns gene, cell and count has a line for each value. A file may be gzipped. With `transpose`, rows
    of the file are genes and its columns cells, as in many deposited count tables: they are turned, out of core.
    Columns of numbers become dense X, NaN where a field is empty or NA, and other columns obs: booleans, dates, texts,
    and numbers that only count the rows, which name them if nothing else does. Turned tables are sparse, and their
    other columns are in var. Only `columns` are taken and those to `ignore` are not; `id` names the rows. Raises
    FormatError if it is not such a table; while streaming, at the first line that does not fit the header;
    ParameterError if it has no column of a name that was given; KithkinError if it is Parquet and pyarrow is not
    installed.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> _ = path.write_text("cell,CD3E,donor\na,3,x\nb,0,y\n")
    >>> source = open_table(path)
    >>> next(source.tables["X"](Execution())).tolist(), source.var.index.tolist()
    ([[3], [0]], ['CD3E'])
    """
    path = Path(source)
    chosen = Chosen(columns, ignore, id)
    kind = Parquet if is_parquet(path) else Delimited
    table: Parquet | Delimited = kind(path, chosen, transpose=transpose)
    if isinstance(table, Delimited) and table.long is not None:
        if transpose:
            raise ParameterError(f"transpose has no effect on {table.name}, which has a line for each value")
        return _open_long(table, *table.long)
    var = _frame_of(table.columns)
    place = Place(table.name, "X", line="row", across="column", missing=not transpose)

    def blocks(execution: Execution, rows: _RowTable) -> Iterator[Array]:
        start = 0
        for chunk in table.chunks(_rows_at_a_time(len(table.columns), execution), missing=not transpose):
            rows.add(chunk)
            yield tidy_dense(chunk.values, place.moved(start))
            start += len(chunk.values)

    def straight(execution: Execution) -> Iterator[Block]:
        rows = _RowTable(table)
        yield from blocks(execution, rows)
        opened.obs = rows.frame("obs")

    def turned(execution: Execution) -> Iterator[Block]:
        rows = _RowTable(table)
        lines = map(sparse_rows, blocks(execution, rows))
        yield from swap_axes(lines, len(var), opened.n_columns, execution, opened.scratch, place=place)
        opened.var = rows.frame("var")

    if transpose:
        genes = _frame_of(table.row_names())
        opened = Source(table.name, len(genes), {"X": turned}, var, genes, notes=table.notes)
    else:
        opened = Source(table.name, len(var), {"X": straight}, _frame_of([]), var, notes=table.notes)
        opened.of_counts, opened.narrow = False, True
    return opened


def _open_long(table: Delimited, gene: str, cell: str) -> Source:
    """Open a table with a line for each value: its genes and cells are numbered in the order in which they occur."""
    numbers: dict[str, dict[str, int]] = {gene: {}, cell: {}}
    rows = _rows_at_a_time(4, Execution())
    for chunk in table.chunks(rows, missing=False):
        for column, known in numbers.items():
            if chunk.others[column].isna().any():
                raise FormatError(f"{table.name}: a line has no name in column {column!r}")
            for name in chunk.others[column].unique():
                known.setdefault(name, len(known))
    genes, cells = _frame_of(list(numbers[gene])), _frame_of(list(numbers[cell]))

    def triplets() -> Iterator[tuple[Array, Array, Array]]:
        for chunk in table.chunks(rows, missing=False):
            labels = {key: chunk.others[key].cat for key in (cell, gene)}
            number = {
                key: np.array([numbers[key][name] for name in labels[key].categories], np.int32) for key in labels
            }
            row, column = (number[key][labels[key].codes] for key in (cell, gene))
            yield row, column, whole_values(chunk.values[:, 0], str)[0]

    def stream(execution: Execution) -> Iterator[Block]:
        place, shape = Place(table.name, "X", line="cell", across="gene"), (len(cells), len(genes))
        yield from sort_triplets(triplets(), *shape, execution, scratch=opened.scratch, place=place)

    note = f"{table.name} has a line for each value: {cell!r} names the rows and {gene!r} the columns"
    opened = Source(table.name, len(genes), {"X": stream}, cells, genes, notes=[*table.notes, note])
    return opened
