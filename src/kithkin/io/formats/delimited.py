"""CSV and TSV files: the kinds of their columns, and their rows in chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.formats.dialect import LONGEST, find_dialect, is_number, names_rows, split_line
from kithkin.io.streams.table_chunk import TableChunk
from kithkin.io.streams.textfile import TextFile, WholeLines, read_lines
from kithkin.kernels.text import EXACT, ODD, parse_fields

SAMPLE_ROWS, SAMPLE_CELLS = 1000, 1 << 18  # rows and fields by which the kinds of the columns are told
TEXT, HARD = 1 << 20, 1 << 14
MISSING = ["", "NA", "NaN", "nan", "None", "null"]
FEATURE_COUNTS = ["geneid", "chr", "start", "end", "strand", "length"]
OF_GENES = re.compile(
    r"(gene|feature)[ _.]?(id|name|symbol|short_name)?s?|symbol|target|ensembl[ _.]?(gene)?[ _.]?(id)?", re.IGNORECASE
)
OF_CELLS = re.compile(r"(cell|spot|bead)[ _.]?(id|name|barcode|index)?s?|barcodes?|cb|bc|sample", re.IGNORECASE)
OF_COUNTS = re.compile(
    r"((mid|umi|read|raw|n|num)[ _.]?)?(count|umi|value|read|expression|molecule)s?|n|mid", re.IGNORECASE
)
# header cells above numbers that name cells even where they begin anew, as in each of several images
OF_OBJECTS = re.compile(r"(cell|object|nucleus|spot|bead|barcode)[ _.-]?(id|index|number|label)?s?", re.IGNORECASE)
WIDEST_LONG = 16  # columns of a table with a line for each value


class Delimited:
    """A CSV or TSV file. The kinds of its columns are told by the first rows and hold for all.

    `columns` are the names of the columns of numbers; `long` those of genes and of cells, if each line holds one value
    of one gene in one cell, else None; `notes` the decisions that were taken, one sentence each. Raises FormatError if
    it is not such a table, or has no rows or no column of numbers.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name, self.notes = path, path.name, list[str]()
        dialect = find_dialect(path)
        if dialect is None:
            raise FormatError(f"{self.name} is not a table with a delimiter of tab, comma, semicolon or space")
        self._delimiter, self._width, self._decimal = dialect.delimiter, dialect.width, dialect.decimal
        if not self._decimal:
            raise FormatError(
                f"{self.name} holds numbers such as 1,500, which may mean thousands or a fraction: write 1500 or 1.5"
            )
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
            raise FormatError(f"{self.name} has no rows behind its header")
        self._find_kinds(list(zip(*sample, strict=True)))

    def _find_kinds(self, sample: list[tuple[str, ...]]) -> None:
        n_rows = len(sample[0])
        # a stray word in a column of numbers is a fault that is told later, with its line
        numeric = {
            k for k, cells in enumerate(sample) if 2 * sum(is_number(cell, self._decimal) for cell in cells) >= n_rows
        }
        if [name.lower() for name in self._header[: len(FEATURE_COUNTS)]] == FEATURE_COUNTS:
            numeric -= set(range(len(FEATURE_COUNTS)))  # places in the genome are no counts
        texts = [k for k in range(self._width) if k not in numeric]
        self._empty: list[int] = []  # the last columns, if they hold nothing and have no name
        for k in range(self._width - 1, 0, -1):
            if self._header[k] or any(map(str.strip, sample[k])):
                break
            self._empty.append(k)
        long = self._find_long(numeric, sample)
        self.long = None if long is None else (self._header[long[0]], self._header[long[1]])
        self._named = long is None and self._has_names(numeric, sample[0])
        if long is not None:
            numeric = {long[2]}
            texts = [k for k in range(self._width) if k != long[2]]
        self._numeric = sorted(numeric - {0} if self._named else numeric)
        self._others = [k for k in texts if k not in self._empty and not (self._named and k == 0)]
        self.columns = [self._header[k] for k in self._numeric]
        if not self._numeric:
            raise FormatError(f"{self.name} has no columns of numbers")

    def _has_names(self, numeric: set[int], first: tuple[str, ...]) -> bool:
        """Tell whether the first column holds the names of the rows; note what was decided about numbers."""
        above, n_rows, n_different = self._header[0], len(first), len({*first})
        if above in ("", "Unnamed: 0"):
            return True
        if 0 not in numeric:
            # names may occur twice, as gene symbols do; a column such as the donor has few values, each often
            return 2 * n_different > n_rows or OF_OBJECTS.fullmatch(above) is not None
        if len(numeric) == 1 or not all(re.fullmatch(r"\s*\d+(\.0*)?\s*", cell) for cell in first):
            return False
        if OF_OBJECTS.fullmatch(above) or (n_different == n_rows and names_rows(above)):
            self.notes.append(f"the numbers in the first column of {self.name}, {above!r}, were taken for names")
            return True
        if above != "0" and (names_rows(above) or (n_different == n_rows and n_rows > 2)):
            self.notes.append(f"the numbers in the first column of {self.name}, {above!r}, were taken for values")
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

    def chunks(self, rows: int) -> Iterator[TableChunk]:
        """Stream the table in chunks of so many rows.

        Raises FormatError at a line with more or fewer fields than the first, or with something else than a number in a
        column of numbers.
        """
        fields = ([0] if self._named else []) + self._others + self._empty
        target = np.empty(self._width, np.int64)
        target[self._numeric], target[fields] = np.arange(len(self._numeric)), -1 - np.arange(len(fields))
        values, spans = np.empty((rows, len(self._numeric))), np.empty((rows, len(fields), 2), np.int64)
        texts: list[list[str]] = [[] for _ in fields]
        hard, number, filled = np.empty((HARD + self._width, 4), np.int64), self._n_above, 0
        with TextFile(self._path) as file:
            for _ in range(self._n_above):
                file.readline()
            text = WholeLines(file, self.name, TEXT, LONGEST)
            while text.position < text.stop or text.load(number):
                before = filled
                text.position, filled, lines, n_hard, status = parse_fields(
                    text.text, text.position, text.stop, ord(self._delimiter), ord(self._decimal),
                    target, values, spans, before, hard,
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
                    raise self._odd(text, number + 1)
                if n_hard and not np.isfinite(values[before:filled]).all():
                    raise self._between(number - lines + 1, number, "a number is too large")
                if filled == rows:
                    yield self._chunk(values, texts)
                    texts, filled = [[] for _ in fields], 0
        if filled:
            yield self._chunk(values[:filled], texts)

    def _between(self, first: int, last: int, fault: str) -> FormatError:
        return FormatError(f"{self.name}: between line {first} and {last} {fault}")

    def _chunk(self, values: Array, texts: list[list[str]]) -> TableChunk:
        plain = [
            [text[1:-1].replace('""', '"').replace('\\"', '"') if text.startswith('"') else text for text in column]
            for column in texts
        ]
        if any(any(plain.pop()) for _ in self._empty):
            raise FormatError(f"{self.name}: the last column has no name, but holds something")
        names = plain.pop(0) if self._named else None
        columns = [pd.Series(column, dtype=object) for column in plain]
        present = {k: column.where(~column.isin(MISSING)) for k, column in enumerate(columns)}
        frame = pd.DataFrame(present, index=range(len(values)))
        return TableChunk(names, values.copy(), frame.set_axis([self._header[k] for k in self._others], axis=1))

    def _odd(self, text: WholeLines, number: int) -> FormatError:
        """Describe the fault of the line at which the parser stopped."""
        line = bytes(text.buffer[text.position : text.buffer.index(b"\n", text.position)]).decode("utf-8", "replace")
        fields = split_line(line.rstrip("\r"), self._delimiter)
        where = f"{self.name}: line {number}"
        if len(fields) != self._width:
            return FormatError(f"{where} has {len(fields)} fields, but the first has {self._width}")
        for k in self._numeric:
            field = fields[k].strip()
            if not is_number(field, self._decimal):
                what = repr(field) if field else "nothing"
                return FormatError(f"{where} has {what} in column {self._header[k]!r}, which holds numbers")
            if re.fullmatch(r"[+-]?\d+", field) and abs(int(field)) > EXACT:
                return FormatError(f"{where} has {field} in column {self._header[k]!r}, which cannot be kept exactly")
        return FormatError(f"{where} cannot be read as fields: {line[:40]!r}")

    def row_names(self) -> list[str]:
        """Read the names of all rows, in a pass over the text."""
        names = []
        for line in islice(read_lines(self._path), self._n_above, None):
            if line.strip() and self._named:
                # a line may have very many fields
                short = line if '"' in line[:1] else line.partition(self._delimiter)[0]
                names.append(split_line(short, self._delimiter)[0].strip())
            elif line.strip():
                names.append(str(len(names)))
        return names
