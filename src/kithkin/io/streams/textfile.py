"""Text files, plain or gzip, as streams of bytes and of whole lines."""

from __future__ import annotations

from collections.abc import Iterator
from gzip import BadGzipFile
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip, igzip_lib, isal_zlib

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError

NEWLINE = 10
MOST_PACKED = 1032  # deflate makes nothing smaller than by this factor
GZIP, BYTE_ORDER_MARK = b"\x1f\x8b", b"\xef\xbb\xbf"
_GZIP_OPEN: Any = igzip.open
_DAMAGED: Any = BadGzipFile, igzip_lib.IsalError, isal_zlib.error


def is_gzip(path: Path) -> bool:
    """Tell whether a file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == GZIP


class TextFile(BufferedIOBase):
    """Binary stream of a text file, decompressed if it is gzip, without a byte order mark.

    Its first bytes tell whether it is compressed. Raises FormatError while reading, if the compressed stream is
    truncated or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = _GZIP_OPEN(path, "rb") if is_gzip(path) else path.open("rb")
        self.n_read = 0
        if head(path, len(BYTE_ORDER_MARK), keep_mark=True) == BYTE_ORDER_MARK:
            self._file.read(len(BYTE_ORDER_MARK))

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def _call(self, function: Any, argument: Any) -> Any:
        try:
            return function(argument)
        except EOFError as error:
            raise FormatError(
                f"{self._path.name} is truncated: its compressed stream breaks off after {self.n_read:,} bytes of text"
            ) from error
        except _DAMAGED as error:
            raise FormatError(f"{self._path.name}: the compressed stream is damaged ({error})") from error

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        count: int = self._call(self._file.readinto, buffer)
        self.n_read += count
        return count

    def read(self, size: int | None = -1) -> bytes:
        """Read up to size bytes, all by default."""
        data: bytes = self._call(self._file.read, -1 if size is None else size)
        self.n_read += len(data)
        return data

    def read1(self, size: int = -1) -> bytes:
        """Read up to size bytes."""
        return self.read(size)

    def readline(self, size: int | None = -1) -> bytes:
        """Read one line with its end."""
        data: bytes = self._call(self._file.readline, -1 if size is None else size)
        self.n_read += len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class WholeLines:
    r"""A file as a sliding buffer of whole lines, for a compiled parser.

    The buffer has `size` bytes, and grows up to `longest` when a line is longer. `buffer` and `text` are the same
    bytes, as a bytearray and as uint8. `position` and `stop` bound the whole lines that have not been parsed; the
    parser moves `position` on.

    Examples
    --------
    >>> from io import BytesIO
    >>> lines = WholeLines(BytesIO(b"a\nbc\nd"), "a.txt", 6, 6)
    >>> while lines.load(0):
    ...     print(bytes(lines.buffer[lines.position : lines.stop]))
    ...     lines.position = lines.stop
    b'a\nbc\n'
    b'd\n'
    """

    def __init__(self, file: Any, name: str, size: int, longest: int) -> None:
        self._file, self._name, self._longest = file, name, longest
        self.buffer = bytearray(size + 1)  # one more for the end of a last line that lacks it
        self.text: Array = np.frombuffer(self.buffer, np.uint8)
        self.position = self.stop = self._end = 0

    def load(self, n_lines: int) -> bool:
        """Move on to the next whole lines; False at the end of the file.

        `n_lines` were read so far, for messages. Raises FormatError if a line is longer than allowed.
        """
        rest = self._end - self.stop
        self.buffer[:rest] = self.buffer[self.stop : self._end]
        self._end, self.position = rest, 0
        while True:
            size = len(self.buffer) - 1
            count = self._file.readinto(memoryview(self.buffer)[self._end : size])
            self._end += count
            if not count and self._end and self.buffer[self._end - 1] != NEWLINE:
                self.buffer[self._end] = NEWLINE
                self._end += 1
            self.stop = self.buffer.rfind(b"\n", 0, self._end) + 1
            if self.stop or not count:
                return self.stop > 0
            if self._end == size:
                if size >= self._longest:
                    raise FormatError(f"{self._name}: line {n_lines + 1} is too long")
                old, self.buffer = self.buffer, bytearray(min(2 * size, self._longest) + 1)
                self.buffer[: len(old)] = old
                self.text = np.frombuffer(self.buffer, np.uint8)


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, compressed or not, without their ends.

    Raises FormatError if it is not UTF-8 text, or compressed and damaged; names the line.
    """
    with TextFile(path) as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise FormatError(f"{path.name}: line {number} is not UTF-8 text") from error


def head(path: Path, size: int = 1 << 16, *, keep_mark: bool = False) -> bytes:
    """Read the first bytes of a file, decompressed; fewer where the compressed stream is truncated or damaged.

    `keep_mark` keeps a byte order mark of UTF-8, which is skipped otherwise.
    """
    with path.open("rb") as file:
        start = file.read(max(size, 1 << 16))
    if start.startswith(GZIP):
        try:
            start = bytes(isal_zlib.decompressobj(wbits=31).decompress(start, size + len(BYTE_ORDER_MARK)))
        except _DAMAGED:
            return b""
    return (start if keep_mark else start.removeprefix(BYTE_ORDER_MARK))[:size]
