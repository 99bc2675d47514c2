"""Zarr groups and arrays on disk, each array with a codec pipeline of its own that verifies what it decodes."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.core.sync
from zarr.abc.codec import CodecPipeline
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore, StorePath

from kithkin.core.blocks import Array
from kithkin.core.chunks import ChunkFiles, DamageError, list_files
from kithkin.core.errors import KithkinError
from kithkin.core.heap import share_one_heap
from kithkin.core.nodes import group_at, write_file
from kithkin.core.remote import find, is_remote

COMPILED = {"sharding_indexed", "bytes", "blosc", "crc32c", "zstd", "gzip", "transpose"}  # codecs that zarrs knows
CAST = "numcodecs.fixedscaleoffset"  # with offset 0 and scale 1, the one cast that both zarr and zarrs know
WIDE_CAST = "numcodecs.astype"  # zarrs calculates the other in float32, and does not take up this one
SMALL = 1 << 16  # bytes of a file that is written at once
LARGEST = 2**31  # values of an array of which files may be absent, and stand for the fill value
SETTLE = 10.0  # seconds that an interrupted process waits at its end for a read or write under way

_PROCESS = os.getpid()  # threads of the compiled pipeline do not survive a fork: a child decodes with zarr's own


class CheckedPipeline:
    """Codec pipeline of one array: verify the stored bytes of a chunk, then decode it.

    Rows of arrays in kithkin's own codecs are decoded from the bytes that were verified (`ChunkFiles.decode`). The rest
    is read by zarrs where it is installed and knows the codecs, and by zarr otherwise, and in a forked child, which the
    threads of zarrs did not follow.

    Parameters
    ----------
    array
        The array.
    files
        Layout of its files, by which stored bytes are verified; None: they are not.
    complete
        Whether a file that is absent is damage; otherwise its values are the fill value.
    compiled
        False: decode with zarr's own codecs only.
    """

    def __init__(self, array: zarr.Array[Any], files: ChunkFiles | None, *, complete: bool, compiled: bool) -> None:
        local = not isinstance(array.store, StoredValues)  # else zarrs, which reads files, would find none
        self._files, self.complete, self._allowed = files, complete, compiled
        own: Any = getattr(array.metadata, "codecs", None)
        header = array.metadata.to_dict()
        self._own: Any = BatchedCodecPipeline.from_codecs(own) if own else array._async_array.codec_pipeline
        codecs: list[Any] = [*header["codecs"], *_inner_codecs(header)] if own else [{"name": "unknown"}]  # type: ignore[misc]
        names = {dict(codec)["name"] for codec in codecs}
        numeric = array.dtype.kind in "biuf" and array.dtype.isnative
        self._compiled: CodecPipeline | None = None
        known = numeric and names <= COMPILED and isinstance(array.store, LocalStore)
        if compiled and local and known and find_spec("zarrs") is not None and os.getpid() == _PROCESS:
            from zarrs import ZarrsCodecPipeline

            own_store: Any = array.store
            store = LocalStore(own_store.root, read_only=own_store.read_only)  # zarrs goes by the name of the class
            self._compiled = ZarrsCodecPipeline.from_array_metadata_and_store(array.metadata, store)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._own, name)

    def layout_of_own(self, part: Array) -> ChunkFiles | None:
        """Return the layout of the files if kithkin decodes rows of the array itself, into arrays like the part."""
        own = self._allowed and self._files is not None and self._files.decodes(part)
        return self._files if own else None

    @property
    def _pipeline(self) -> Any:
        return self._own if self._compiled is None or os.getpid() != _PROCESS else self._compiled

    async def read(self, batch_info: Iterable[Any], out: Any, drop_axes: tuple[int, ...] = ()) -> None:
        """Verify and decode the parts of chunks that a selection needs."""
        batch, files, values = list(batch_info), self._files, out.as_ndarray_like()
        if files is not None:

            def is_decoded(item: Any) -> bool:
                getter, _, selection, target, whole = item
                file = f"{getter.store.root}/{getter.path}"
                parts = (*selection, *target) if isinstance(selection, tuple) and isinstance(target, tuple) else (None,)
                views = all(isinstance(part, slice) and part.step in (None, 1) for part in parts)
                try:
                    if self._allowed and views and files.decodes(values[target]):
                        files.decode(file, selection[0], values[target])
                        return True
                    files.verify(file, None if whole or not isinstance(selection, tuple) else selection)
                except FileNotFoundError:
                    if self.complete:
                        raise DamageError(f"its file {os.path.basename(getter.path)} is missing") from None
                return False

            decoded = await asyncio.gather(*(asyncio.to_thread(is_decoded, item) for item in batch))
            batch = [item for item, done in zip(batch, decoded, strict=True) if not done]
        if batch:
            await self._pipeline.read(batch, out, drop_axes)

    async def write(self, batch_info: Iterable[Any], value: Any, drop_axes: tuple[int, ...] = ()) -> None:
        """Encode and store parts of chunks."""
        await self._pipeline.write(list(batch_info), value, drop_axes)


def use_pipeline(
    array: zarr.Array[Any], files: ChunkFiles | None = None, *, complete: bool = False, compiled: bool = True
) -> zarr.Array[Any]:
    """Give an array a codec pipeline of its own, whatever zarr's configuration of this process says.

    Parameters
    ----------
    array
        The array.
    files, complete, compiled
        As in `CheckedPipeline`.
    """
    _settle_at_the_end()
    pipeline = CheckedPipeline(array, files, complete=complete, compiled=compiled)
    # AsyncArray is frozen, and fills this field from the configuration of the process
    object.__setattr__(array._async_array, "codec_pipeline", pipeline)
    return array


class Folder(LocalStore):
    """Store of a folder that reads headers and writes small files at once: handing them to a thread takes longer."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Read a file."""
        if not key.endswith("zarr.json") or byte_range is not None:
            return await super().get(key, prototype, byte_range)
        try:
            content = (self.root / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        return (prototype or default_buffer_prototype()).buffer.from_bytes(content)

    async def set(self, key: str, value: Any) -> None:
        """Write a file."""
        if len(value) > SMALL:
            await super().set(key, value)
            return
        self._check_writable()
        write_file(self.root / key, value.to_bytes())

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        """Write a file that is not there; zarr asks for the header of each group above an array that it creates."""
        if not (self.root / key).exists():
            await super().set_if_not_exists(key, value)


class StoredValues(Folder):
    """Store of a folder in which small integers are read as such, whatever type their header casts them to.

    zarr before 3.2 warns of every cast that it opens, and decodes it slowly. Files that lie on a server are read there.
    """

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Read a file; a header without its cast."""
        found = await super().get(key, prototype, byte_range)
        if found is None and not key.endswith("zarr.json"):
            content = await asyncio.to_thread(_read_remote, f"{self.root}/{key}", byte_range)
            return None if content is None else (prototype or default_buffer_prototype()).buffer.from_bytes(content)
        if found is None or not key.endswith("zarr.json"):
            return found
        content = found.to_bytes()
        if not any(name.encode() in content for name in (CAST, WIDE_CAST)):
            return found
        with suppress(ValueError, KeyError, TypeError):  # what is no header, zarr refuses
            content = json.dumps(stored_header(json.loads(content))).encode()
        return type(found).from_bytes(content)


def _read_remote(file: str, byte_range: Any) -> bytes | None:
    """Read a file of an array on a server, or a range of it; None if there is none."""
    remote = find(file)
    if remote is None:
        return None
    try:
        if isinstance(byte_range, SuffixByteRequest):
            return remote.tail(byte_range.suffix)[0]
        start = getattr(byte_range, "start", getattr(byte_range, "offset", 0))
        stop = byte_range.end if isinstance(byte_range, RangeByteRequest) else remote.size
        return remote.read(stop - start, start)
    except FileNotFoundError:
        return None


def open_group(path: str | Path, mode: str = "r") -> zarr.Group:
    """Open the Zarr group at a path, without consolidated metadata: what is on disk at this moment.

    Raises
    ------
    KithkinError
        If there is no Zarr group.
    """
    _settle_at_the_end()
    store: Any = StoredValues(path, read_only=True) if mode == "r" else Folder(path)
    with suppress(DamageError):  # where there is no such header, zarr says what is wrong
        header = {} if mode == "w" else read_header(path)
        if header.get("node_type") == "group" and header.get("zarr_format") == 3:
            return group_at(StorePath(store), header)
    try:
        return zarr.open_group(store, mode=mode, use_consolidated=False)  # type: ignore[arg-type]
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise KithkinError(f"{path} is not a Zarr dataset: {error}") from error


def open_child(group: zarr.Group, name: str) -> zarr.Group:
    """Open a group in another one, which is a folder."""
    place: Any = group.store_path / name
    return group_at(place, read_header(place.store.root, place.path))


def read_header(path: str | Path, key: str = "") -> dict[str, Any]:
    """Read the header (zarr.json) of a group or array.

    Parameters
    ----------
    path
        The dataset.
    key
        The element; the root when "".

    Raises
    ------
    DamageError
        If it is missing, or not in JSON.
    """
    what = f"{Path(path).name}: {key or 'the root'} is damaged: its zarr.json"
    try:
        with open(f"{path}/{key}/zarr.json", "rb") as file:
            content = json.load(file)
        content.setdefault("attributes", {}).items()
    except (FileNotFoundError, NotADirectoryError):
        raise DamageError(f"{what} is missing") from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamageError(f"{what} cannot be read ({error})") from None
    header: dict[str, Any] = content
    return header


def attributes(path: str | Path, key: str = "") -> dict[str, Any]:
    """Read the attributes of a group or array from its header.

    Raises
    ------
    DamageError
        If the header is missing or cannot be read.
    """
    found: dict[str, Any] = read_header(path, key)["attributes"]
    return found


def open_array(path: str | Path, key: str, *, n_files: int | None = None, compiled: bool = True) -> zarr.Array[Any]:
    """Open an array of the dataset at a path for reading, in its stored type, every chunk verified.

    Parameters
    ----------
    path
        The dataset.
    key
        The array.
    n_files
        Number of files that were written, where it is known: if that is all, one that is absent is damage.
    compiled
        False: decode with zarr's own codecs only.

    Raises
    ------
    DamageError
        If its header is missing or damaged, or asks for far more than its files can hold.
    """
    header = read_header(path, key)
    files = ChunkFiles.of(header)
    complete = n_files is not None and n_files >= files.n_files
    size = prod(max(part, whole) for part, whole in zip(files.outer, files.shape, strict=True))
    if size > LARGEST and not complete and len(list_files(f"{path}/{key}")) < files.n_files:
        raise DamageError(f"{Path(path).name}: {key} is damaged: most of its {files.n_files} files are missing")
    try:
        header = stored_header(header)
        metadata = ArrayV3Metadata.from_dict(header)
        remote = is_remote(f"{path}/{key}")
        store = (StoredValues if remote else LocalStore)(path, read_only=True)
        array: Any = zarr.AsyncArray(metadata, StorePath(store, key))
    except Exception as error:  # zarr has many ways to refuse a header
        message = f"{Path(path).name}: {key} is damaged: its zarr.json cannot be read ({type(error).__name__}: {error})"
        raise DamageError(message) from error
    return use_pipeline(zarr.Array(array), ChunkFiles.of(header), complete=complete, compiled=compiled)


def stored_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header without a cast of small integers to floating-point numbers, as they are read by kithkin."""
    codecs = _inner_codecs(header)
    first: dict[str, Any] = dict(codecs[0]) if codecs else {}
    settings = first.get("configuration", {})
    scaled = first.get("name") == CAST and (settings.get("offset"), settings.get("scale")) == (0, 1)
    if not (scaled or first.get("name") == WIDE_CAST) or header["fill_value"] != 0:
        return dict(header)
    stored = np.dtype(settings["astype"] if scaled else settings["encode_dtype"])
    return _with_codecs(header, stored, codecs[1:])


def cast_header(header: Mapping[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the header of an array of small integers that every program reads as floating-point numbers.

    Parameters
    ----------
    header
        Header of the integers as they are stored; their bytes stay as they are.
    dtype
        float32, or float64.
    """
    stored = np.dtype(header["data_type"]).newbyteorder("<").str.lstrip("|")
    read = dtype.newbyteorder("<").str
    if dtype.itemsize == 4:
        cast = {"name": CAST, "configuration": {"offset": 0, "scale": 1, "dtype": read, "astype": stored}}
    else:
        cast = {"name": WIDE_CAST, "configuration": {"encode_dtype": stored, "decode_dtype": read}}
    return _with_codecs(header, dtype, [cast, *_inner_codecs(header)])


def _inner_codecs(header: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the codecs of a chunk: those within a shard where there are shards."""
    codecs: list[dict[str, Any]] = list(header["codecs"])
    sharded = codecs and codecs[0].get("name") == "sharding_indexed"
    return list(codecs[0]["configuration"]["codecs"]) if sharded else codecs


def _with_codecs(header: Mapping[str, Any], dtype: np.dtype[Any], codecs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a header with another type and other codecs of a chunk."""
    outer: dict[str, Any] = header["codecs"][0]
    if outer.get("name") == "sharding_indexed":
        codecs = [{**outer, "configuration": {**outer["configuration"], "codecs": codecs}}, *header["codecs"][1:]]
    return {**header, "data_type": dtype.name, "fill_value": dtype.type(0).item(), "codecs": codecs}


def settle() -> None:
    """Wait until what Zarr's own thread is reading or writing has come to an end.

    An interrupt takes the caller away and leaves the thread at work; Python would say so, at length, when it ends.
    It is called at the end of the process, before Zarr stops the thread.
    """

    async def others() -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        if under_way:
            await asyncio.wait(under_way, timeout=SETTLE)

    if zarr.core.sync.loop[0] is not None:
        zarr.core.sync.sync(others())


@cache
def _settle_at_the_end() -> None:
    share_one_heap()  # before zarr starts its threads
    atexit.register(settle)  # the last registered is the first called: zarr has registered its own
