"""Datasets on a web server, in a bucket or in a ZIP file: a local folder of headers; files are read when asked for.

`attach` makes an ordinary dataset folder in a cache: all headers, from the consolidated metadata, and the records.
A hidden file in the folder of an array says that its files lie elsewhere. A result that is written locally takes
the place of such a folder, and with it of the file. What comes from a server is fetched once, and lies in a folder
beside the dataset, at the places that it has in its files, with a list of the ranges that are there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import shutil
import sys
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kithkin.core.archive import Archive, ArchiveFile, archive_of
from kithkin.core.bucket import access, is_bucket
from kithkin.core.errors import KithkinError, brief
from kithkin.core.fetched import RemoteFile
from kithkin.core.host import DeniedError, Host, RemoteError, host_of, normal_address
from kithkin.core.keys import PLACES
from kithkin.core.transaction import recover, replace_dataset, writing

MARKER = ".remote"  # in the folder of an array whose files lie on the server; holds the key of the array
RECORD = ".remote.json"  # in the folder of such a dataset: address, version, and where fetched bytes are kept
LOCAL = ("uns/kithkin/history", "uns/kithkin/checksums")  # what every look at a dataset needs
ATTEMPTS, PAUSE = 120, 0.25  # seconds between looks at a folder that another process makes
LARGEST_HEADER = 2**28  # bytes of the consolidated metadata
VERSION = re.compile(r"[0-9a-f]{16}")
SEALS = ".seals"  # in the folder of all caches: what makes the seals of records
_GIVEN: set[str] = set()  # folders whose address was given to this process
SAFE = re.compile(r"[^A-Za-z0-9._-]")


def is_address(path: Any) -> bool:
    """Tell whether a text is an address, and no path.

    Examples
    --------
    >>> is_address("https://example.org/a.zarr"), is_address("a.zarr")
    (True, False)
    """
    return isinstance(path, str) and "://" in path


def _caches() -> Path:
    """Return the folder of all datasets in the user's cache."""
    base = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME", "") or str(Path.home() / base)) / "kithkin"


def default_cache(url: str) -> Path:
    """Return the folder in the user's cache for an address or file: the name of the dataset, and a hash."""
    store = access().endpoint if is_bucket(url) else ""  # another store has other buckets of this name
    named = f"{url} {store}".rstrip()
    return _caches() / f"{name_of(url)}-{hashlib.sha256(named.encode()).hexdigest()[:10]}"


def name_of(url: str) -> str:
    """Return the last part of an address as a name for a folder or file."""
    last = unquote(url.split("://", 1)[-1].partition("/")[2].rstrip("/").rpartition("/")[2])
    return SAFE.sub("_", last).strip(".")[-100:] or "dataset"


def attach(url: str, cache: str | Path | None = None) -> Path:
    """Make, or find again, the local folder of a dataset on a web server, in a bucket or in a ZIP file.

    Parameters
    ----------
    url
        Address of the folder of the dataset, or path of the ZIP file.
    cache
        Folder for what is fetched and for results; one in the user's cache by default.

    Returns
    -------
    Path
        The folder, which is opened as any other.

    Raises
    ------
    KithkinError
        If there is no such host, or no published dataset, or it has changed since results were written.
    """
    address = normal_address(url) if is_address(url) else os.path.abspath(os.path.expanduser(url))
    folder = default_cache(address) if cache is None else Path(cache).expanduser().absolute()
    path = folder / name_of(address)
    host = _source(address)
    try:
        found = host.get("zarr.json", largest=LARGEST_HEADER)
    except DeniedError as error:
        raise KithkinError(str(error)) from None
    except FileNotFoundError:
        packed = isinstance(host, Host) and address.endswith(".zip")
        hint = " (of a ZIP file on a server, publish the folder)" if packed else ""
        raise KithkinError(f"there is no dataset at {address}: it has no zarr.json that can be read{hint}") from None
    version = hashlib.sha256(found.content + found.version.encode()).hexdigest()[:16]
    headers = _headers(address, found.content)
    _GIVEN.add(str(path))
    for _ in range(ATTEMPTS):
        if _is_there(path, address, version):
            return path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with writing(path) as staging:
                _make(path, staging / "dataset", headers, host, (version, found.version))
            return path
        except OSError as error:
            refused = f"{folder} cannot be written to ({error.strerror})"
            raise KithkinError(f"{refused}: give another one with cache=...") from error
        except KithkinError as error:
            if "is being written by" not in str(error):
                raise
        time.sleep(PAUSE)  # until another process, which opens the same address, has made it
    raise KithkinError(f"{path} is being made by another process: try again when it is done")


