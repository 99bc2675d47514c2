"""Hash of what is stored at a key: the same for equal values, however they are cut into files and compressed."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from zarr.errors import UnstableSpecificationWarning

from kithkin.core.arrays import open_array, read_header

STEP = 2**20  # values that are hashed at a time
LENGTH = 32  # hexadecimal digits of SHA-256 that are kept


def content_of(path: Path, key: str) -> str:
    """Hash all arrays of an element, streamed: their names in it, types, shapes and values.

    Parameters
    ----------
    path
        The dataset.
    key
        Such as "obs/leiden", which must be there.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> one, other = (kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr").path for _ in range(2))
    >>> content_of(one, "X") == content_of(other, "X"), len(content_of(one, "X"))
    (True, 32)
    """
    found = hashlib.sha256()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UnstableSpecificationWarning)  # of tables of records
        for name in arrays_of(path, key):
            array = open_array(path, name, compiled=bool(read_header(path, name)["shape"]))
            found.update(f"{name.removeprefix(key)} {array.dtype} {array.shape}\0".encode())
            rows = max(1, STEP // max(1, int(np.prod(array.shape[1:], dtype=np.int64)))) if array.ndim else 1
            for start in range(0, array.shape[0] if array.ndim else 1, rows):
                _add(found, np.asarray(array[start : start + rows] if array.ndim else array[...]))
    return found.hexdigest()[:LENGTH]


def arrays_of(path: Path, key: str) -> list[str]:
    """List the arrays at and below a key, in order."""
    if read_header(path, key).get("node_type") == "array":
        return [key]
    inner = sorted(child.name for child in (path / key).iterdir() if (child / "zarr.json").exists())
    return [name for one in inner for name in arrays_of(path, f"{key}/{one}")]


def _add(found: Any, values: np.ndarray[Any, Any]) -> None:
    """Add values to a hash; texts by their characters, and of records one field after the other."""
    if values.dtype.names:
        for name in values.dtype.names:
            _add(found, values[name])
    elif values.dtype.kind in "OT":
        found.update("\0".join([*map(str, values.ravel().tolist()), ""]).encode(errors="surrogatepass"))
    else:
        found.update(np.ascontiguousarray(values).tobytes())
