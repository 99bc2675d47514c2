"""Seeded damage to files: bytes, lines, fields, JSON values, members of archives, and objects of HDF5 files.

    said = damage(path, numpy.random.default_rng(0))

The same file and generator give the same damage.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

GZIP, ZIP, HDF5 = b"\x1f\x8b", b"PK\x03\x04", b"\x89HDF"
LONGEST_RUN = 16  # bytes that one change touches, but for truncation
TOKENS = ("", "-1", "0", "1", "1.5", "nan", "inf", "1e400", "9" * 20, "x", '"', "'", "é", "\x00", "[", "{")
LEAVES: tuple[Any, ...] = (0, -1, 7, 2**31, 2**62, 10**30, 1.5, "x", "", "int8", "<f4", None, True, [], {}, [0], [-1])
HEADERS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def _pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def damage(path: Path, rng: np.random.Generator) -> str:
    """Change a file, or one file of a folder, in place; tell what was changed."""
    if not path.is_dir():
        return _damage_file(path, rng)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    headers = [file for file in files if file.name in HEADERS]
    file = _pick(rng, headers if headers and rng.random() < 0.4 else files)
    name = file.relative_to(path).as_posix()
    if rng.random() < 0.12:
        file.unlink()
        return f"{name} deleted"
    return f"{name}: {_damage_file(file, rng)}"


def _damage_file(path: Path, rng: np.random.Generator) -> str:
    if path.read_bytes()[:4] == HDF5 and rng.random() < 0.5:
        return _damage_hdf5(path, rng)
    data, said = _changed(path.read_bytes(), rng)
    path.write_bytes(data)
    return said


def _changed(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The bytes of a file after one to three changes, at the level that its kind offers."""
    inside = rng.random() < 0.6
    if inside and data[:2] == GZIP:
        plain, said = _changed(gzip.decompress(data), rng)
        return gzip.compress(plain, mtime=0), f"unpacked: {said}"
    if inside and data[:4] == ZIP:
        return _change_archive(data, rng)
    if inside and data[:1] == b"{":
        return _change_json(data, rng)
    text = _text_of(data)
    said = []
    for _ in range(int(rng.integers(1, 4))):
        if inside and text is not None:
            change: Callable[..., Any] = _pick(rng, LINES)
            lines = (_text_of(data) or "").splitlines(keepends=True)
            if lines:
                data = "".join(change(lines, rng)).encode()
        else:
            change = _pick(rng, BYTES)
            data = change(data, rng) if data else data
        said.append(change.__name__)
    return data, ", ".join(said)


