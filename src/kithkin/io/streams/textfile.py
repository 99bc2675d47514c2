"""Text files, plain or compressed, as streams of bytes of UTF-8 and of whole lines."""

from __future__ import annotations

import bz2
import codecs
import lzma
from collections.abc import Iterator
from gzip import BadGzipFile
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip, igzip_lib, isal_zlib

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError

NEWLINE = 10
SAMPLE = 1 << 16  # bytes by which the ends of lines are told
PACKED = {"gzip": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}  # first bytes of compressed files
ENDINGS = r"(\.(gz|bz2|xz))?"  # of their names
MOST_PACKED = {None: 1, "gzip": 1032, "bz2": 1 << 16, "xz": 1 << 13}  # factor by which text is smaller, at most
BYTE_ORDER_MARK, UTF_16 = codecs.BOM_UTF8, (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OPEN: dict[str, Any] = {"gzip": igzip.open, "bz2": bz2.open, "xz": lzma.open}
_DAMAGED: Any = BadGzipFile, igzip_lib.IsalError, isal_zlib.error, lzma.LZMAError


def compression_of(path: Path) -> str | None:
    """Tell by its first bytes how a file is compressed: "gzip", "bz2", "xz" or not at all."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((name for name, magic in PACKED.items() if start.startswith(magic)), None)


def most_bytes(path: Path) -> int:
    """Return the number of bytes that a file can hold at most, once it is decompressed."""
    return path.stat().st_size * MOST_PACKED[compression_of(path)]


class _Recoded(RawIOBase):
    """Stream of text in UTF-8 with line feeds, of a file in UTF-16 or with carriage returns at the ends of lines."""

    def __init__(self, file: Any, name: str, encoding: str, *, returns: bool) -> None:
        self._file, self._name, self._returns = file, name, returns
        self._decoder = codecs.getincrementaldecoder(encoding)() if encoding != "utf-8" else None
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            data = self._file.read(1 << 16)
            try:
                text = data if self._decoder is None else self._decoder.decode(data, final=not data).encode()
            except UnicodeError as error:
                raise FormatError(f"{self._name} is truncated or damaged: it is not whole UTF-16 text") from error
            self._rest = text.replace(b"\r", b"\n") if self._returns else text
            if not data and not self._rest:
                return 0
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


class TextFile(BufferedIOBase):
    """Binary stream of a text file, decompressed and in UTF-8, without a byte order mark.

    Its first bytes tell whether it is compressed, and whether it is UTF-16. Raises FormatError while reading, if the
    compressed stream is truncated or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        packed = compression_of(path)
        self._file: Any = path.open("rb") if packed is None else _OPEN[packed](path, "rb")
        self.n_read = 0
        start = _start(path, SAMPLE)
        returns = _has_returns_only(_decoded(start))
        if start.startswith(BYTE_ORDER_MARK):
            self._file.read(len(BYTE_ORDER_MARK))
        if start.startswith(UTF_16) or returns:
            encoding = "utf-16" if start.startswith(UTF_16) else "utf-8"
            self._file = BufferedReader(_Recoded(self._file, path.name, encoding, returns=returns), 1 << 16)

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
        except OSError as error:
            if error.errno is not None:
                raise
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
                raise FormatError(f"{path.name}: line {number} is not UTF-8 text: save it as UTF-8") from error


def head(path: Path, size: int = 1 << 16) -> bytes:
    """Read the first bytes of a file, decompressed; fewer where the compressed stream is truncated or damaged.

    Text comes in UTF-8, without a byte order mark.
    """
    start = _start(path, size + len(BYTE_ORDER_MARK))
    if start.startswith(UTF_16):
        start = _start(path, 2 * size + 2)
    text = _decoded(start).removeprefix(BYTE_ORDER_MARK)[:size]
    return text.replace(b"\r", b"\n") if _has_returns_only(text) else text


def _decoded(start: bytes) -> bytes:
    """Return the beginning of a text in UTF-8; of UTF-16 as many letters as are whole."""
    if not start.startswith(UTF_16):
        return start
    return start[: len(start) - len(start) % 2].decode("utf-16", "ignore").encode()


def _has_returns_only(text: bytes) -> bool:
    """Tell whether lines end by carriage returns alone, as on old Macintoshes."""
    return b"\r" in text[:-1] and b"\n" not in text and b"\0" not in text


def encoding_of(path: Path) -> str:
    """Name the encoding of a text file, as pandas reads it."""
    return "utf-16" if _start(path, 2).startswith(UTF_16) else "utf-8-sig"


def _start(path: Path, size: int) -> bytes:
    """Read the first bytes of a file, decompressed."""
    packed = compression_of(path)
    try:
        if packed in ("bz2", "xz"):
            with _OPEN[packed](path, "rb") as file:
                return bytes(file.read(size))
        with path.open("rb") as file:
            start = file.read(max(size, 1 << 16))
        return start[:size] if packed is None else bytes(isal_zlib.decompressobj(wbits=31).decompress(start, size))
    except (*_DAMAGED, EOFError):
        return b""
    except OSError as error:
        if error.errno is not None:
            raise
        return b""  # as bz2 says that it is damaged
