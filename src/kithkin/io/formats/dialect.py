"""Dialect of a text table: comment lines, delimiter, header and width, told by its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kithkin.io.formats.numerals import MISSING, NO_NUMBER, find_marks, is_number
from kithkin.io.streams.textfile import head

DELIMITERS = "\t,; "
ENOUGH = 16  # lines by which the delimiter is told
LONGEST = 1 << 26  # bytes of a line
# header cells above a column that holds names, even if the names are numbers
OF_NAMES = re.compile(
    r"((cell|gene|barcode|spot|bead|bc|feature|sample|object|nucleus|entrez|ensembl|probe|row)[ _.-]?)?"
    r"(id|ids|index|idx|name|names|number|barcode|symbol|label)?s?|unnamed: 0",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Dialect:
    """Form of a text table."""

    delimiter: str  # between fields
    n_before: int  # lines above the first one of the table: blank lines and comments that begin with #
    first: list[str]  # fields of the first line, which may be a header
    rows: list[list[str]]  # fields of the lines that follow, as many as were looked at
    width: int  # fields of a row
    decimal: str = "."  # before a fraction: a dot or a comma; empty where 1,500 may mean thousands

    @property
    def header(self) -> list[str]:
        """Names of all columns, if the first line is a header."""
        names = [cell.strip() for cell in self.first]
        if len(names) == self.width + 1:  # the header alone ends in a delimiter
            return names[:-1]
        if len(names) == self.width - 1:
            ends_empty = all(not row[-1].strip() for row in self.rows if len(row) == self.width)
            # R writes no header cell above the row names
            return [*names, ""] if ends_empty and names[-1] else ["", *names]
        return names

    @property
    def has_header(self) -> bool:
        """Tell whether the first line names the columns: a column of numbers then begins with something else."""
        if len(self.first) != self.width:
            return True
        columns = list(zip(*(row for row in self.rows if len(row) == self.width), strict=True))
        numeric = [k for k, cells in enumerate(columns) if holds_numbers(cells, self.decimal)]
        numbers = [self.first[k].strip() for k in numeric or range(self.width)]
        if not all(is_number(text, self.decimal) or (text and text in MISSING) for text in numbers):
            return True
        counted = numbers in ([str(k) for k in range(start, start + len(numbers))] for start in (0, 1))
        if is_number(self.first[0]):
            return counted and numbers[0] == "0" and len(numbers) == self.width
        if names_rows(self.first[0]):
            return len(set(numbers)) == len(numbers)
        return counted and len(numbers) >= ENOUGH


def holds_numbers(cells: Sequence[str], decimal: str = ".") -> bool:
    """Tell whether at least half of the fields of a column are numbers, not counting those that stand for nothing.

    A stray word in such a column is a fault that is told later, with its line.
    """
    present = [cell for cell in cells if cell.strip() not in NO_NUMBER]
    return bool(present) and 2 * sum(is_number(cell, decimal) for cell in present) >= len(present)


def names_rows(cell: str) -> bool:
    """Tell whether a header cell announces names of rows, such as cell, Cell_Index, gene_id or nothing at all."""
    return OF_NAMES.fullmatch(cell.strip()) is not None


def split_line(line: str, delimiter: str) -> list[str]:
    """Split one line into fields, without their quotes."""
    if '\\"' in line:  # R writes a backslash before a quote within quotes
        line = re.sub(rf'\\"(?!{re.escape(delimiter)}|\r?$)', '""', line)
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter == " "), [])


def find_delimiter(lines: Sequence[str], delimiters: str = DELIMITERS) -> str | None:
    """Return the delimiter by which lines have equally many fields, two at least; None if there is none."""
    best, rank = None, (1, False)
    for delimiter in delimiters:
        first, *rows = (split_line(line, delimiter) for line in lines)
        length = len(rows[0]) if rows else len(first)
        # a ragged line further down must not hide what the file is
        fits = len(first) in (length, length - 1) or (len(first) == length + 1 and not first[-1].strip())
        if length > 1 and fits and (length, len(first) == length) > rank:
            best, rank = delimiter, (length, len(first) == length)
    return best


def find_dialect(path: Path, delimiters: str = DELIMITERS) -> Dialect | None:
    r"""Find the dialect of a file by its first lines; None if it is no table of text.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> _ = path.write_text("# made by hand\n\ncell,CD3E,CD8A\na,1,2\n")
    >>> dialect = find_dialect(path)
    >>> dialect.n_before, dialect.header, dialect.has_header
    (2, ['cell', 'CD3E', 'CD8A'], True)
    """
    for size in (1 << 16, 1 << 21, LONGEST):  # the header of a wide table is long
        start = head(path, size)
        if b"\0" in start:
            return None
        lines = start.decode("utf-8", "replace").splitlines()
        if len(start) == size:
            lines.pop()
        n_before = next((k for k, line in enumerate(lines) if line.strip() and not line.lstrip('"').startswith("#")), 0)
        if len(lines) - n_before >= ENOUGH:
            break
    rows = [line for line in lines[n_before : n_before + ENOUGH] if line.strip()]
    delimiter = find_delimiter(rows, delimiters) if rows and not rows[0].startswith("%%MatrixMarket") else None
    if delimiter is None:
        return None
    fields = [split_line(line, delimiter) for line in rows]
    width = len(fields[min(1, len(fields) - 1)])
    body = [row for row in fields if len(row) == width]
    decimal = find_marks(list(zip(*(body[1:] or body), strict=True)), delimiter).decimal
    if n_before and re.match(r"#[^#\s]", lines[n_before - 1]):  # "#cell,CD3E" right above the rows is a header
        above = split_line(lines[n_before - 1][1:], delimiter)
        if len(above) == len(fields[0]):
            return Dialect(delimiter, n_before - 1, above, fields, len(fields[0]), decimal)
    return Dialect(delimiter, n_before, fields[0], fields[1:], width, decimal)
