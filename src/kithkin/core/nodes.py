"""Groups and arrays, the nodes of Zarr, written as files: each header once, with the attributes of its node."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.group import GroupMetadata
from zarr.core.metadata import ArrayV3Metadata
from zarr.core.sync import sync
from zarr.errors import ContainsArrayError, ContainsGroupError
from zarr.storage import LocalStore, StorePath

HEADER = "zarr.json"
WRITTEN = {"write_empty_chunks": True}  # so that a file that is not there is one that was lost


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one; another link to the old one keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def put(place: StorePath, content: bytes) -> None:
    """Write a file at a place of a store: without Zarr's thread where that is a folder.

    Examples
    --------
    >>> group = zarr.group({})
    >>> put(group.store_path / "a/zarr.json", b'{"zarr_format": 3, "node_type": "group"}')
    >>> list(group.group_keys())
    ['a']
    """
    if isinstance(place.store, LocalStore) and not place.read_only:
        write_file(place.store.root / place.path, content)
    else:
        sync(place.store.set(place.path, default_buffer_prototype().buffer.from_bytes(content)))


def exists(group: zarr.Group, name: str) -> bool:
    """Tell whether a group has a node of a name.

    Examples
    --------
    >>> group = zarr.group({})
    >>> _ = create_group(group, "a", {})
    >>> exists(group, "a"), exists(group, "b")
    (True, False)
    """
    store = group.store_path.store
    return (store.root / group.path / name / HEADER).exists() if isinstance(store, LocalStore) else name in group


def remove(group: zarr.Group, name: str) -> None:
    """Remove the node of a name from a group, if it is there."""
    store = group.store_path.store
    if not isinstance(store, LocalStore):
        if name in group:
            del group[name]
    elif (store.root / group.path / name).exists():
        shutil.rmtree(store.root / group.path / name)


def group_at(place: StorePath, header: Mapping[str, Any]) -> zarr.Group:
    """Give the group at a place of a store, from its header."""
    return zarr.Group(zarr.AsyncGroup(GroupMetadata(attributes=dict(header["attributes"])), store_path=place))


def create_group(group: zarr.Group, name: str, attributes: Mapping[str, Any]) -> zarr.Group:
    """Create a group in another one.

    Examples
    --------
    >>> group = create_group(zarr.group({}), "a", {"encoding-type": "dict"})
    >>> group.path, dict(group.attrs)
    ('a', {'encoding-type': 'dict'})
    """
    if exists(group, name):
        raise ContainsGroupError(f"{group.path}/{name} exists already")
    metadata, place = GroupMetadata(attributes=dict(attributes)), group.store_path / name
    put(place / HEADER, json.dumps(metadata.to_dict(), indent=2).encode())
    return zarr.Group(zarr.AsyncGroup(metadata, store_path=place))


def create_header(
    group: zarr.Group,
    name: str,
    like: Mapping[str, Any],
    shape: Sequence[int],
    chunks: Sequence[int],
    attributes: Mapping[str, Any],
    shards: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Create an array in a group, by a header like that of another one with as many dimensions, and return it."""
    if exists(group, name):
        raise ContainsArrayError(f"{group.path}/{name} exists already")
    grid = {**like["chunk_grid"], "configuration": {"chunk_shape": list(shards or chunks)}}
    header = {**like, "shape": list(shape), "chunk_grid": grid, "attributes": dict(attributes)}
    if shards:
        sharding = like["codecs"][0]
        inner = {**sharding["configuration"], "chunk_shape": list(chunks)}
        header["codecs"] = [{**sharding, "configuration": inner}, *like["codecs"][1:]]
    put(group.store_path / name / HEADER, json.dumps(header, indent=2).encode())
    return header


def array_at(place: StorePath, header: Mapping[str, Any]) -> zarr.Array[Any]:
    """Give the array at a place of a store, from its header, to write into it."""
    metadata = ArrayV3Metadata.from_dict(dict(header))
    array: Any = zarr.AsyncArray(metadata, place, config=WRITTEN)  # type: ignore[call-overload]
    return zarr.Array(array)
