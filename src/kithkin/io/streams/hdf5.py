"""HDF5 files: signature and opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.annotation import texts

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(source: Any) -> bool:
    """Tell whether a path is a file with HDF5's signature, whole or truncated."""
    if not isinstance(source, (str, Path)) or not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        for offset in (0, 512, 1024, 2048):  # a user block may stand before it
            file.seek(offset)
            if file.read(8) == SIGNATURE:
                return True
    return False


def plain_values(values: Array) -> Array:
    """Return stored values with texts as Python strings, and numbers that stand for names (enum) as these names.

    Raises FormatError if the values are references, or lists of different lengths.

    Examples
    --------
    >>> kind = h5py.enum_dtype({"B": 0, "T": 1}, basetype="i1")
    >>> plain_values(np.array([1, 0], kind)).tolist(), plain_values(np.array([b"a"])).tolist()
    (['T', 'B'], ['a'])
    """
    names = h5py.check_enum_dtype(values.dtype)
    if values.dtype.kind == "O" and not all(isinstance(item, (str, bytes)) for item in values.ravel()):
        raise FormatError(f"it holds objects, such as {values.ravel()[0]!r:.40}, not values")
    if names is None or values.dtype.kind == "b":
        return texts(values) if values.dtype.kind in "OSU" else values
    name_of = {int(number): str(name) for name, number in names.items()}
    out = np.empty(values.size, object)
    out[:] = [name_of.get(number, str(number)) for number in values.ravel().tolist()]
    return out.reshape(values.shape)


def open_hdf5(path: str | Path) -> h5py.File:
    """Open an HDF5 file for reading, without a lock.

    Raises FormatError if it is truncated or damaged.
    """
    try:
        # without a lock: a file on a read-only or shared disk is read like any other
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        reason = str(error).partition("(")[2].rstrip(")") or str(error)
        raise FormatError(f"{Path(path).name} is truncated or damaged: {reason}") from error
