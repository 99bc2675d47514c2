"""Calls of the system that fail on purpose: opening, writing, renaming, flushing, making, removing and locking.

    with injected(folder, "write", errno.ENOSPC, 3):
        ...  # the third write below the folder fails, and as the disk is full, every later one

Calls are counted where Python makes them: `os`, `open`, `fcntl`, and the exchange of two names through ctypes.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self
from unittest import mock

KINDS = ("open", "write", "rename", "fsync", "mkdir", "unlink", "lock")
EXCHANGES = ("renameat2", "renamex_np")
# functions of os by what they do, and which argument names the file: a path or a descriptor
CALLS = {
    "write": ("write", "pwrite", "writev", "pwritev", "truncate", "ftruncate", "posix_fallocate"),
    "rename": ("rename", "replace", "link", "symlink"),
    "fsync": ("fsync", "fdatasync"),
    "mkdir": ("mkdir",),
    "unlink": ("unlink", "remove", "rmdir"),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Faults:
    """Counts calls below a folder, and fails one of them.

    Parameters
    ----------
    folder
        Only calls on what lies below it count.
    kind
        Kind of call that fails; "" for none.
    number
        Error number. ENOSPC lasts: every later call of the kind fails too.
    k
        Number of the call, from 1.

    Attributes
    ----------
    counts
        Calls of each kind.
    """

    def __init__(self, folder: Path, kind: str = "", number: int = 0, k: int = 0) -> None:
        self._folder, self._kind, self._number, self._k = os.fspath(folder), kind, number, k
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def hit(self, kind: str, file: Any, dir_fd: int | None = None) -> None:
        """Count a call, and raise OSError if it is the one."""
        path = path_of(file, dir_fd)
        if not path.startswith(self._folder):
            return
        with self._lock:
            self.counts[kind] += 1
            n = self.counts[kind]
        if kind == self._kind and (n == self._k or (n > self._k and self._number == errno.ENOSPC)):
            raise OSError(self._number, os.strerror(self._number), path)


def path_of(file: Any, dir_fd: int | None = None) -> str:
    """The path of a file given by path or descriptor; "" if it has none."""
    try:
        if isinstance(file, int):
            return os.readlink(f"/proc/self/fd/{file}")
        path = os.fsdecode(file)
        base = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
        return os.path.normpath(os.path.join(base, path))
    except OSError:
        return ""


class Watched:
    """A file opened for writing of which every write counts."""

    def __init__(self, file: Any, path: Any, faults: Faults) -> None:
        self._file, self._path, self._faults = file, path, faults

    def write(self, data: Any) -> Any:
        """Write, unless it is to fail."""
        self._faults.hit("write", self._path)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *about: Any) -> Any:
        return self._file.__exit__(*about)

    def __iter__(self) -> Any:
        return iter(self._file)


def _counted(faults: Faults, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        named = args[1] if kind == "rename" and len(args) > 1 else args[0] if args else kwargs.get("path")
        faults.hit(kind, named, kwargs.get("dst_dir_fd", kwargs.get("dir_fd")))
        return real(*args, **kwargs)

    return call


def _os_open(faults: Faults, real: Callable[..., int]) -> Callable[..., int]:
    def call(path: Any, flags: int, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> int:
        if flags & WRITING:
            faults.hit("open", path, dir_fd)
        return real(path, flags, *args, dir_fd=dir_fd, **kwargs)

    return call


def _open(faults: Faults, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wax+"):
            return real(file, mode, *args, **kwargs)
        path = path_of(file)
        if not isinstance(file, int):
            faults.hit("open", path)
        return Watched(real(file, mode, *args, **kwargs), path, faults)

    return call


def _exchange(faults: Faults, real: Callable[..., Any], plain: bool) -> Callable[..., Any]:
    """Attributes of a shared library: the exchange of two names counts as a rename, or cannot be had."""

    def attribute(library: Any, name: str) -> Any:
        function = real(library, name)
        if name not in EXCHANGES:
            return function

        def exchange(*args: Any) -> Any:
            if plain:
                ctypes.set_errno(errno.ENOSYS)
                return -1
            try:
                faults.hit("rename", [arg for arg in args if isinstance(arg, bytes)][-1])
            except OSError as error:
                ctypes.set_errno(error.errno or 0)
                return -1
            return function(*args)

        setattr(library, name, exchange)  # ctypes keeps what it has found
        return exchange

    return attribute


@contextmanager
def injected(folder: Path, kind: str = "", number: int = 0, k: int = 0, *, plain: bool = False) -> Iterator[Faults]:
    """Count the calls below a folder, and fail the k-th of a kind.

    Parameters
    ----------
    folder, kind, number, k
        As in `Faults`.
    plain
        Whether names cannot be exchanged in one step, as on NFS.
    """
    faults = Faults(folder, kind, number, k)
    with ExitStack() as stack:

        def put(place: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        for what, names in CALLS.items():
            for name in names:
                if hasattr(os, name):
                    put(os, name, _counted(faults, what, getattr(os, name)))
        for name in ("flock", "lockf"):
            put(fcntl, name, _counted(faults, "lock", getattr(fcntl, name)))
        put(os, "open", _os_open(faults, os.open))
        opened = _open(faults, io.open)
        put(io, "open", opened)
        put(builtins, "open", opened)
        put(ctypes.CDLL, "__getattr__", _exchange(faults, ctypes.CDLL.__getattr__, plain))
        yield faults
