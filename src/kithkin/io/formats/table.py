"""Tables with a header: CSV, TSV and Parquet. Columns of numbers go to X, the others to obs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from kithkin.core.blocks import Block
from kithkin.core.budget import BLOCK_BYTES
from kithkin.core.execute import Execution
from kithkin.io.formats.delimited import Delimited, is_delimited
from kithkin.io.formats.parquet import Parquet, is_parquet
from kithkin.io.source import Source
from kithkin.io.streams.annotation import plain_frame
from kithkin.io.streams.checks import Place, tidy_dense
from kithkin.io.streams.dense import sparse_rows
from kithkin.io.streams.table_chunk import TableChunk
from kithkin.io.streams.transpose import transpose as swap_axes

CELL_BYTES = 24  # a number while it is read: the parser's buffer, its copy and the block


def sniff(source: Any) -> bool:
    r"""Whether a path is a CSV, TSV or Parquet file, by its content.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.txt"
    >>> _ = path.write_text("cell\tCD3E\na\t1\n")
    >>> sniff(path)
    True
    """
    if not isinstance(source, (str, Path)) or not Path(source).is_file():
        return False
    return is_parquet(Path(source)) or is_delimited(Path(source))


class _Rows:
    """What is known of the rows of a file once they have been streamed: their names and other columns."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._others: list[pd.DataFrame] = []
        self._count = 0

    def add(self, part: TableChunk) -> None:
        numbered = [str(k) for k in range(self._count, self._count + len(part.values))]
        self._names += numbered if part.names is None else part.names
        self._others.append(part.others)
        self._count += len(part.values)

    def frame(self) -> pd.DataFrame:
        table = pd.concat(self._others, ignore_index=True)
        return plain_frame(table.set_axis(pd.Index(self._names, dtype=object)).infer_objects())


def _rows_at_a_time(width: int, execution: Execution) -> int:
    return max(1, min(8 * BLOCK_BYTES, execution.memory // 8) // (CELL_BYTES * width))


def _frame_of(names: list[str]) -> pd.DataFrame:
    return plain_frame(pd.DataFrame(index=pd.Index(names, dtype=object)))


def open_table(source: str | Path, *, transpose: bool = False) -> Source:
    r"""Open a CSV, TSV or Parquet file.

    The first line is the header, and the delimiter is told by the content. The first column holds the names of the rows
    if its header cell is empty, or if it is text that seldom occurs twice. A file may be gzipped.

    Parameters
    ----------
    source
        The file.
    transpose
        Rows of the file are genes and its columns cells, as in many deposited count tables: turn it, out of core.

    Returns
    -------
    Source
        Columns of numbers as dense X, other columns in obs. Turned tables are sparse, their other columns are in var.

    Raises
    ------
    FormatError
        If it is not such a table; while streaming, at the first line that does not fit the header.
    KithkinError
        If it is Parquet and pyarrow is not installed.

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
    table = Parquet(path) if is_parquet(path) else Delimited(path)
    columns, none = _frame_of(table.columns), _frame_of([])
    place = Place(table.name, "X", line="row", across="column", counts=transpose)

    def parts(execution: Execution, rows: _Rows) -> Iterator[tuple[int, TableChunk]]:
        start = 0
        for part in table.parts(_rows_at_a_time(len(table.columns), execution)):
            rows.add(part)
            yield start, part
            start += len(part.values)

    def straight(execution: Execution) -> Iterator[Block]:
        rows = _Rows()
        for start, part in parts(execution, rows):
            yield tidy_dense(part.values, place.moved(start))
        opened.obs = rows.frame()

    def turned(execution: Execution) -> Iterator[Block]:
        rows = _Rows()
        lines = (sparse_rows(tidy_dense(part.values, place.moved(start))) for start, part in parts(execution, rows))
        yield from swap_axes(lines, len(columns), opened.n_columns, execution, opened.scratch, place=place)
        opened.var = rows.frame()

    if transpose:
        genes = _frame_of(table.row_names())
        opened = Source(table.name, len(genes), {"X": turned}, columns, genes, notes=table.notes)
    else:
        opened = Source(table.name, len(columns), {"X": straight}, none, columns, notes=table.notes)
    return opened
