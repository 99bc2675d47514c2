"""HDF5 files: signature and opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from kithkin.core.errors import FormatError

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
