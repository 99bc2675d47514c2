"""Published datasets: copies that are not written any more, with all headers in one file and X by genes as well.

The copy of X by genes is a layer in CSC. Its header says of which table it is a copy, and of which content.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kithkin.core.arrays import open_group, read_header
from kithkin.core.checksums import MARK, PLACE, Checksum, checksum_of, read_checksums, survey, update, write_checksums
from kithkin.core.elements import create_dict
from kithkin.core.errors import KithkinError
from kithkin.core.extension import remove_element
from kithkin.core.history import Entry, read_history, replace, write_history

BY_GENE = "by_gene"  # name of the layer
COPY_OF = "copy_of"  # attribute of it: {"key": "X", "content": checksums of what it was made of}
DATED = (1980, 1, 1, 0, 0, 0)  # of all files in an archive, so that equal contents make equal archives


def content_of(recorded: Mapping[str, Checksum], key: str) -> str:
    """Return a text that tells the values of a sparse table from any other; "" where they have no checksums."""
    parts = [recorded.get(f"{key}/{part}") for part in ("data", "indices", "indptr")]
    return " ".join(f"{one.content:08x}" for one in parts if one is not None) if all(parts) else ""


def copies_by_gene(path: Path, recorded: Mapping[str, Checksum]) -> dict[str, str]:
    """Map tables of a dataset to their copies by genes, as long as these are copies of what the tables hold now."""
    copies = {str(copy.get("key")): (layer, copy.get("content")) for layer, copy in _copies(path).items()}
    return {key: layer for key, (layer, content) in copies.items() if content and content == content_of(recorded, key)}


def without_copies(path: Path, keys: Iterable[str]) -> list[str]:
    """Leave out layers that are copies by genes of a table: what is made of a dataset needs the table only."""
    copies = _copies(path)
    return [key for key in keys if key not in copies]


def _copies(path: Path) -> dict[str, dict[str, Any]]:
    """Map layers that were made as copies by genes to what their headers say about it."""
    try:
        with os.scandir(path / "layers") as entries:
            layers = [f"layers/{entry.name}" for entry in entries if os.path.exists(f"{entry.path}/zarr.json")]
    except FileNotFoundError:
        return {}
    found = {layer: read_header(path, layer)["attributes"] for layer in sorted(layers)}
    csc = {layer: one.get(COPY_OF) for layer, one in found.items() if one.get("encoding-type") == "csc_matrix"}
    return {layer: copy for layer, copy in csc.items() if isinstance(copy, dict)}


def seal(folder: Path, entry: Entry, keys: list[str]) -> None:
    """Write the records of a copy of a dataset to which elements were added, and all its headers into one file.

    Parameters
    ----------
    folder
        The copy, in which no header is that of the source.
    entry
        Record of the step.
    keys
        Elements that were added.
    """
    group: Any = open_group(folder, "r+")
    recorded = read_checksums(folder)
    uns: Any = group["uns"] if "uns" in group else create_dict(group, "uns")
    records: Any = uns["kithkin"] if "kithkin" in uns else create_dict(uns, "kithkin")
    history = read_history(folder)
    for name in ("history", "checksums"):
        if name in records:
            remove_element(records, name)
    write_history(records, replace(history, entry) if entry.outputs else history)
    if recorded:
        added = [*keys, "uns/kithkin/history", *(place for place in ("uns", "layers") if place not in recorded)]
        staged = {key: one for top in added for key, one in survey(folder, top).items()}
        checksums = update(recorded, staged, added, {})
    else:
        checksums = survey(folder)
    lines = "\n".join(f"{one} {key}" for key, one in sorted(checksums.items()) if key)
    root = {name: value for name, value in read_header(folder).items() if name != "consolidated_metadata"}
    # by its content, so that who has kept a copy of this header can tell another version from this one
    root["attributes"] = {
        **root["attributes"],
        MARK: {"checksums": PLACE, "content": f"{zlib.crc32(lines.encode()):08x}"},
    }
    checksums[""] = Checksum(checksum_of(root), 0, 0)
    write_checksums(records, dict(sorted(checksums.items())))
    _write_root(folder, root)


def _write_root(folder: Path, root: Mapping[str, Any]) -> None:
    """Write the header of the root, with the headers of all that is below it, as zarr consolidates them."""
    headers: dict[str, Any] = {}
    for where, folders, names in os.walk(folder):
        folders.sort()
        key = os.path.relpath(where, folder)
        if key == "." or "zarr.json" not in names:
            continue
        header = read_header(folder, key)
        if header.get("node_type") == "group":
            nothing = {"kind": "inline", "must_understand": False, "metadata": {}}
            header["consolidated_metadata"] = nothing  # those of its members are listed at the root
        headers[key] = header
    whole = {**root, "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": headers}}
    beside = folder / "zarr.json.new"
    beside.write_text(json.dumps(whole), encoding="utf-8")
    beside.replace(folder / "zarr.json")


def write_archive(folder: Path, file: Path) -> None:
    """Write a folder as a ZIP file that Zarr reads: stored as it is, the header of the root first."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(
        (path.relative_to(folder).as_posix() for path in paths), key=lambda name: (name != "zarr.json", name)
    )
    with zipfile.ZipFile(file, "x", zipfile.ZIP_STORED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, DATED)
            info.external_attr = 0o644 << 16
            size = (folder / name).stat().st_size
            info.file_size = size
            with (folder / name).open("rb") as source, archive.open(info, "w", force_zip64=size >= 2**31) as target:
                while part := source.read(2**22):
                    target.write(part)


def check_replaced(target: Path, *, is_archive: bool) -> None:
    """Refuse to replace what kithkin has not published.

    Raises
    ------
    KithkinError
        If it is no dataset.
    """
    if is_archive:
        ours = target.is_file() and zipfile.is_zipfile(target) and "zarr.json" in zipfile.ZipFile(target).namelist()
    else:
        ours = (target / "zarr.json").is_file()
    if not ours:
        raise KithkinError(f"{target} is not a dataset, and will not be overwritten")