def _is_there(path: Path, address: str, version: str) -> bool:
    """Tell whether the folder of a version is there; refuse to replace what holds results, or is something else."""
    recover(path)
    if not path.exists():
        return False
    if not (path / RECORD).is_file():
        raise KithkinError(f"{path} is in the way: give another folder with cache=...")
    record = read_record(path)
    if record["url"] != address:
        raise KithkinError(f"{path.parent} is the cache of {record['url']}: give another folder with cache=...")
    if record["version"] == version:
        if record["bytes"] != _kept(path, version) and not is_own(record):
            raise KithkinError(f"{path} is in the way: give another folder with cache=...")
        return True
    if _records(path) != record["records"]:
        changed = f"{address} has changed since results were written to {path}"
        raise KithkinError(f"{changed}: move that folder elsewhere, or give another one with cache=...")
    return False


def _make(
    path: Path, staged: Path, headers: dict[str, dict[str, Any]], host: Host | Archive, versions: tuple[str, str]
) -> None:
    """Write the folder of a dataset, and move it to its name in place of that of an earlier version."""
    earlier = str(read_record(path)["version"]) if path.exists() else ""
    _write(staged, headers, host)
    record: dict[str, Any] = {"url": host.url, "version": versions[0], "tag": versions[1]}
    record["bytes"] = _kept(path, versions[0])
    record |= {"records": _records(staged), "seal": _seal(record)}
    (staged / RECORD).write_text(json.dumps(record), encoding="utf-8")
    replace_dataset(staged, path)
    old = path.parent / "bytes" / earlier
    if VERSION.fullmatch(earlier) and earlier != versions[0] and old.is_dir():
        shutil.rmtree(old)


def _kept(path: Path, version: str) -> str:
    """Return the folder of what was fetched of a version."""
    return str(path.parent / "bytes" / version)


def _source(address: str) -> Host | Archive:
    return host_of(address) if is_address(address) else archive_of(address)


def _headers(address: str, content: bytes) -> dict[str, dict[str, Any]]:
    """Read the headers of all groups and arrays, by key, from the header of the root."""
    try:
        root = json.loads(content)
        of_anndata = root["attributes"].get("encoding-type") == "anndata" and root.get("zarr_format") == 3
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        of_anndata = False
    if not of_anndata:
        raise KithkinError(f"{address} is not an AnnData dataset in Zarr format 3")
    consolidated = root.get("consolidated_metadata")
    below = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    if not isinstance(below, dict):
        raise KithkinError(f"{address} has no consolidated metadata: publish it with kithkin.publish")
    found: dict[str, dict[str, Any]] = {"": {k: one for k, one in root.items() if k != "consolidated_metadata"}}
    waiting = [("", below)]
    while waiting:
        above, entries = waiting.pop()
        for name, header in entries.items():
            key = f"{above}{name}"
            steps = key.split("/")
            hidden = any(not step or step.startswith(".") or "\0" in step or len(step.encode()) > 255 for step in steps)
            if hidden or steps[0] not in PLACES or not isinstance(header, dict):
                raise KithkinError(f"{address} is damaged: its metadata names {brief(key)}")
            nested = header.pop("consolidated_metadata", None)
            found[key] = header
            if isinstance(nested, dict) and isinstance(nested.get("metadata"), dict):
                waiting.append((f"{key}/", nested["metadata"]))
    return found


