"""CSV and TSV files: what their columns are, and their rows in parts."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.table_chunk import TableChunk
from kithkin.io.streams.textfile import TextFile, WholeLines, head, read_lines
from kithkin.kernels.text import EXACT, ODD, parse_fields

DELIMITERS = "\t,; "
SAMPLE_ROWS, SAMPLE_CELLS = 1000, 1 << 18  # what of a table is looked at to tell the kinds of its columns
LONGEST = 1 << 26  # bytes of a line
ENOUGH = 16  # lines by which the delimiter is told
TEXT, HARD = 1 << 20, 1 << 14
MISSING = ["", "NA", "NaN", "nan", "None", "null"]


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter == " "), [])


def _first_lines(path: Path) -> list[str]:
    for size in (1 << 16, 1 << 21, LONGEST):  # the header of a wide table is long
        start = head(path, size)
        if b"\0" in start:
            return []
        lines = start.decode("utf-8-sig", "replace").splitlines()
        if len(start) == size:
            lines.pop()
        if len(lines) >= ENOUGH:
            break
    return [line for line in lines[:ENOUGH] if line.strip()]


def find_delimiter(lines: Sequence[str]) -> str | None:
    """The delimiter by which lines have equally many fields, two at least; None if there is none.

    Examples
    --------
    >>> find_delimiter(["a;b,c;d", "1;2;3"])
    ';'
    """
    best, width = None, 1
    for delimiter in DELIMITERS:
        counts = [len(_split(line, delimiter)) for line in lines]
        body = counts[1:] or counts
        # R writes no header cell above the row names; a ragged line further down must not hide what the file is
        if len(body) and body[0] > width and counts[0] in (body[0], body[0] - 1):
            best, width = delimiter, body[0]
    return best


def is_delimited(path: Path) -> bool:
    r"""Whether a file is a table of text, by its first lines.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> _ = path.write_text("cell,CD3E,CD8A\na,1,2\n")
    >>> is_delimited(path)
    True
    """
    lines = _first_lines(path)
    return bool(lines) and not lines[0].startswith("%%MatrixMarket") and find_delimiter(lines) is not None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text) is not None


def _sample(path: Path, n_skipped: int, delimiter: str, width: int) -> list[list[str]]:
    """Fields of the first rows that have as many as they should."""
    wanted = max(2, min(SAMPLE_ROWS, SAMPLE_CELLS // width))
    lines = islice((line for line in read_lines(path) if line.strip()), n_skipped, n_skipped + wanted)
    return [fields for fields in (_split(line, delimiter) for line in lines) if len(fields) == width]


def _unquoted(field: bytearray) -> str:
    text = field.decode().strip()
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


class Delimited:
    """A CSV or TSV file. The kinds of its columns are told by the first rows and hold for all.

    Parameters
    ----------
    path
        The file, compressed or not.

    Attributes
    ----------
    name
        File name as messages show it.
    columns
        Names of the columns of numbers.
    notes
        What was decided, one sentence each.

    Raises
    ------
    FormatError
        If it is not such a table, or has no rows or no column of numbers.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name, self.notes = path, path.name, list[str]()
        lines = _first_lines(path)
        delimiter = find_delimiter(lines)
        if delimiter is None:
            raise FormatError(f"{self.name} is not a table with a delimiter of tab, comma, semicolon or space")
        self._delimiter = delimiter
        first, body = _split(lines[0], delimiter), _split(lines[min(1, len(lines) - 1)], delimiter)
        self._width = len(body)
        numbered = [str(k) for k in range(len(first))]
        self._has_header = not all(map(_is_number, first)) or first == numbered
        if not self._has_header:
            self.notes.append(f"{self.name} has no header line: its columns are numbered")
        header = first if self._has_header else numbered
        self._header = [""] * (self._width - len(header)) + [cell.strip() for cell in header]
        self._find_kinds()

    def _find_kinds(self) -> None:
        sample = _sample(self._path, int(self._has_header), self._delimiter, self._width)
        if not sample:
            raise FormatError(f"{self.name} has no rows behind its header")
        # a stray word in a column of numbers is a fault that is told later, with its line
        numeric = {
            k for k, cells in enumerate(zip(*sample, strict=True)) if 2 * sum(map(_is_number, cells)) >= len(cells)
        }
        first = [fields[0] for fields in sample]
        named = self._header[0] in ("", "Unnamed: 0") and self._has_header
        # names may occur twice, as gene symbols do; a column such as the donor has few values, each often
        self._named = named or (0 not in numeric and 2 * len(set(first)) > len(first))
        self._numeric = sorted(numeric - {0} if self._named else numeric)
        self._others = [k for k in range(int(self._named), self._width) if k not in numeric]
        self.columns = [self._header[k] for k in self._numeric]
        if not self._numeric:
            raise FormatError(f"{self.name} has no columns of numbers")

    def parts(self, rows: int) -> Iterator[TableChunk]:
        """The table in parts of so many rows.

        Raises
        ------
        FormatError
            At a line with more or fewer fields than the first, or with something else than a number in a column of
            numbers.
        """
        texts_of = ([0] if self._named else []) + self._others
        target = np.empty(self._width, np.int64)
        target[self._numeric], target[texts_of] = np.arange(len(self._numeric)), -1 - np.arange(len(texts_of))
        values, spans = np.empty((rows, len(self._numeric))), np.empty((rows, len(texts_of), 2), np.int64)
        texts: list[list[str]] = [[] for _ in texts_of]
        hard, number, filled = np.empty((HARD + self._width, 4), np.int64), int(self._has_header), 0
        with TextFile(self._path) as file:
            if self._has_header:
                file.readline()
            text = WholeLines(file, TEXT, LONGEST)
            while text.position < text.stop or self._load(text, number):
                before = filled
                text.position, filled, lines, n_hard, status = parse_fields(
                    text.text, text.position, text.stop, ord(self._delimiter), target, values, spans, before, hard
                )
                number += lines
                for row, column, begin, end in hard[:n_hard].tolist():
                    values[row, column] *= float(text.buffer[begin:end])
                self._take_texts(texts, spans[before:filled], text, number)
                if status == ODD:
                    raise self._odd(text, number + 1)
                if n_hard and not np.isfinite(values[before:filled]).all():
                    raise FormatError(
                        f"{self.name}: between line {number - lines + 1} and {number} a number is too large"
                    )
                if filled == rows:
                    yield self._part(values, texts)
                    texts, filled = [[] for _ in texts_of], 0
        if filled:
            yield self._part(values[:filled], texts)

    def _load(self, text: WholeLines, number: int) -> bool:
        try:
            return text.load()
        except FormatError:  # a ValueError too, that says all there is to say
            raise
        except ValueError as error:
            raise FormatError(f"{self.name}: line {number + 1} {error}") from None

    def _take_texts(self, texts: list[list[str]], spans: Array, text: WholeLines, number: int) -> None:
        """Decode fields before the buffer moves on."""
        try:
            for k, column in enumerate(texts):
                column.extend(_unquoted(text.buffer[begin:end]) for begin, end in spans[:, k].tolist())
        except UnicodeDecodeError:
            first = number - len(spans) + 1
            raise FormatError(
                f"{self.name}: between line {first} and {number} is something else than UTF-8 text"
            ) from None

    def _part(self, values: Array, texts: list[list[str]]) -> TableChunk:
        names = texts[0] if self._named else None
        columns = zip(self._others, texts[int(self._named) :], strict=True)
        others = {k: pd.Series(column, dtype=object) for k, column in columns}
        frame = pd.DataFrame(
            {k: column.where(~column.isin(MISSING)) for k, column in others.items()}, index=range(len(values))
        )
        return TableChunk(names, values.copy(), frame.set_axis([self._header[k] for k in self._others], axis=1))

    def _odd(self, text: WholeLines, number: int) -> FormatError:
        """What is wrong with the line at which the parser stopped."""
        line = bytes(text.buffer[text.position : text.buffer.index(b"\n", text.position)]).decode("utf-8", "replace")
        fields = _split(line.rstrip("\r"), self._delimiter)
        where = f"{self.name}: line {number}"
        if len(fields) != self._width:
            return FormatError(f"{where} has {len(fields)} fields, but the first has {self._width}")
        for k in self._numeric:
            field = fields[k].strip()
            if not _is_number(field):
                what = repr(field) if field else "nothing"
                return FormatError(f"{where} has {what} in column {self._header[k]!r}, which holds numbers")
            if re.fullmatch(r"[+-]?\d+", field) and abs(int(field)) > EXACT:
                return FormatError(f"{where} has {field} in column {self._header[k]!r}, which cannot be kept exactly")
        return FormatError(f"{where} cannot be read as fields: {line[:40]!r}")

    def row_names(self) -> list[str]:
        """Names of all rows: takes a pass over the text."""
        lines = (line for line in read_lines(self._path) if line.strip())
        rows = enumerate(islice(lines, int(self._has_header), None))
        return [self._first_field(line) if self._named else str(number) for number, line in rows]

    def _first_field(self, line: str) -> str:
        short = line if '"' in line[:1] else line.partition(self._delimiter)[0]  # a line may have very many fields
        return _split(short, self._delimiter)[0].strip()
