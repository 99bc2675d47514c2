"""Files on a web server of which what was read is kept on disk, so that each byte is fetched once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kithkin.core.host import LARGEST_WHOLE, Host, Part, RemoteError
from kithkin.core.transaction import is_full_disk


class RemoteFile:
    """File on a server of which what was read is kept: each byte is fetched once, whoever asks for it.

    Parameters
    ----------
    host
        The server.
    name
        Path of the file below its address.
    kept
        File that receives what is fetched. A second one, with ".ranges" behind its name, lists it: the length of the
        file and its version, and then a line for each range. It is locked by who fetches.
    tag
        Version of the header of the root that the server must still have, or "".
    durable
        Whether what is listed must be there even after a loss of power: no checksum would tell.
    """

    def __init__(self, host: Host, name: str, kept: Path, tag: str = "", *, durable: bool = False) -> None:
        self._host, self._name, self._kept, self._tag, self._durable = host, name, kept, tag, durable
        self._list = kept.with_name(f"{kept.name}.ranges")
        self._size: int | None = None
        self._version = ""
        self._there: list[tuple[int, int]] = []
        self._read_list()

    def _read_list(self) -> None:
        """Take up what has been fetched so far."""
        try:
            lines = self._list.read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return
        if not lines:
            return
        size, _, self._version = lines[0].partition(" ")
        self._size = int(size)
        pairs = [line.split(" ") for line in lines[1:]]
        self._there = _merged((int(start), int(stop)) for start, stop in pairs)

    @contextmanager
    def _alone(self) -> Any:
        """Be the one who fetches, and know what others have fetched."""
        try:
            self._list.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._list, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._refusal(error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            listed = os.pread(handle, os.fstat(handle).st_size, 0)
            os.ftruncate(handle, listed.rfind(b"\n") + 1)  # without the part of a line that a kill has left
            self._read_list()
            yield handle
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise self._refusal(error) from error
        finally:
            os.close(handle)

    def _refusal(self, error: OSError) -> RemoteError:
        reason = "the disk is full" if is_full_disk(error) else str(error.strerror)
        return RemoteError(f"what is read from {self._host.url} cannot be kept in {self._kept.parent}: {reason}")

    def _keep(self, handle: int, part: Part) -> None:
        """Store a part, and list it once it is whole."""
        if self._size is None:
            if not self._host.is_still("zarr.json", self._tag):
                raise RemoteError(f"{self._host.url} was changed while it was read: open it again")
            os.write(handle, f"{part.size} {part.version}\n".encode())
            self._size, self._version = part.size, part.version
        elif (part.size, part.version) != (self._size, self._version):
            changed = f"{self._host.url}/{self._name} was changed while it was read"
            raise RemoteError(f"{changed}: open it again")
        file = os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = 0
            while written < len(part.content):
                written += os.pwrite(file, part.content[written:], part.start + written)
            if self._durable:
                os.fsync(file)
        finally:
            os.close(file)
        stop = part.start + len(part.content)
        os.write(handle, f"{part.start} {stop}\n".encode())
        self._there = _merged([*self._there, (part.start, stop)])

    @property
    def state(self) -> tuple[int | None, str]:
        """Size and version of the file of which something is here; None and "" where nothing is."""
        return self._size, self._version

    @property
    def n_bytes(self) -> int:
        """Number of bytes that are here."""
        return sum(stop - start for start, stop in self._there)

    @property
    def size(self) -> int:
        """Length of the file; the whole of it is fetched where it is not known yet."""
        if self._size is None:
            with self._alone() as handle:
                if self._size is None:
                    self._keep(handle, self._host.get(self._name))
        return int(self._size or 0)

    def tail(self, length: int) -> tuple[bytes, int]:
        """Read the last bytes of the file, and tell where they begin."""
        if self._size is None:
            with self._alone() as handle:
                if self._size is None:
                    self._keep(handle, self._host.get(self._name, tail=length, largest=LARGEST_WHOLE))
        start = max(0, self.size - length)
        return self.read(length, start), start

    def fetch(self, extents: Iterable[tuple[int, int]]) -> None:
        """Fetch ranges, given as offset and length, in as few requests as touch nothing else."""
        wanted = _merged((offset, min(offset + length, self.size)) for offset, length in extents)
        if not _missing(wanted, self._there):
            return
        with self._alone() as handle:
            for start, stop in _missing(wanted, self._there):
                if _missing([(start, stop)], self._there):  # else it came along from a server that gives no parts
                    self._keep(handle, self._host.get(self._name, start, stop))

    def read(self, length: int, offset: int) -> bytes:
        """Read bytes: less than asked for at the end of the file."""
        self.fetch([(offset, length)])
        if offset >= self.size:
            return b""
        file = os.open(self._kept, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(file, min(length, self.size - offset), offset)
        finally:
            os.close(file)


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch or overlap.

    Examples
    --------
    >>> _merged([(4, 6), (0, 2), (2, 3)])
    [(0, 3), (4, 6)]
    """
    found: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if stop <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return found


def _missing(wanted: list[tuple[int, int]], there: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Take ranges that are there from ranges that are wanted.

    Examples
    --------
    >>> _missing([(0, 10)], [(2, 3), (9, 12)])
    [(0, 2), (3, 9)]
    """
    found = []
    for first, last in wanted:
        start = first
        for begin, end in there:
            if end <= start or begin >= last:
                continue
            if begin > start:
                found.append((start, begin))
            start = max(start, end)
        if start < last:
            found.append((start, last))
    return found
