"""What AnnData puts where, in HDF5 and in Zarr alike: from an open store to a Source."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import anndata
import pandas as pd

from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.formats.legacy import compound_arrays, compound_frame, raw_parts
from kithkin.io.source import Source
from kithkin.io.streams.annotation import plain_frame
from kithkin.io.streams.sequential import damage, read_slice
from kithkin.io.streams.stored_table import is_array, is_empty, table_shape, table_stream

MAPPINGS = ("obsm", "varm", "obsp", "varp")
KNOWN = {"X", "obs", "var", "layers", "uns", "raw", "raw.X", "raw.var", "raw.varm", *MAPPINGS}


def has_layout(root: Any) -> bool:
    """Whether an open store holds AnnData.

    Examples
    --------
    >>> has_layout({"X": 1, "obs": 2, "var": 3}), has_layout({"matrix": 1})
    (True, False)
    """
    return "obs" in root and "var" in root and any(part in root for part in ("X", "layers", "raw", "obsm", "mod"))


def read_node(node: Any, name: str, key: str) -> Any:
    """An element as anndata reads it, or a FormatError that names it."""
    with damage(name, key), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how an old file is written is no concern of who reads it
        return anndata.io.read_elem(node)


def _frame(node: Any, uns: Any, name: str, key: str) -> pd.DataFrame:
    if is_array(node):
        records = read_slice(node, (), name, key)
        if not records.dtype.names:
            raise FormatError(f"{name}: {key} must be a table, it is an array of {records.dtype}")
        return plain_frame(compound_frame(records, uns))
    frame = read_node(node, name, key)
    if not isinstance(frame, pd.DataFrame):
        raise FormatError(f"{name}: {key} must be a table, it is a {type(frame).__name__}")
    return plain_frame(frame)


class _Choice:
    """Which table becomes X, and what goes with it."""

    def __init__(self, root: Any, name: str, layer: str | None, raw: bool) -> None:
        if layer is not None and raw:
            raise ParameterError("choose either layer or raw, not both")
        group = root.get("layers", {})
        layers = {key: group[key] for key in group}
        parts = raw_parts(root)
        tables = {f"layers/{key}": node for key, node in layers.items()}
        if "X" in root and not is_empty(root["X"]):
            tables["X"] = root["X"]
        self.var: Any = root["var"]
        self.raw = {} if raw else parts
        self.key = "raw/X" if raw else "X" if layer is None else f"layers/{layer}"
        if raw:
            if not parts:
                raise ParameterError(f"raw=True has no effect: {name} has no raw")
            self.node, self.var, self.others = parts["X"], parts["var"], {}
            self.left = sorted(tables)
            return
        if self.key not in tables:
            present = ", ".join(sorted(layers)) or "none"
            if layer is not None:
                raise ParameterError(f"layer must be one of the layers of {name}, got {layer!r}. Present: {present}")
            raise FormatError(f"{name} has no X: choose a layer ({present}){' or raw=True' if parts else ''}")
        self.node = tables.pop(self.key)
        self.others = {key if key != "X" else "layers/X": node for key, node in tables.items()}
        self.left = []


def open_layout(root: Any, name: str, *, layer: str | None = None, raw: bool = False) -> Source:
    """The Source of an open AnnData store.

    Parameters
    ----------
    root
        HDF5 or Zarr group.
    name
        File name for messages.
    layer
        Take this layer as X; X itself becomes layers/X.
    raw
        Take raw as X, with its genes; what belongs to the other genes stays behind, and a note says so.

    Raises
    ------
    FormatError
        If tables disagree about the number of rows or columns.
    ParameterError
        If there is no such layer, or no raw.

    Examples
    --------
    >>> import h5py, numpy as np
    >>> root = h5py.File("eye.h5ad", "w", driver="core", backing_store=False)
    >>> anndata.io.write_elem(root, "/", anndata.AnnData(np.eye(2)))
    >>> open_layout(root, "eye.h5ad").obs.index.tolist()
    ['0', '1']
    """
    if "mod" in root and "X" not in root:
        raise FormatError(
            f"{name} is MuData with {', '.join(root['mod'])}: write the one you want as a file of its own"
        )
    choice = _Choice(root, name, layer, raw)
    uns = root["uns"] if "uns" in root and not is_array(root["uns"]) else {}
    obs, var = _frame(root["obs"], uns, name, "obs"), _frame(choice.var, uns, name, "var")
    n_rows, n_columns = table_shape(choice.node, name, choice.key)
    for size, frame, what, axis in ((n_rows, obs, "obs", "rows"), (n_columns, var, "var", "columns")):
        if size != len(frame):
            raise FormatError(f"{name}: {choice.key} has {size} {axis}, but {what} has {len(frame)}")
    source = Source(name, n_columns, {}, obs, var)
    source.tables["X"], source.stored = table_stream(choice.node, choice.key, source)
    for key, node in choice.others.items():
        shape = table_shape(node, name, key)
        if shape != (n_rows, n_columns):
            raise FormatError(f"{name}: {key} is {shape[0]} x {shape[1]}, but X is {n_rows} x {n_columns}")
        source.tables[key] = table_stream(node, key, source)[0]
    _add_mappings(root, source, ("obsm", "obsp") if raw else MAPPINGS)
    _add_raw(choice.raw, source, uns)
    _add_uns(uns, source)
    if raw:
        _note_left(root, choice.left, source)
    strange = sorted(set(root.keys()) - KNOWN)
    if strange:
        source.notes.append(f"{name} holds what AnnData does not know, and it was left out: {', '.join(strange)}")
    return source


def _note_left(root: Any, left: list[str], source: Source) -> None:
    left = left + [key for key in ("varm", "varp") if key in root and len(root[key])]
    if left:
        source.notes.append(f"raw became X: left out is what belongs to other genes: {', '.join(left)}")


def _add_mappings(root: Any, source: Source, places: tuple[str, ...]) -> None:
    for place in places:
        node = root.get(place, {})
        if is_array(node):
            records = read_slice(node, (), source.name, place)
            source.elements |= {f"{place}/{key}": value for key, value in compound_arrays(records).items()}
            continue
        length = len(source.obs if place.startswith("obs") else source.var)
        for key in node:
            source.elements[f"{place}/{key}"] = partial(_aligned, node[key], length, source.name, f"{place}/{key}")


def _aligned(node: Any, length: int, name: str, key: str) -> Any:
    value = read_node(node, name, key)
    found = value.shape[0] if hasattr(value, "shape") else len(value)
    if found != length:
        raise FormatError(f"{name}: {key} has {found} rows, but {key[:3]} has {length}")
    return plain_frame(value) if isinstance(value, pd.DataFrame) else value


def _add_raw(parts: dict[str, Any], source: Source, uns: Any) -> None:
    """Raw as it came: its table is streamed, under a key of its own."""
    if not parts:
        return
    shape = table_shape(parts["X"], source.name, "raw/X")
    var = _frame(parts["var"], uns, source.name, "raw/var") if "var" in parts else source.var
    if shape != (len(source.obs), len(var)):
        promised = f"{len(source.obs)} x {len(var)}"
        raise FormatError(f"{source.name}: raw/X is {shape[0]} x {shape[1]}, but its tables promise {promised}")
    source.tables["raw/X"] = table_stream(parts["X"], "raw/X", source)[0]
    source.elements["raw/var"] = var
    node = parts.get("varm", {})
    if is_array(node):
        arrays = compound_arrays(read_slice(node, (), source.name, "raw/varm"))
        source.elements["raw/varm"] = arrays
    else:
        source.elements["raw/varm"] = partial(_read_all, node, source.name, "raw/varm")


def _read_all(node: Any, name: str, key: str) -> dict[str, Any]:
    return {child: read_node(node[child], name, f"{key}/{child}") for child in node}


def _add_uns(uns: Any, source: Source) -> None:
    known = {f"{column}_categories" for frame in (source.obs, source.var) for column in frame.columns}
    for key in uns:
        if key in known:
            continue
        if key == "kithkin":
            source.notes.append(f"the history of {source.name} was not taken over (uns/kithkin)")
            continue
        read: Callable[[], Any] = partial(read_node, uns[key], source.name, f"uns/{key}")
        source.elements[f"uns/{key}"] = read
