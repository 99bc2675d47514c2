"""Checksums of all headers (zarr.json) and chunk files, by which a lost or changed file is told.

They lie in `uns/kithkin/checksums`, an array of texts. The header of the root says so: a copy of a dataset that another
tool has written takes this array along, but not the root's attributes, and is then not held against it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from kithkin.core.anndata_elements import read_array
from kithkin.core.arrays import attributes, read_header
from kithkin.core.chunks import ChunkFiles, DamageError, list_files
from kithkin.core.elements import write_element
from kithkin.core.remote import is_remote

PLACE = "uns/kithkin/checksums"
MARK = "kithkin"  # attribute of the root of a dataset that has checksums
OLD_PLACE = "uns/kithkin/headers"  # where versions before 0.2 kept checksums of headers only


@dataclass(frozen=True, slots=True)
class Checksum:
    """Checksums of one group or array.

    Attributes
    ----------
    header
        CRC-32 of its header, as `checksum_of` computes it.
    n_files
        Number of its chunk files.
    content
        CRC-32 over the checksums of its chunk files.
    """

    header: int
    n_files: int
    content: int

    def __str__(self) -> str:
        return f"{self.header:08x} {self.n_files} {self.content:08x}"

    @staticmethod
    def parse(text: str) -> Checksum:
        """Read what `str` gives."""
        header, n_files, content = text.split(" ")
        return Checksum(int(header, 16), int(n_files), int(content, 16))


def checksum_of(header: Mapping[str, Any]) -> int:
    """Compute the CRC-32 of a header, whatever its layout, and whether or not metadata is consolidated in it."""
    kept = {name: value for name, value in header.items() if name != "consolidated_metadata"}
    return zlib.crc32(json.dumps(kept, sort_keys=True).encode())


def measure(folder: Path, key: str = "") -> Checksum:
    """Compute the checksums of a group or array from what is on disk.

    Raises
    ------
    DamageError
        If its header is missing or cannot be read.
    """
    status = _status(f"{folder}/{key}/zarr.json")
    header, layout = (
        _measure_header(str(folder), key, *status) if status else (checksum_of(read_header(folder, key)), None)
    )
    if layout is None:
        return Checksum(header, 0, 0)
    content, files, remote = 0, list_files(f"{folder}/{key}"), is_remote(f"{folder}/{key}")
    n_files = len(files)
    for name, (ino, size, mtime) in files.items():
        try:
            stored = _measure_file(layout, f"{folder}/{key}/{name}", ino, size, mtime)
        except FileNotFoundError:
            if not remote:
                raise
            n_files -= 1  # it was not written, as all of its values are the fill value
            continue
        except DamageError as error:
            raise DamageError(f"{key} is damaged on disk: {error}") from error
        content = zlib.crc32(b"%b %d" % (name.encode(), stored), content)
    return Checksum(header, n_files, content)


def _status(path: str) -> tuple[int, int, int] | None:
    """Return what changes when a file is written: inode, size and time; None if it is not there."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=2**12)
def _measure_header(folder: str, key: str, *status: int) -> tuple[int, ChunkFiles | None]:  # noqa: ARG001
    header = read_header(folder, key)
    return checksum_of(header), ChunkFiles.of(header) if header.get("node_type") == "array" else None


@lru_cache(maxsize=2**16)
def _measure_file(layout: ChunkFiles, path: str, *status: int) -> int:  # noqa: ARG001  (a changed file has another)
    return layout.content(path)


def survey(folder: Path, key: str = "") -> dict[str, Checksum]:
    """Compute the checksums of every group and array at or below a key of a folder, by key ("" for the root)."""
    tree = os.walk(folder / key)
    keys = (os.path.relpath(where, folder).removeprefix(".") for where, _, names in tree if "zarr.json" in names)
    return {key: measure(folder, key) for key in sorted(keys) if key not in (PLACE, OLD_PLACE)}


def write_checksums(group: zarr.Group, checksums: Mapping[str, Checksum]) -> None:
    """Write checksums as an array of texts named "checksums"."""
    texts = [f"{checksum} {key}" for key, checksum in checksums.items()]
    write_element(group, "checksums", np.array(texts, dtype=object))


def read_checksums(path: Path) -> dict[str, Checksum]:
    """Read the checksums of a dataset, by key; none where kithkin has not written it.

    Raises
    ------
    DamageError
        If they are missing or damaged, although the root says that they are there.
    """
    if MARK not in attributes(path):
        return {}
    status = _status(f"{path}/{PLACE}/c/0")
    if status is None:
        raise DamageError(f"{path.name}: {PLACE} is damaged: its checksums are missing")
    return _parsed(path, *status)