def _write(staged: Path, headers: dict[str, dict[str, Any]], host: Host | Archive) -> None:
    """Write the headers into a folder, and the files of the records."""
    for key, header in headers.items():
        folder = staged / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zarr.json").write_text(json.dumps(header), encoding="utf-8")
        if header.get("node_type") != "array":
            continue
        if key not in LOCAL:
            (folder / MARKER).write_text(key, encoding="utf-8")
            continue
        try:
            content = host.get(f"{key}/c/0").content
        except FileNotFoundError:
            raise KithkinError(f"{host.url} is damaged: {key} is missing") from None
        (folder / "c").mkdir()
        (folder / "c/0").write_bytes(content)


def _records(path: Path) -> int:
    """Compute a checksum of the records of a dataset, which every result changes."""
    value = 0
    for key in LOCAL:
        file = path / key / "c/0"
        value = zlib.crc32(file.read_bytes() if file.is_file() else b"", value)
    return value


def read_record(path: Path) -> dict[str, Any]:
    """Read where a dataset lies whose files are elsewhere.

    Raises
    ------
    KithkinError
        If what was written about it cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads((path / RECORD).read_text(encoding="utf-8"))
        complete = {"url", "version", "tag", "bytes", "records"} <= set(record)
    except (OSError, ValueError, TypeError) as error:
        raise KithkinError(f"{path / RECORD} is damaged: remove {path}, and open the address again") from error
    if not complete:
        raise KithkinError(f"{path / RECORD} is damaged: remove {path}, and open the address again")
    return record


def address_of(path: Path) -> str | None:
    """Return the address or ZIP file of a dataset whose files lie there; None for any other."""
    return str(read_record(path)["url"]) if (path / RECORD).is_file() else None


# ---- whose record it is: a folder that came from elsewhere must not name the address that is asked for its files


def _secret() -> bytes:
    """Read the secret of this user, or make it; nothing where it cannot be kept."""
    file = _caches() / SEALS
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f"{SEALS}.{secrets.token_hex(8)}")
            partial.touch(mode=0o600)
            partial.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):  # of another process
                os.link(partial, file)
            partial.unlink()
        return file.read_bytes()
    except OSError:
        return b""


def _seal(record: Mapping[str, Any]) -> str:
    """Compute what only this user can: a hash of a record and a secret; "" where there is none."""
    secret = _secret()
    text = json.dumps([record[name] for name in ("url", "version", "tag", "bytes")])
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest() if secret else ""


def is_own(record: Mapping[str, Any]) -> bool:
    """Tell whether this user has opened the address that a record names."""
    seal = _seal(record)
    return seal != "" and hmac.compare_digest(seal, str(record.get("seal", "")))


# ---- files


def is_remote(folder: str | Path) -> bool:
    """Tell whether the files of the array in a folder lie on a server or in a ZIP file."""
    return os.path.exists(f"{folder}/{MARKER}")


def find(file: str | Path) -> RemoteFile | ArchiveFile | None:
    """Return the file of an array elsewhere that a path stands for; None where it stands for none."""
    folder = os.path.dirname(file)
    while folder and not os.path.exists(f"{folder}/zarr.json"):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    try:
        with open(f"{folder}/{MARKER}", encoding="utf-8") as marker:
            key = marker.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    root = folder.removesuffix(f"/{key}")
    status = os.stat(f"{root}/{RECORD}")
    url, tag, kept = _place(root, status.st_ino, status.st_mtime_ns)
    name, source = f"{key}/{os.path.relpath(file, folder)}", _source(url)
    if isinstance(source, Host):
        return RemoteFile(source, name, Path(kept) / name, tag)
    if source.version != tag:
        raise RemoteError(f"{url} was changed while it was read: open it again")
    return ArchiveFile(source, name)


@lru_cache(maxsize=64)
def _place(root: str, *status: int) -> tuple[str, str, str]:  # noqa: ARG001  (a changed file has another)
    record = read_record(Path(root))
    if root not in _GIVEN and not is_own(record):
        unknown = f"{root} reads its files from {brief(record['url'])}, which this user has not opened"
        raise RemoteError(f"{unknown}: if you trust it, open that address, with another folder as cache=...")
    return str(record["url"]), str(record["tag"]), str(record["bytes"])
