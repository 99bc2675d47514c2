"""Datasets in one ZIP file, as Zarr and `kithkin.publish` write them: files that are read where they lie in it."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable
from functools import lru_cache

from kithkin.core.errors import KithkinError
from kithkin.core.host import Part, RemoteError

LOCAL_HEADER = struct.Struct("<4s22xHH")  # before each file: signature, lengths of its name and of what follows that


class Archive:
    """Files in a ZIP file, by name.

    Parameters
    ----------
    path
        The ZIP file.

    Raises
    ------
    KithkinError
        If it is none, is damaged, or its files are compressed.
    """

    def __init__(self, path: str) -> None:
        self.url = path
        self.version = _version(path)
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError) as error:
            raise KithkinError(f"{path} is no ZIP file, or is damaged ({error})") from error
        packed = next((one.filename for one in members if one.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None:
            raise KithkinError(f"{path} is compressed ({packed}), and cannot be read by parts: unpack it")
        self._members = {one.filename: (one.header_offset, one.file_size) for one in members if not one.is_dir()}

    def place(self, name: str) -> tuple[int, int]:
        """Return where a file begins, and its length.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        """
        if name not in self._members:
            raise FileNotFoundError(f"{self.url}: no {name}")
        header, size = self._members[name]
        raw = self.pread(LOCAL_HEADER.size, header)
        if len(raw) < LOCAL_HEADER.size or raw[:4] != b"PK\x03\x04":
            raise RemoteError(f"{self.url} is damaged: {name} is not where its list says")
        _, name_length, extra_length = LOCAL_HEADER.unpack(raw)
        return header + LOCAL_HEADER.size + name_length + extra_length, size

    def pread(self, length: int, offset: int) -> bytes:
        """Read bytes of the ZIP file."""
        handle = os.open(self.url, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(handle, length, offset)
        finally:
            os.close(handle)

    def get(self, name: str, *, largest: int | None = None) -> Part:
        """Read a file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        """
        offset, size = self.place(name)
        if largest is not None and size > largest:
            raise RemoteError(f"{name} of {self.url} has {size:,} bytes, which is more than a header can have")
        return Part(self.pread(size, offset), 0, size, self.version)


class ArchiveFile:
    """File in a ZIP file, read where it lies.

    Parameters
    ----------
    archive
        The ZIP file.
    name
        Name of the file in it.
    """

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive = archive
        self._start, self.size = archive.place(name)

    def read(self, length: int, offset: int) -> bytes:
        """Read bytes: less than asked for at the end of the file."""
        return self._archive.pread(max(0, min(length, self.size - offset)), self._start + offset)

    def tail(self, length: int) -> tuple[bytes, int]:
        """Read the last bytes of the file, and tell where they begin."""
        start = max(0, self.size - length)
        return self.read(length, start), start

    def fetch(self, extents: Iterable[tuple[int, int]]) -> None:
        """Do nothing: all of the file is here."""


def _version(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def archive_of(path: str) -> Archive:
    """Open a ZIP file, or take the one that is open, unless another has its name now."""
    try:
        return _archive_of(path, _version(path))
    except OSError as error:
        raise KithkinError(f"{path} cannot be read: {error.strerror}") from error


@lru_cache(maxsize=16)
def _archive_of(path: str, version: str) -> Archive:  # noqa: ARG001  (another file has another)
    return Archive(path)