@lru_cache(maxsize=64)
def _parsed(path: Path, *status: int) -> dict[str, Checksum]:  # noqa: ARG001  (a changed file has another)
    try:
        lines = [str(text).split(" ", 3) for text in read_array(path, PLACE, {PLACE: 1})]
        return {key: Checksum.parse(" ".join(numbers)) for *numbers, key in lines}
    except Exception as error:
        raise DamageError(f"{path.name}: {PLACE} is damaged: {error}") from error


def find_damage(path: Path, key: str, recorded: Mapping[str, Checksum]) -> list[str]:
    """Compare the headers and the lists of files of an element with their checksums: one sentence for each problem.

    A header that does not match is damage, unless what lies below it was written again as well, as another tool does.

    Parameters
    ----------
    path
        The dataset.
    key
        The element, of which everything below it is looked at too; the whole dataset when "".
    recorded
        Checksums of the dataset.
    """
    problems: list[str] = []
    rewritten: list[str] = []
    for name in sorted(recorded):
        if key and name != key and not name.startswith(f"{key}/"):
            continue
        if any(name.startswith(f"{above}/") for above in rewritten) and not (path / name).exists():
            continue  # a group that another tool replaced by something else
        expected, what = recorded[name], name or "the root"
        try:
            header = read_header(path, name)
        except DamageError as error:
            problems.append(str(error).removeprefix(f"{path.name}: "))
            continue
        try:
            lost = expected.n_files - len(list_files(f"{path}/{name}")) if expected.n_files else 0
        except DamageError as error:
            problems.append(f"{what} is damaged: {error}")
            continue
        if checksum_of(header) != expected.header:
            # an array of other values, or a group with something new, or of which something holds other values
            group, beneath = header.get("node_type") != "array", f"{name}/" if name else ""
            below = [other for other in recorded if other.startswith(beneath) and other != name] if group else [name]
            children = [child for child in (path / name).iterdir() if (child / "zarr.json").exists()] if group else []
            new = any(f"{name}/{child.name}" not in recorded for child in children)
            if new or any(_is_changed(path, other, recorded[other].content) for other in below):
                rewritten.append(name)
                continue
            problems.append(f"{what} is damaged: its zarr.json is not what was written")
        elif lost > 0:
            problems.append(f"{what} is damaged: {lost} of its {expected.n_files} files are missing")
    return problems


def _is_changed(path: Path, key: str, content: int) -> bool:
    if is_remote(path / key):
        return False
    try:
        return measure(path, key).content != content
    except (DamageError, OSError):
        return not (path / key).exists()


def fingerprint_of_changes(path: Path, key: str, recorded: Mapping[str, Checksum]) -> str:
    """Return "" if an element is what kithkin wrote, else a text that tells its present content from any other.

    Only sizes and times of files are looked at, and their checksums where these have changed.
    """
    below = f"{key}/"
    for name in recorded:
        if name == key or name.startswith(below):
            try:
                if is_remote(path / name):  # which nobody writes here: its header tells it
                    same = checksum_of(read_header(path, name)) == recorded[name].header
                else:
                    same = measure(path, name) == recorded[name]
            except (DamageError, OSError):
                same = False
            if not same:
                break
    else:
        return ""
    try:
        return " ".join(f"{name} {checksum}" for name, checksum in survey(path, key).items())
    except DamageError as error:
        raise DamageError(f"{path.name}: {error}") from error


def update(
    checksums: Mapping[str, Checksum],
    staged: Mapping[str, Checksum],
    keys: Iterable[str],
    texts: Mapping[str, str],
) -> dict[str, Checksum]:
    """Compute the checksums after a change.

    Parameters
    ----------
    checksums
        Checksums before the change.
    staged
        Checksums of what is staged.
    keys
        Elements that are moved into the dataset.
    texts
        New headers of groups, by key.
    """
    moved = list(keys)

    def is_moved(key: str) -> bool:
        return any(key == top or key.startswith(f"{top}/") for top in moved)

    kept = {key: value for key, value in checksums.items() if not is_moved(key)}
    kept |= {key: value for key, value in staged.items() if is_moved(key)}
    return kept | {key: Checksum(checksum_of(json.loads(text)), 0, 0) for key, text in texts.items()}


def with_columns(header: Path, order: list[str]) -> str:
    """Return the header of a table of obs or var with another order of columns."""
    content = json.loads(header.read_text(encoding="utf-8"))
    content["attributes"]["column-order"] = order
    return json.dumps(content)
