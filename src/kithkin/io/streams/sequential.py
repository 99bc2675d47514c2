"""A stored one-dimensional array, HDF5 or Zarr, read in order so that each chunk is decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError


def read_slice(array: Any, selection: Any, name: str, key: str) -> Array:
    """TableChunk of a stored array.

    Raises
    ------
    FormatError
        If the file cannot give it: it is truncated or damaged.

    Examples
    --------
    >>> read_slice(np.arange(5), slice(1, 3), "a.h5", "X/data").tolist()
    [1, 2]
    """
    with damage(name, key):
        return np.asarray(array[selection])


@contextmanager
def damage(name: str, key: str) -> Iterator[None]:
    """Whatever goes wrong while bytes are decoded, said as a FormatError.

    Raises
    ------
    FormatError
        If the file cannot give what was asked.

    Examples
    --------
    >>> with damage("a.h5", "X/data"):
    ...     raise OSError("inflate() failed")
    Traceback (most recent call last):
    kithkin.core.errors.FormatError: a.h5: X/data cannot be read, the file is truncated or damaged: inflate() failed
    """
    try:
        yield
    except (MemoryError, FormatError):
        raise
    except Exception as error:  # what a codec raises on damaged bytes depends on the codec
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise FormatError(f"{name}: {key} cannot be read, the file is truncated or damaged: {reason}") from error


class SequentialReader:
    """Reads consecutive slices in whole chunks and keeps what of the last chunk is still to come.

    Parameters
    ----------
    array
        h5py dataset, Zarr array or NumPy array with one dimension.
    name, key
        File and place in it, for messages.

    Examples
    --------
    >>> window = SequentialReader(np.arange(10), "a.h5", "X/data")
    >>> window.read(3).tolist(), window.read(2).tolist()
    ([0, 1, 2], [3, 4])
    """

    def __init__(self, array: Any, name: str, key: str) -> None:
        self._array, self._name, self._key = array, name, key
        chunks = getattr(array, "chunks", None)
        self._chunk = int(chunks[0]) if chunks else 1
        self._buffer = np.empty(0, array.dtype)
        self._begin = self._end = 0  # what the buffer holds and has not handed out
        self._next = 0  # position in the file

    def read(self, length: int) -> Array:
        """The next values: a view that is valid until the next call."""
        missing = length - (self._end - self._begin)
        if missing > 0:
            self._fill(missing)
        view = self._buffer[self._begin : self._begin + length]
        self._begin += length
        return view

    def _fill(self, missing: int) -> None:
        stop = min(-(-(self._next + missing) // self._chunk) * self._chunk, self._array.shape[0])
        held, more = self._end - self._begin, stop - self._next
        if held + more > len(self._buffer):
            buffer = np.empty(held + more, self._array.dtype)
            buffer[:held] = self._buffer[self._begin : self._end]
            self._buffer = buffer
        else:
            self._buffer[:held] = self._buffer[self._begin : self._end].copy()
        selection = slice(self._next, stop)
        if hasattr(self._array, "read_direct"):  # HDF5 straight into the buffer: one copy less
            with damage(self._name, self._key):
                self._array.read_direct(self._buffer[held : held + more], selection)
        else:
            self._buffer[held : held + more] = read_slice(self._array, selection, self._name, self._key)
        self._begin, self._end, self._next = 0, held + more, stop
