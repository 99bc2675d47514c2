"""The entries of a Matrix Market file as a stream of coordinates, each line checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import FormatError
from kithkin.io.streams.checks import check_size
from kithkin.io.streams.textfile import TextFile, WholeLines, most_bytes
from kithkin.kernels.text import EXACT, ODD, parse_entries

TEXT = 1 << 20  # bytes parsed at a time: stays in a core's own cache
HARD = 1 << 14
LONGEST = 1 << 16  # a line of three numbers is never this long
BANNER, WHOLE = b"%%matrixmarket", rb"[+-]?\d+"
FIELDS = {
    "float": "real",
    "double": "real",
    "int": "integer",
    "unsigned-integer": "integer",
}  # words of programs that depart from the format


@dataclass(frozen=True)
class Header:
    """Head of a Matrix Market file: its promises."""

    path: Path
    shape: tuple[int, int]  # largest first and second number that a line may name
    n_entries: int  # lines that follow
    field: str  # "integer", "real" or "pattern"
    n_lines: int  # lines of the head

    @property
    def name(self) -> str:
        """File name as messages show it."""
        return self.path.name

    @property
    def most_entries(self) -> int:
        """Number of entries that are promised, or that the file can hold if those are fewer."""
        return min(self.n_entries, most_bytes(self.path) // len("1 1\n") + 1)


def _excerpt(line: bytes | bytearray) -> str:
    text = line.decode("latin-1").strip()
    return repr(text if len(text) <= 40 else text[:40] + "...")


def read_header(path: Path) -> Header:
    """Read the head of a Matrix Market file.

    Raises FormatError if it is empty, not Matrix Market, of a kind that cannot hold counts, or has no rows or columns.
    """
    with TextFile(path) as file:
        line = file.readline(LONGEST)
        if not line:
            raise FormatError(f"{path.name}: the file is empty")
        words = line.decode("latin-1").lower().split()
        if len(words) != 5 or words[0].encode() != BANNER or words[1] != "matrix":
            raise FormatError(f"{path.name}: line 1 is not the head of a Matrix Market file: {_excerpt(line)}")
        _, _, layout, field, symmetry = words
        if layout != "coordinate":
            raise FormatError(f"{path.name}: line 1 promises the layout {layout!r}; only 'coordinate' holds counts")
        field = FIELDS.get(field, field)
        if field not in ("integer", "real", "pattern"):
            raise FormatError(
                f"{path.name}: line 1 promises {field!r} values; counts are 'integer', 'real' or 'pattern'"
            )
        if symmetry != "general":
            raise FormatError(
                f"{path.name}: line 1 promises a {symmetry} matrix; a table of cells and genes is 'general'"
            )
        n_lines = 1
        while line and (line.startswith(b"%") or not line.strip()):
            line, n_lines = file.readline(LONGEST), n_lines + 1
    sizes = line.split()
    if len(sizes) != 3 or not all(re.fullmatch(rb"\d{1,18}", size) for size in sizes):
        raise FormatError(
            f"{path.name}: line {n_lines} should promise rows, columns and entries, but is {_excerpt(line)}"
        )
    first, second, n_entries = (int(size) for size in sizes)
    if min(first, second) == 0:
        raise FormatError(
            f"{path.name}: line {n_lines} promises a matrix of {first} x {second}: there is nothing in it"
        )
    if max(first, second) >= 2**31:
        raise FormatError(f"{path.name}: line {n_lines} promises {max(first, second)} rows or columns: too many")
    header = Header(path, (first, second), n_entries, field, n_lines)
    check_size(header.shape, header.most_entries, path.name, f"line {n_lines}")
    return header


class EntryReader:
    """Coordinates and values in buffers of fixed size, in the order of the file.

    `kinds` are the words for the first and the second number of a line in messages: ("gene", "cell") in 10x files. The
    buffers `first`, `second` and `values` (int32, int32, float64) hold `capacity` entries, of which `filled` are there.
    Raises FormatError while filling, at the first line that breaks the header's promise.
    """

    def __init__(self, header: Header, kinds: tuple[str, str], capacity: int) -> None:
        self.header, self._kinds = header, kinds
        self.first, self.second = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
        self.values, self.filled = np.empty(capacity), 0
        self._file = TextFile(header.path)
        for _ in range(header.n_lines):
            self._file.readline()
        self._text = WholeLines(self._file, header.name, TEXT, max(TEXT, LONGEST))
        self._line, self._seen = header.n_lines, 0
        self._hard = np.empty((HARD, 3), np.int64)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def fill(self) -> bool:
        """Read until the buffers are full (True) or the file has ended (False)."""
        while self.filled < len(self.values):
            if self._text.position == self._text.stop and not self._text.load(self._line):
                if self._seen < self.header.n_entries:
                    raise self._fault(self._line, f"is the last, after {self._seen:,} entries, {self._promise()}")
                return False
            header, text, before = self.header, self._text, self.filled
            start = text.position
            room = min(len(self.values), before + max(header.n_entries - self._seen, 1))
            text.position, self.filled, lines, n_hard, status = parse_entries(
                text.text, start, text.stop, header.field != "pattern", header.field == "real", *header.shape,
                self.first, self.second, self.values[:room], before, self._hard,
            )  # fmt: skip
            for entry, begin, end in self._hard[:n_hard].tolist():
                self.values[entry] = float(text.buffer[begin:end])
                if abs(self.values[entry]) == np.inf:
                    line = self._line + text.buffer.count(b"\n", start, begin) + 1
                    raise self._fault(line, f"holds {_excerpt(text.buffer[begin:end])}, which is too large")
            self._line += lines
            if status == ODD:
                self._odd()
            self._seen += self.filled - before
            if self._seen > header.n_entries:
                raise self._fault(self._line, f"is entry {self._seen:,}, {self._promise()}")
        return True

    def drop(self, count: int) -> None:
        """Forget the first entries of the buffers."""
        rest = self.filled - count
        for array in (self.first, self.second, self.values):
            array[:rest] = array[count : self.filled].copy()
        self.filled = rest

    def _promise(self) -> str:
        return f"but the header promises {self.header.n_entries:,}"

    def _fault(self, line: int, message: str) -> FormatError:
        return FormatError(f"{self.header.name}: line {line} {message}")

    def _odd(self) -> None:
        """Take an unusual line with care, or say what is wrong with it."""
        text = self._text
        end = text.buffer.index(b"\n", text.position) + 1
        line = bytes(text.buffer[text.position : end])
        text.position, self._line = end, self._line + 1
        try:
            first, second, value = self._numbers(line.split())
        except ValueError as error:
            raise self._fault(self._line, str(error)) from None
        self.first[self.filled], self.second[self.filled], self.values[self.filled] = first - 1, second - 1, value
        self.filled += 1

    def _numbers(self, words: list[bytes]) -> tuple[int, int, float]:
        """Read the numbers of a line: two coordinates from 1, and a value; 1 where the file has none."""
        field = self.header.field
        expected = 2 if field == "pattern" else 3
        if len(words) != expected:
            raise ValueError(f"should hold {expected} numbers, but is {_excerpt(b' '.join(words))}")
        numbers = []
        for word, kind, limit in zip(words, self._kinds, self.header.shape, strict=False):
            if not re.fullmatch(WHOLE, word):
                raise ValueError(f"names {kind} {_excerpt(word)}, which is not a number")
            number = int(word)
            if number > limit:
                raise ValueError(f"names {kind} {number}, but the header promises {limit}")
            if number < 1:
                raise ValueError(f"names {kind} {number}, but they are numbered from 1")
            numbers.append(number)
        if expected == 2:
            return numbers[0], numbers[1], 1.0
        whole, word = re.fullmatch(WHOLE, words[2]), words[2]
        if not whole and not re.fullmatch(rb"[+-]?(nan|inf(inity)?|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", word.lower()):
            raise ValueError(f"holds {_excerpt(word)}, which is not a number")
        value: Any = int(word) if whole else float(word)
        if value != value or abs(value) == np.inf:  # noqa: PLR0124  (NaN is what differs from itself)
            raise ValueError(f"holds {word.decode()}, which is not a count")
        if field == "integer" and not whole:
            raise ValueError(f"holds {word.decode()}, but the header promises integers")
        if field == "integer" and abs(value) > EXACT:
            raise ValueError(f"holds {word.decode()}, more than can be kept exactly ({EXACT})")
        return numbers[0], numbers[1], float(value)
