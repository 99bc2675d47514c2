"""Named arrays and texts in one file, in the form of safetensors: a header in JSON and plain numbers, no code.

The file begins with the length of the header (8 bytes, little-endian), the header maps names to type, shape and place,
and `__metadata__` in it maps texts to texts; the numbers follow, row by row, without gaps. Readers of safetensors open
it. A checksum of the numbers and one of the texts stand in the metadata, and both are verified on reading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.core.files import whole
from kithkin.core.suggest import did_you_mean

TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in TYPES.items()}
METADATA, CHECKSUM = "__metadata__", "checksum"
LARGEST_HEADER, LARGEST_FILE = 2**24, 2**28


def write_tensors(
    path: str | Path, arrays: Mapping[str, Array], texts: Mapping[str, str], *, overwrite: bool = False
) -> None:
    """Write arrays of numbers and texts; nothing is at the path until the file is whole.

    Raises
    ------
    KithkinError
        If the path exists and `overwrite` is not set, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/a.kin"
    >>> write_tensors(path, {"x": np.eye(2, dtype=np.float32)}, {"title": "identity"})
    >>> arrays, texts = read_tensors(path)
    >>> arrays["x"].tolist(), texts
    ([[1.0, 0.0], [0.0, 1.0]], {'title': 'identity'})
    """
    header: dict[str, Any] = {}
    numbers, end = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):  # so that each is aligned
        raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        header[name] = {
            "dtype": NAMES[raw.dtype],
            "shape": list(raw.shape),
            "data_offsets": [end, end := end + raw.nbytes],
        }
        numbers.append(raw.tobytes())
    header[METADATA] = dict(texts) | {CHECKSUM: _checksum(b"".join(numbers), header, texts)}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with whole(path, overwrite=overwrite) as staged:
        staged.write_bytes(b"".join((len(head).to_bytes(8, "little"), head, *numbers)))


def read_tensors(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the arrays and texts of a file, after checking that all of it is there and as it was written.

    Raises
    ------
    FormatError
        If it is not such a file, or damaged.
    """
    path = Path(path).expanduser()
    if not path.exists():
        near = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FormatError(f"{path} does not exist{did_you_mean(path.name, near)}")
    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise FormatError(f"{path.name} is not a file of arrays that kithkin wrote")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= length <= min(LARGEST_HEADER, len(content) - 8) or content[8:9] != b"{":
        raise FormatError(f"{path.name} is not a file of arrays that kithkin wrote, or its end is missing")
    numbers = content[8 + length :]
    try:
        header = json.loads(content[8 : 8 + length])
        texts = {str(name): str(text) for name, text in header.pop(METADATA).items()}
        arrays = {str(name): _array(numbers, **about) for name, about in header.items()}
        stored = texts.pop(CHECKSUM)
        covered = sorted(tuple(about["data_offsets"]) for about in header.values())
        whole_file = [0, *(end for _, end in covered)] == [*(start for start, _ in covered), len(numbers)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path.name} is damaged: its header cannot be read ({error})") from error
    if not whole_file or stored != _checksum(numbers, header, texts):
        raise FormatError(f"{path.name} is damaged: its checksum is wrong")
    return arrays, texts


def _array(numbers: bytes, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    """Take an array out of the numbers, as a copy that can be written to."""
    start, end = data_offsets
    kind = np.dtype(TYPES[dtype])
    if not 0 <= start <= end <= len(numbers) or min(shape, default=0) < 0:
        raise ValueError("an array lies outside of the file")
    return np.frombuffer(numbers[start:end], kind).reshape(shape).astype(kind.newbyteorder("="))


def _checksum(numbers: bytes, header: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    named = {name: about for name, about in header.items() if name != METADATA}
    said = json.dumps([named, {name: text for name, text in texts.items() if name != CHECKSUM}], sort_keys=True)
    return hashlib.blake2b(numbers + said.encode(), digest_size=20).hexdigest()
