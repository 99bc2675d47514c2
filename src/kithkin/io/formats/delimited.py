"""CSV and TSV files: the kinds of their columns, and their rows in chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.formats.chosen import Chosen, counts_up
from kithkin.io.formats.dialect import LONGEST, find_dialect, holds_numbers, names_rows, split_line
from kithkin.io.formats.labels import iso_dates
from kithkin.io.formats.numerals import MISSING, NO_NUMBER, find_marks, is_number, plain_number
from kithkin.io.formats.pixel_names import pixel_columns
from kithkin.io.streams.table_chunk import TableChunk
from kithkin.io.streams.textfile import TextFile, WholeLines, read_lines
from kithkin.kernels.text import EXACT, ODD, parse_fields

SAMPLE_ROWS, SAMPLE_CELLS = 1000, 1 << 18  # rows and fields by which the kinds of the columns are told
TEXT, HARD = 1 << 20, 1 << 14
FEATURE_COUNTS = ["geneid", "chr", "start", "end", "strand", "length"]
OF_GENES = re.compile(
    r"(gene|feature)[ _.]?(id|name|symbol|short_name)?s?|symbol|target|ensembl[ _.]?(gene)?[ _.]?(id)?", re.IGNORECASE
)
OF_CELLS = re.compile(r"(cell|spot|bead)[ _.]?(id|name|barcode|index)?s?|barcodes?|cb|bc|sample", re.IGNORECASE)
OF_COUNTS = re.compile(
    r"((mid|umi|read|raw|n|num)[ _.]?)?(count|umi|value|read|expression|molecule)s?|n|mid", re.IGNORECASE
)
# header cells above numbers that name cells even where they begin again, as in each of several images
OF_OBJECTS = re.compile(r"(cell|object|nucleus|spot|bead|barcode)[ _.-]?(id|index|number|label)?s?", re.IGNORECASE)
OF_ANYTHING = re.compile(r"(.+[ _.-])?(id|ID|Id)|[A-Z]?[a-z]+(ID|Id)")  # customer_id, PatientID
WIDEST_LONG = 16  # columns of a table with a line for each value


class Delimited:
    """A CSV or TSV file. The kinds of its columns are told by the first rows and hold for all.

    `columns` are the names of the columns of numbers; `long` those of genes and of cells, if each line holds one value
    of one gene in one cell, else None; `counted` that of the names, if they are numbers that count the rows; `notes`
    the decisions that were taken, one sentence each. With `transpose` its rows are genes. Raises FormatError if it is
    not such a table, or has no rows or no column of numbers; ParameterError if it has no column of a name that was
    chosen.
    """

    def __init__(self, path: Path, chosen: Chosen | None = None, *, transpose: bool = False) -> None:
        self._path, self.name, self.notes = path, path.name, list[str]()
        self._chosen, self._turned = Chosen() if chosen is None else chosen, transpose
        dialect = find_dialect(path)
        if dialect is None:
            raise FormatError(f"{self.name} is not a table with a delimiter of tab, comma, semicolon or space")
        self._delimiter, self._width = dialect.delimiter, dialect.width
        has_header = dialect.has_header
        if not has_header:
            self.notes.append(f"{self.name} has no header line: its columns are numbered")
        self._header = dialect.header if has_header else [str(k) for k in range(self._width)]
        self._n_above = dialect.n_before + has_header
        # names and values of the first rows that have as many fields as they should
        wanted = max(2, min(SAMPLE_ROWS, SAMPLE_CELLS // self._width))
        lines = (line for line in islice(read_lines(path), self._n_above, None) if line.strip())
        rows = [split_line(line, self._delimiter) for line in islice(lines, wanted)]
        sample = [fields for fields in rows if len(fields) == self._width]
        if not sample:
            raise FormatError(f"{self.name} has no rows after its header")
        self._find_kinds(list(zip(*sample, strict=True)))

    def _find_kinds(self, sample: list[tuple[str, ...]]) -> None:
        kept = self._chosen.mask(self._header, self.name)
        marks = find_marks([cells if kept[k] else () for k, cells in enumerate(sample)], self._delimiter)
        if marks.doubtful is not None:
            above, example = self._header[marks.doubtful[0]], marks.doubtful[1]
            raise FormatError(
                f"{self.name}: numbers such as {example} in column {above!r} may mean thousands or a fraction: write "
                f"{example.replace(',', '')} or {example.replace(',', '.')}"
            )
        self._decimal, self._thousands = marks.decimal, marks.thousands
        if self._thousands:
            named = ", ".join(repr(self._header[k]) for k in self._thousands)
            what = "commas" if marks.decimal == "." else "dots"
            self.notes.append(f"the {what} in the numbers of {named} were read as marks between thousands")
        numeric = {k for k, cells in enumerate(sample) if holds_numbers(cells, self._decimal)} | {*self._thousands}
        if [name.lower() for name in self._header[: len(FEATURE_COUNTS)]] == FEATURE_COUNTS:
            numeric -= set(range(len(FEATURE_COUNTS)))  # places in the genome are no counts
        self._empty: list[int] = []  # the last columns, if they hold nothing and have no name
        for k in range(self._width - 1, 0, -1):
            if self._header[k] or any(map(str.strip, sample[k])):
                break
            self._empty.append(k)
        long = self._find_long(numeric, sample)
        self.long = None if long is None else (self._header[long[0]], self._header[long[1]])
        self._index, self._first_is_value = self._chosen.position(self._header, self.name), False
        if self._index is None and long is None and self._has_names(numeric, sample[0]):
            self._index = 0
        if long is not None:
            numeric = {long[2]}
        self.counted: str | None = None
        values = sorted(k for k in numeric if kept[k] and k != self._index)
        aside = [] if long is not None or self._turned else self._find_aside(values, sample)
        self._numeric = [k for k in values if k not in aside]
        used = {*self._numeric, *self._empty, self._index}
        self._others = [k for k in range(self._width) if k not in used and (kept[k] or long is not None)]
        self._skipped = [k for k in range(self._width) if k not in {*used, *self._others}]
        self._aside = set(aside) - {self._index}
        self.columns = [self._header[k] for k in self._numeric]
        if self._first_is_value and 0 in self._numeric:
            self.notes.append(
                f"the numbers in the first column of {self.name}, {self._header[0]!r}, were read as values"
            )
        if not self._numeric:
            sheet = "a sheet of samples has the columns 'path' and 'sample'"
            raise FormatError(f"{self.name} has no columns of numbers; {sheet}")

    def _find_aside(self, values: list[int], sample: list[tuple[str, ...]]) -> list[int]:
        """Find the columns of numbers that are no values: those that count the rows, and what stands beside pixels."""
        pixels = pixel_columns([self._header[k] for k in values])
        if pixels is not None:
            return [k for k, is_pixel in zip(values, pixels, strict=True) if not is_pixel]
        aside: list[int] = []
        for k in values if len(values) > 1 else []:
            cells = sample[k]
            if self._chosen.asked_for(self._header[k], self._header, self.name):
                continue
            counted = all(cell.strip().isdigit() for cell in cells) and counts_up(np.array(cells, np.float64))
            if counted and len(aside) + 1 < len(values):
                aside.append(k)
                if self._index is None:
                    self._index, self.counted = k, self._header[k]
        return aside

    def _has_names(self, numeric: set[int], first: tuple[str, ...]) -> bool:
        """Tell whether the first column holds the names of the rows; note what was decided about numbers."""
        above, n_rows, n_different = self._header[0], len(first), len({*first})
        if above in ("", "Unnamed: 0"):
            return True
        if 0 not in numeric:
            if n_different < n_rows and iso_dates(first)[0] is not None:
                return False
            # names may occur twice, as gene symbols do; a column such as the donor has few values, each often
            return 2 * n_different > n_rows or OF_OBJECTS.fullmatch(above) is not None
        if len(numeric) == 1 or not all(re.fullmatch(r"\s*\d+(\.0*)?\s*", cell) for cell in first):
            return False
        if self._chosen.asked_for(above, self._header, self.name):
            return False
        is_id = names_rows(above) or OF_ANYTHING.fullmatch(above) is not None
        if OF_OBJECTS.fullmatch(above) or (n_different == n_rows and is_id):
            self.notes.append(f"the numbers in the first column of {self.name}, {above!r}, were read as names")
            return True
        # a column that counts up, or stands beside pixels, is none: that is said where it is found
        self._first_is_value = above != "0" and (names_rows(above) or (n_different == n_rows and n_rows > 2))
        return False

    def _find_long(self, numeric: set[int], sample: list[tuple[str, ...]]) -> tuple[int, int, int] | None:
        """Find the columns of genes, cells and counts of a table with a line for each value."""
        columns, n_rows, three = range(self._width), len(sample[0]), self._width == 3
        genes = [k for k in columns if k not in numeric and OF_GENES.fullmatch(self._header[k])]
        cells = [k for k in columns if k not in genes and OF_CELLS.fullmatch(self._header[k])]
        cells = [k for k in cells if three or self._header[k].lower() != "sample"]
        counts = [k for k in numeric if k not in cells[:1] and (three or OF_COUNTS.fullmatch(self._header[k]))]
        if three and (not genes or not cells):
            texts = [sample[k] for k in columns if k not in numeric]
            kinds = [len({*cells}) for cells in (*texts, zip(*texts, strict=True))]
            if len(texts) == 2 and n_rows > 3 and kinds[2] == n_rows and max(kinds[:2]) < n_rows:
                raise FormatError(
                    f"{self.name} seems to hold one value in a line: name its columns gene, cell and count, or write a "
                    "row for each cell"
                )
            return None
        if len(genes) != 1 or not 3 <= self._width <= WIDEST_LONG:
            return None
        again = [len({*sample[k]}) < n_rows for k in (cells[:1] if cells else genes if counts else [])]
        if not three and not any(again):
            return None
        if not cells or len(counts) != 1:
            raise FormatError(
                f"{self.name} seems to hold one value in a line, but not one column each of genes, cells and counts: "
                "name its columns gene, cell and count"
            )
        used = (genes[0], cells[0], counts[0], *self._empty)
        if left := [self._header[k] for k in columns if k not in used]:
            self.notes.append(f"left out of {self.name}, which has a line for each value: {', '.join(left)}")
        return genes[0], cells[0], counts[0]

    def chunks(self, rows: int, *, missing: bool = True) -> Iterator[TableChunk]:
        """Stream the table in chunks of so many rows.

        `missing` allows fields of numbers to be empty, which gives NaN. Raises FormatError at a line with more or fewer
        fields than the first, or with something else than a number in a column of numbers.
        """
        marked = [k for k in self._numeric if k in self._thousands]
        fields = [] if self._index is None else [self._index]
        fields += self._others + self._empty + marked
        target = np.full(self._width, -1 - len(fields), np.int64)  # what is skipped shares the last place
        target[self._numeric], target[fields] = np.arange(len(self._numeric)), -1 - np.arange(len(fields))
        values, spans = np.empty((rows, len(self._numeric))), np.empty((rows, len(fields) + 1, 2), np.int64)
        texts: list[list[str]] = [[] for _ in fields]
        hard, number, filled = np.empty((HARD + self._width, 4), np.int64), self._n_above, 0
        words = _as_bytes(NO_NUMBER if missing else ())
        with TextFile(self._path) as file:
            for _ in range(self._n_above):
                file.readline()
            text = WholeLines(file, self.name, TEXT, LONGEST)
            while text.position < text.stop or text.load(number):
                before = filled
                text.position, filled, lines, n_hard, status = parse_fields(
                    text.text, text.position, text.stop, ord(self._delimiter), ord(self._decimal),
                    target, values, spans, before, hard, words,
                )  # fmt: skip
                number += lines
                for row, column, begin, end in hard[:n_hard].tolist():
                    values[row, column] *= float(text.buffer[begin:end].replace(b",", b"."))
                try:  # before the buffer moves on
                    for k, column in enumerate(texts):
                        ranges = spans[before:filled, k].tolist()
                        column.extend(text.buffer[begin:end].decode().strip() for begin, end in ranges)
                except UnicodeDecodeError:
                    raise self._between(
                        number - (filled - before) + 1, number, "is something else than UTF-8 text"
                    ) from None
                if status == ODD:
                    raise self._odd(text, number + 1, missing=missing)
                if n_hard and np.isinf(values[before:filled]).any():
                    raise self._between(number - lines + 1, number, "a number is too large")
                if filled == rows:
                    yield self._chunk(values, texts, number)
                    texts, filled = [[] for _ in fields], 0
        if filled:
            yield self._chunk(values[:filled], texts, number)

    def _between(self, first: int, last: int, fault: str) -> FormatError:
        return FormatError(f"{self.name}: between line {first} and {last} {fault}")

    def _chunk(self, values: Array, texts: list[list[str]], number: int) -> TableChunk:
        plain = [
            [text[1:-1].replace('""', '"').replace('\\"', '"') if text.startswith('"') else text for text in column]
            for column in texts
        ]
        for k in [k for k in self._numeric if k in self._thousands][::-1]:
            numbers = [plain_number(text, self._thousands[k]) for text in plain.pop()]
            if None in numbers:
                wrong = texts[len(plain)][numbers.index(None)]
                raise self._between(
                    number - len(values) + 1, number, f"is {wrong} in column {self._header[k]!r}, which holds numbers"
                )
            values[:, self._numeric.index(k)] = numbers
        if any(any(plain.pop()) for _ in self._empty):
            raise FormatError(f"{self.name}: the last column has no name, but holds something")
        names = None if self._index is None else plain.pop(0)
        present: dict[int, Any] = {}
        for k, column in zip(self._others, plain, strict=True):
            if k in self._aside:
                present[k] = pd.to_numeric(pd.Series(column, dtype=object), errors="coerce")
            else:
                categories = pd.Categorical(column)  # of which there are far fewer than rows as a rule
                present[k] = pd.Series(categories.remove_categories([*{*MISSING}.intersection(categories.categories)]))
        frame = pd.DataFrame(present, index=range(len(values)))
        return TableChunk(names, values.copy(), frame.set_axis([self._header[k] for k in self._others], axis=1))

    def _odd(self, text: WholeLines, number: int, *, missing: bool) -> FormatError:
        """Describe the fault of the line at which the parser stopped."""
        line = bytes(text.buffer[text.position : text.buffer.index(b"\n", text.position)]).decode("utf-8", "replace")
        fields = split_line(line.rstrip("\r"), self._delimiter)
        where = f"{self.name}: line {number}"
        if len(fields) != self._width:
            return FormatError(f"{where} has {len(fields)} fields, but the first has {self._width}")
        for k in (k for k in self._numeric if k not in self._thousands):
            field, above = fields[k].strip(), self._header[k]
            if not is_number(field, self._decimal) and not (missing and field in NO_NUMBER):
                what = repr(field) if field else "nothing"
                advice = f"correct it, or leave the column out with ignore={above!r}"
                if field in NO_NUMBER:
                    advice = "values may be missing only where each row is an observation with all of its values"
                return FormatError(f"{where} has {what} in column {above!r}, which holds numbers: {advice}")
            if re.fullmatch(r"[+-]?\d+", field) and abs(int(field)) > EXACT:
                return FormatError(f"{where} has {field} in column {above!r}, which cannot be kept exactly")
        return FormatError(f"{where} cannot be read as fields: {line[:40]!r}")

    def row_names(self) -> list[str]:
        """Read the names of all rows, in a pass over the text."""
        names: list[str] = []
        for line in islice(read_lines(self._path), self._n_above, None):
            if line.strip() and self._index is not None:
                # a line may have very many fields
                short = line if '"' in line or self._index else line.partition(self._delimiter)[0]
                names.append(split_line(short, self._delimiter)[self._index].strip())
            elif line.strip():
                names.append(str(len(names)))
        return names


def _as_bytes(words: Sequence[str]) -> Array:
    """Write words into rows of bytes, filled up with zeros."""
    longest = max(map(len, words), default=0)
    out = np.zeros((len(words), longest + 1), np.uint8)
    for row, word in zip(out, words, strict=True):
        row[: len(word)] = np.frombuffer(word.encode(), np.uint8)
    return out
