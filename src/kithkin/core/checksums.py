"""Checksums of the headers (zarr.json), which carry no checksum of their own as chunks do."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import zarr

from kithkin.core.elements import write_element

PLACE = "uns/kithkin/headers"


def survey(folder: Path) -> dict[str, int]:
    """Checksum of every header below a folder, by the key of its element ("" for the root's own).

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> _ = zarr.create_group(root / "a", zarr_format=3)
    >>> list(survey(root))
    ['a']
    """
    found = {}
    for header in sorted(folder.rglob("zarr.json")):
        key = header.parent.relative_to(folder).as_posix().removeprefix(".")
        if key != PLACE:
            found[key] = zlib.crc32(header.read_bytes())
    return found


def write_headers(group: zarr.Group, headers: Mapping[str, int]) -> None:
    """Write the checksums as an array of texts named "headers".

    Examples
    --------
    >>> group = zarr.create_group({}, zarr_format=3)
    >>> write_headers(group, {"X": 7}); group["headers"][:].tolist()
    ['7 X']
    """
    write_element(group, "headers", np.array([f"{crc} {key}" for key, crc in headers.items()], dtype=object))


def read_headers(group: zarr.Group) -> dict[str, int]:
    """The checksums of a dataset, by key; none where kithkin has not written it.

    Examples
    --------
    >>> read_headers(zarr.create_group({}, zarr_format=3))
    {}
    """
    if PLACE not in group:
        return {}
    pairs = (str(text).split(" ", 1) for text in group[PLACE][...])  # type: ignore[index, union-attr]
    return {key: int(crc) for crc, key in pairs}


def after(
    headers: Mapping[str, int], staged: Mapping[str, int], keys: Iterable[str], texts: Mapping[str, str]
) -> dict[str, int]:
    """The checksums after a change.

    Parameters
    ----------
    headers
        Before it.
    staged
        Of what is staged.
    keys
        What is moved into the dataset.
    texts
        New headers of tables, by key.

    Examples
    --------
    >>> after({"X": 1, "uns/a": 2, "uns/a/b": 3}, {"uns": 9, "uns/a": 4}, ["uns/a"], {})
    {'X': 1, 'uns/a': 4}
    """
    kept = {key: crc for key, crc in headers.items() if not _below(key, keys)}
    kept |= {key: crc for key, crc in staged.items() if _below(key, keys)}
    return kept | {key: zlib.crc32(text.encode()) for key, text in texts.items()}


def _below(key: str, keys: Iterable[str]) -> bool:
    return any(key == moved or key.startswith(f"{moved}/") for moved in keys)


def with_columns(header: Path, order: list[str]) -> str:
    """The header of a table of obs or var with another order of columns.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "zarr.json"
    >>> _ = path.write_text('{"attributes": {"column-order": []}}')
    >>> with_columns(path, ["a"])
    '{"attributes": {"column-order": ["a"]}}'
    """
    content = json.loads(header.read_text(encoding="utf-8"))
    content["attributes"]["column-order"] = order
    return json.dumps(content)
