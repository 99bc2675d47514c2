"""Stored one-dimensional arrays, HDF5 or Zarr, read in order so that each chunk is decoded once."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, KithkinError

NO_FAULT_OF_THE_FILE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM}
LONGEST_REASON = 300  # characters


class Unreadable(FormatError):  # noqa: N818  (what is wrong with a part of a file)
    """Raised if a part of a file cannot be decoded, so that what can do without it may go on."""


def reason_of(error: BaseException) -> str:
    """Put the message of another library's error on one line; the name of the error where it has none."""
    return " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__


@contextmanager
def format_errors(name: str, fault: str) -> Iterator[None]:
    """Turn whatever a parser raises on damaged bytes into a FormatError that names the file; the cause is chained.

    Raises Unreadable if the block raises anything but an error of kithkin, a warning, or the lack of memory.

    Examples
    --------
    >>> with format_errors("a.h5", "X cannot be read"):
    ...     raise OSError("inflate() failed")
    Traceback (most recent call last):
    kithkin.io.streams.sequential.Unreadable: a.h5: X cannot be read, the file is truncated or damaged: inflate() failed
    """
    try:
        yield
    except (MemoryError, KithkinError, Warning):
        raise
    except Exception as error:  # what a parser raises on damaged bytes depends on the parser
        if isinstance(error, OSError) and error.errno in NO_FAULT_OF_THE_FILE:
            raise
        reason = reason_of(error)
        if isinstance(error, KeyError) and " " not in reason:
            reason = f"{reason} is missing"
        raise Unreadable(f"{name}: {fault}, the file is truncated or damaged: {reason}") from error


def read_slice(array: Any, selection: Any, name: str, key: str) -> Array:
    """Read a part of a stored array.

    Raises FormatError if the file cannot give it: it is truncated or damaged.
    """
    with format_errors(name, f"{key} cannot be read"):
        return np.asarray(array[selection])


class SequentialReader:
    """Reader of consecutive slices in whole chunks, which keeps the unread rest of the last chunk.

    The array is an h5py dataset, Zarr array or NumPy array with one dimension; the first slice begins at `start`.

    Examples
    --------
    >>> window = SequentialReader(np.arange(10), "a.h5", "X/data")
    >>> window.read(3).tolist(), window.read(2).tolist()
    ([0, 1, 2], [3, 4])
    """

    def __init__(self, array: Any, name: str, key: str, start: int = 0) -> None:
        self._array, self._name, self._key = array, name, key
        chunks = getattr(array, "chunks", None)
        self._chunk = int(chunks[0]) if chunks else 1
        self._buffer = np.empty(0, array.dtype)
        self._begin = self._end = 0  # what the buffer holds and has not handed out
        self._next = start  # position in the file

    def read(self, length: int) -> Array:
        """Return a view of the next values, valid until the next call; fewer, where the array ends."""
        held = self._end - self._begin
        if length > held:
            stop = min(-(-(self._next + length - held) // self._chunk) * self._chunk, self._array.shape[0])
            stop = max(stop, self._next)  # behind the end of an array that was made shorter there is nothing
            more = stop - self._next
            if held + more > len(self._buffer):
                buffer = np.empty(held + more, self._array.dtype)
                buffer[:held] = self._buffer[self._begin : self._end]
                self._buffer = buffer
            else:
                self._buffer[:held] = self._buffer[self._begin : self._end].copy()
            selection = slice(self._next, stop)
            if more and hasattr(self._array, "read_direct"):  # HDF5 straight into the buffer: one copy less
                with format_errors(self._name, f"{self._key} cannot be read"):
                    self._array.read_direct(self._buffer[held : held + more], selection)
            else:
                self._buffer[held : held + more] = read_slice(self._array, selection, self._name, self._key)
            self._begin, self._end, self._next = 0, held + more, stop
        view = self._buffer[self._begin : self._begin + length]
        self._begin += length
        return view