def _text_of(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


# ---- bytes


def _place(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Start and stop of a short run."""
    start = int(rng.integers(len(data)))
    return start, min(len(data), start + int(rng.integers(1, LONGEST_RUN + 1)))


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip one bit."""
    k = int(rng.integers(len(data)))
    return data[:k] + bytes([data[k] ^ (1 << int(rng.integers(8)))]) + data[k + 1 :]


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    """Set a run to zeros."""
    start, stop = _place(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def fill(data: bytes, rng: np.random.Generator) -> bytes:
    """Set a run to 0xff."""
    start, stop = _place(data, rng)
    return data[:start] + b"\xff" * (stop - start) + data[stop:]


def delete(data: bytes, rng: np.random.Generator) -> bytes:
    """Take a run out."""
    start, stop = _place(data, rng)
    return data[:start] + data[stop:]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    """Put a run of random bytes in."""
    start, stop = _place(data, rng)
    return data[:start] + rng.bytes(stop - start) + data[start:]


def duplicate(data: bytes, rng: np.random.Generator) -> bytes:
    """Write a run twice."""
    start, stop = _place(data, rng)
    return data[:stop] + data[start:]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut the end off."""
    return data[: int(rng.integers(len(data)))]


def swap(data: bytes, rng: np.random.Generator) -> bytes:
    """Exchange two runs of one length."""
    (a, stop), b = _place(data, rng), int(rng.integers(len(data)))
    size = min(stop - a, abs(b - a), len(data) - max(a, b))
    a, b = min(a, b), max(a, b)
    return data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]


def digit(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one ASCII digit, as headers in text have them."""
    places = [k for k, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
    if not places:
        return flip(data, rng)
    k = _pick(rng, places)
    return data[:k] + str(int(rng.integers(10))).encode() + data[k + 1 :]


BYTES = (flip, zero, fill, delete, insert, duplicate, truncate, swap, digit)

# ---- lines and fields


def change_line(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Replace a line by a token."""
    k = int(rng.integers(len(lines)))
    return [*lines[:k], f"{_pick(rng, TOKENS)}\n", *lines[k + 1 :]]


def delete_line(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Take a line out."""
    k = int(rng.integers(len(lines)))
    return lines[:k] + lines[k + 1 :]


def duplicate_line(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Write a line twice."""
    k = int(rng.integers(len(lines)))
    return lines[: k + 1] + lines[k:]


def swap_lines(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Exchange two lines."""
    a, b = sorted(int(k) for k in rng.integers(len(lines), size=2))
    return lines if a == b else [*lines[:a], lines[b], *lines[a + 1 : b], lines[a], *lines[b + 1 :]]


def _on_fields(lines: list[str], rng: np.random.Generator, change: Callable[[list[str], int], list[str]]) -> list[str]:
    k = int(rng.integers(len(lines)))
    fields = re.split(r"([,;\t :]+|\n)", lines[k])  # odd places hold what stands between the fields
    place = 2 * int(rng.integers((len(fields) + 1) // 2))
    return [*lines[:k], "".join(change(fields, place)), *lines[k + 1 :]]


def change_field(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Replace a field by a token."""
    token = _pick(rng, TOKENS)
    return _on_fields(lines, rng, lambda fields, k: [*fields[:k], token, *fields[k + 1 :]])


def delete_field(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Take a field out, and what follows it up to the next."""
    return _on_fields(lines, rng, lambda fields, k: fields[:k] + fields[k + 2 :])


def duplicate_field(lines: list[str], rng: np.random.Generator) -> list[str]:
    """Write a field twice, and what follows it up to the next."""
    return _on_fields(lines, rng, lambda fields, k: fields[: k + 2] + fields[k:])


LINES = (change_line, delete_line, duplicate_line, swap_lines, change_field, delete_field, duplicate_field)

# ---- archives and JSON


def _change_archive(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Change, leave out or double a member of a zip file whose checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    k = int(rng.integers(len(members)))
    name, content = members[k]
    if rng.random() < 0.15:
        said, members = "deleted", members[:k] + members[k + 1 :]
    else:
        changed, said = _changed(content, rng)
        members[k] = (name, changed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for member, content in members:
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), content)
    return out.getvalue(), f"{name}: {said}"


def _leaves(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything below a JSON value; what tells shapes and types comes three times, so as to be hit more."""
    found = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        path = (*above, key)
        often = {"shape", "chunks", "chunk_shape", "dtype", "data_type", "codecs"} & {str(part) for part in path}
        found += [path] * (3 if often else 1) + _leaves(item, path)
    return found


def _change_json(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Delete a value, or replace it by one that is huge, negative or of another kind."""
    try:
        document = json.loads(data)
    except ValueError:
        return flip(data, rng), "flip"
    paths = _leaves(document)
    if not paths:
        return b"{", "emptied"
    path = _pick(rng, paths)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    name = "/".join(map(str, path))
    if rng.random() < 0.2:
        del parent[path[-1]]
        return json.dumps(document).encode(), f"{name} deleted"
    new = _pick(rng, LEAVES)
    parent[path[-1]] = new
    return json.dumps(document).encode(), f"{name} = {new!r}"


# ---- HDF5


def _damage_hdf5(path: Path, rng: np.random.Generator) -> str:
    """Delete or replace one object or attribute of an HDF5 file that stays whole as a file."""
    import h5py

    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = _pick(rng, names)
        node, change = file[name], rng.random()
        if len(node.attrs) and change < 0.4:
            return f"{name}: {_change_attribute(node.attrs, rng)}"
        if change < 0.5:
            del file[name]
            return f"{name} deleted"
        if not isinstance(node, h5py.Dataset):
            del file[name]
            file[name] = _pick(rng, (0, "x", np.arange(3)))
            return f"{name} is no group"
        return f"{name}: {_replace_dataset(file, name, node[()], rng)}"


def _change_attribute(attributes: Any, rng: np.random.Generator) -> str:
    key = _pick(rng, sorted(attributes))
    old = attributes[key]
    del attributes[key]
    if rng.random() < 0.25:
        return f"@{key} deleted"
    values = (0, -1, 2**31, 2**62, 1.5, "x", "", b"\xff", np.zeros(0), [0, 0], [-1, 5], [2**40, 3], [3], ["x", "y"])
    new = np.asarray(old)[..., None].repeat(2, -1) if rng.random() < 0.1 else _pick(rng, values)
    try:
        attributes[key] = new
    except (TypeError, ValueError):  # what HDF5 cannot store stays away
        return f"@{key} deleted"
    return f"@{key} = {new!r}"


def _replace_dataset(file: Any, name: str, values: Any, rng: np.random.Generator) -> str:
    """Another type, length, number of axes, or single values that are huge, negative or not numbers."""
    array = np.asarray(values)
    changes: dict[str, Callable[[], Any]] = {
        "shorter": lambda: array[:-1] if array.ndim else "x",
        "longer": lambda: np.concatenate([array, array]) if array.ndim else [0, 0],
        "an axis more": lambda: array[..., None],
        "a scalar": lambda: array.ravel()[0],
        "empty": lambda: array[:0] if array.ndim else np.zeros(0),
        "texts": lambda: [str(value) for value in array.ravel()],
        "numbers": lambda: np.arange(array.size).astype(_pick(rng, ("i1", "u8", "f2", "f8", "?"))).reshape(array.shape),
        "reversed": lambda: array[::-1] if array.ndim else "x",
    }
    said = _pick(rng, sorted(changes))
    if array.size and array.dtype.kind in "iuf" and rng.random() < 0.5:
        limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.finfo(array.dtype)
        value = _pick(rng, (limits.min, limits.max, 0, 1, np.nan if array.dtype.kind == "f" else 2))
        said, new = f"a value = {value}", array.copy()
        new.ravel()[int(rng.integers(array.size))] = value
    else:
        new = changes[said]()
    attributes = dict(file[name].attrs)
    del file[name]
    try:
        file[name] = new
        file[name].attrs.update(attributes)
    except (TypeError, ValueError, OSError):
        return "deleted"
    return said
