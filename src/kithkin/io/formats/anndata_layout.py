"""AnnData's layout, the same in HDF5 and in Zarr: from an open store to a Source."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import anndata
import numpy as np
import pandas as pd
import zarr
from anndata._io.specs.registry import IORegistryError
from scipy import sparse
from zarr.core.sync import sync

from kithkin.core.errors import FormatError, ParameterError, check_known
from kithkin.core.published import COPY_OF
from kithkin.io.formats.kind import KINDS
from kithkin.io.formats.legacy import CATEGORIES, categorical, compound_arrays, compound_frame, is_coded
from kithkin.io.source import Deferred, Source
from kithkin.io.streams.annotation import plain_column, plain_frame
from kithkin.io.streams.sequential import Unreadable, format_errors, read_slice
from kithkin.io.streams.stored_table import check_extent, is_array, is_empty, table_shape, table_stream

MAPPINGS = ("obsm", "varm", "obsp", "varp")
KNOWN = {"X", "obs", "var", "layers", "uns", "raw", "raw.X", "raw.var", "raw.varm", *MAPPINGS}
READERS = {"awkward-array": "the package awkward"}  # of encodings that anndata reads with another package only


def has_layout(root: Any) -> bool:
    """Tell whether an open store holds AnnData."""
    return "obs" in root and "var" in root and any(part in root for part in ("X", "layers", "raw", "obsm", "mod"))


def parts_of(node: Any, source: Source, place: str) -> dict[str, Any]:
    """Map the names of what a group holds to its nodes; what cannot be opened is left out with a note.

    A place of AnnData that is an array, where a group belongs, is left out likewise.
    """
    parts: dict[str, Any] = {}
    if is_array(node):
        kind = node.dtype
        source.notes.append(f"{place} was left out: {source.name}: {place} is an array of {kind}, not a group")
        return parts
    try:
        with format_errors(source.name, f"{place} cannot be read"):
            names = names_of(node)
    except Unreadable as error:
        source.notes.append(f"{place} was left out: {error}")
        return parts
    for key in names:
        try:
            with format_errors(source.name, f"{place}/{key} cannot be read"):
                parts[key] = node[key]
        except Unreadable as error:
            source.notes.append(f"{place}/{key} was left out: {error}")
    return parts


def names_of(node: Any) -> list[str]:
    """List what a group holds; in Zarr, also what lacks a sound header and is no node for Zarr's own list."""
    if not isinstance(node, zarr.Group):
        return list(node)

    async def listed() -> list[str]:
        return [name async for name in node.store.list_dir(node.path)]

    return sorted(name for name in sync(listed()) if not name.startswith(".") and name != "zarr.json")


def read_value(node: Any, source: Source, key: str) -> Any:
    """Read an element as `read_node` does; a mapping or table of which a part is damaged, part by part.

    Each part of a mapping is then a `Deferred` value, so that one that cannot be read does not take the others with it.
    """
    if hasattr(node, "keys") and node.attrs.get("encoding-type") == "dataframe":
        return read_frame(node, {}, source, key)
    try:
        return read_node(node, source.name, key)
    except FormatError:
        encoding = node.attrs.get("encoding-type", "dict") if hasattr(node, "keys") else None
        if encoding not in ("dict", ""):
            raise
        parts = parts_of(node, source, key)
        return {name: Deferred(partial(read_value, part, source, f"{key}/{name}")) for name, part in parts.items()}


def read_node(node: Any, name: str, key: str) -> Any:
    """Read an element as anndata does.

    Raises FormatError if anndata does not know it, or it is damaged; names the element.
    """
    encoding = node.attrs.get("encoding-type") if hasattr(node, "attrs") else None
    with format_errors(name, f"{key} cannot be read"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how an old file is written is no concern of who reads it
        if is_array(node):
            check_extent(node, name, key)
        try:
            return _check_sparse(anndata.io.read_elem(node))
        except MemoryError as error:  # damaged lengths of texts ask for any amount
            raise Unreadable(f"{name}: {key} needs more memory than there is: {error}") from error
        except (IORegistryError, ImportError) as error:
            stored = repr(str(encoding)) if encoding else "nothing that is named"
            reader = READERS.get(str(encoding), "a newer version of it, or the package that wrote it")
            raise Unreadable(
                f"{name}: {key} is stored as {stored}, which anndata {anndata.__version__} does not read without "
                f"{reader}"
            ) from error


def _check_sparse(value: Any) -> Any:
    """Return a value whose sparse matrices are sound: SciPy's compiled code trusts pointers and indices."""
    if isinstance(value, Mapping):
        for item in value.values():
            _check_sparse(item)
    elif sparse.issparse(value):
        value.check_format(full_check=True)
    return value


def read_frame(node: Any, uns: Any, source: Source, key: str) -> pd.DataFrame:
    """Read a table; columns that cannot be read are left out with a note, if only the index can."""
    if is_array(node):
        records = read_slice(node, (), source.name, key)
        if not records.dtype.names:
            raise FormatError(f"{source.name}: {key} must be a table, it is an array of {records.dtype}")
        frame, notes = compound_frame(records, uns)
        source.notes += [f"{key}/{note}" for note in notes]
        return plain_frame(frame)
    try:
        with format_errors(source.name, f"{key} cannot be read"):
            frame = read_node(node, source.name, key)
            if isinstance(frame, pd.DataFrame):
                for column in node.attrs["column-order"]:
                    _check_column(node[column], len(frame), f"{source.name}: {key}/{column}")
                return plain_frame(_with_categories(frame, uns, source, key))
    except Unreadable:
        index = node.attrs.get("_index", "_index")
        if not hasattr(node, "keys") or not isinstance(index, str) or index not in node:
            raise
        names = read_node(node[index], source.name, f"{key}/{index}")
        frame = pd.DataFrame(index=pd.Index(names))
        order = [str(name) for name in np.ravel(node.attrs.get("column-order", sorted(names_of(node))))]
        for column in [name for name in order if name not in (index, "__categories")]:
            where = f"{key}/{column}"
            try:
                with format_errors(source.name, f"{where} cannot be read"):
                    _check_column(node[column], len(frame), f"{source.name}: {where}")
                    values = read_node(node[column], source.name, where)
                    if len(values) != len(frame):
                        raise Unreadable(f"{source.name}: {where} has {len(values)} values for {len(frame)} rows")
                    frame[column] = plain_column(pd.Series(values, index=frame.index))
            except FormatError as error:
                source.notes.append(f"{where} was left out: {error}")
    if not isinstance(frame, pd.DataFrame):
        raise FormatError(f"{source.name}: {key} must be a table, it is a {type(frame).__name__}")
    return plain_frame(_with_categories(frame, uns, source, key))


def _with_categories(frame: pd.DataFrame, uns: Any, source: Source, key: str) -> pd.DataFrame:
    """Name the categories of columns of numbers, where uns keeps them for these; a note where they do not fit."""
    for column in [str(name) for name in frame.columns if is_coded(str(name), frame[name].to_numpy(), uns)]:
        try:
            frame[column] = categorical(frame[column].to_numpy(), uns[column + CATEGORIES])
        except FormatError as error:
            source.notes.append(f"{key}/{column} keeps its numbers, without names for them: {error}")
    return frame


def _check_column(node: Any, length: int, where: str) -> None:
    """Refuse a column that is a single value, a mapping or a matrix: pandas would spread it over the rows."""
    if is_array(node) and tuple(node.shape) != (length,):
        shape = " x ".join(map(str, node.shape)) or "a single value"
        raise Unreadable(f"{where} is {shape}, not a column of {length} values")
    if not is_array(node) and node.attrs.get("encoding-type", "dict") in ("dict", ""):
        raise Unreadable(f"{where} is a group of {', '.join(names_of(node)) or 'nothing'}, not a column")


def open_layout(root: Any, name: str, *, layer: str | None = None, raw: bool = False) -> Source:
    """Open an AnnData store as a Source.

    `layer` is taken as X, and X itself becomes layers/X. With `raw`, raw becomes X, with its genes; what belongs to the
    other genes stays behind, and a note says so. Raises FormatError if X and its tables of rows and columns disagree
    about their number; ParameterError if there is no such layer, or no raw.
    """
    if "mod" in root and "X" not in root:
        raise FormatError(
            f"{name} is MuData with {', '.join(root['mod'])}: write the one you want as a file of its own"
        )
    if layer is not None and raw:
        raise ParameterError("choose either layer or raw, not both")
    source = Source(name, 0, {}, pd.DataFrame(), pd.DataFrame())
    top = parts_of(root, source, name)
    parts, layers = _raw_parts(top, source), parts_of(top.get("layers", {}), source, "layers")
    tables = {f"layers/{one}": node for one, node in layers.items() if COPY_OF not in getattr(node, "attrs", {})}
    if "X" in root and not is_empty(root["X"]):
        tables["X"] = root["X"]
    key = "raw/X" if raw else "X" if layer is None else f"layers/{layer}"
    if raw and not parts:
        raise ParameterError(f"raw=True has no effect: {name} has no raw")
    if not raw and key not in tables:
        present = ", ".join(sorted(layers)) or "none"
        if layer is not None:
            check_known([layer], sorted(layers), f"layer must be one of the layers of {name}, got")
        raise FormatError(f"{name} has no X: choose a layer ({present}){' or raw=True' if parts else ''}")
    node, var_node = (parts["X"], parts.get("var", root["var"])) if raw else (tables.pop(key), root["var"])
    n_rows, n_columns = table_shape(node, name, key)
    source.n_columns, uns = n_columns, parts_of(top.get("uns", {}), source, "uns")
    source.obs, source.var = read_frame(root["obs"], uns, source, "obs"), read_frame(var_node, uns, source, "var")
    for size, frame, what, axis in ((n_rows, source.obs, "obs", "rows"), (n_columns, source.var, "var", "columns")):
        if size != len(frame):
            raise FormatError(f"{name}: {key} has {size} {axis}, but {what} has {len(frame)}")
    source.tables["X"], source.stored = table_stream(node, key, source, "X")
    if raw:
        left = sorted(tables) + [one for one in ("varm", "varp") if one in top and len(top[one])]
        if left:
            source.notes.append(f"raw became X: left out is what belongs to other genes: {', '.join(left)}")
    else:
        for other, table in tables.items():
            _add_table(table, other, (n_rows, n_columns), source)
        if parts:
            _add_raw(parts, source, uns)
    _add_elements(top, uns, source, ("obsm", "obsp") if raw else MAPPINGS)
    if key == "X" and "kithkin" in uns:
        source.kind = _read_kind(uns["kithkin"], source)
    strange = sorted(set(top) - KNOWN)
    if strange:
        source.notes.append(f"{name} holds what AnnData does not know, and it was left out: {', '.join(strange)}")
    return source


def _read_kind(node: Any, source: Source) -> Mapping[str, str] | None:
    """Read what an earlier import found X to be; None, so that it is found again, if that cannot be read."""
    try:
        with format_errors(source.name, "uns/kithkin/kind cannot be read"):
            kind = read_node(node["kind"], source.name, "uns/kithkin/kind") if "kind" in node else None
            if kind is None or (kind["name"] in KINDS and isinstance(kind["reason"], str)):
                return kind
    except Unreadable:
        pass
    source.notes.append(f"uns/kithkin/kind of {source.name} cannot be read: the kind of X was found again")
    return None


def _add_table(node: Any, key: str, expected: tuple[int, int], source: Source) -> bool:
    """Add a table beside X; one that cannot be read is left out with a note."""
    goes_to = "layers/X" if key == "X" else key
    try:
        shape = table_shape(node, source.name, key)
        if shape != expected:
            promised = f"{'its tables promise' if key == 'raw/X' else 'X is'} {expected[0]} x {expected[1]}"
            raise FormatError(f"{source.name}: {key} is {shape[0]} x {shape[1]}, but {promised}")
        source.tables[goes_to] = table_stream(node, key, source, goes_to)[0]
    except FormatError as error:
        source.notes.append(f"{goes_to} was left out: {error}")
        return False
    return True


def _raw_parts(top: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Map the names of the nodes of raw (X, var, varm) to the nodes; empty if there is no raw with an X."""
    parts = {part: top[f"raw.{part}"] for part in ("X", "var", "varm") if f"raw.{part}" in top}
    if "raw" in top and not is_empty(top["raw"]):
        parts |= parts_of(top["raw"], source, "raw")
    if parts and "X" not in parts:
        source.notes.append(f"raw was left out: {source.name}: raw/X is missing")
        return {}
    return parts


def _add_raw(parts: dict[str, Any], source: Source, uns: Any) -> None:
    """Add raw as it came: its table is streamed, under a key of its own."""
    try:
        var = read_frame(parts["var"], uns, source, "raw/var") if "var" in parts else source.var
    except FormatError as error:
        source.notes.append(f"raw was left out: {error}")
        return
    if _add_table(parts["X"], "raw/X", (len(source.obs), len(var)), source):
        source.elements["raw/var"] = var
        source.elements["raw/varm"] = _read_mapping(parts.get("varm", {}), len(var), source, "raw/varm")


def _read_mapping(node: Any, length: int, source: Source, place: str) -> dict[str, Any]:
    """Map the names of elements that are aligned with rows or columns to their values, which are read later."""
    if is_array(node) and node.dtype.names:
        try:
            arrays = compound_arrays(read_slice(node, (), source.name, place))
        except Unreadable as error:
            source.notes.append(f"{place} was left out: {error}")
            return {}
        if all(len(value) == length for value in arrays.values()):
            return dict(arrays)
        source.notes.append(f"{place} was left out: {source.name}: {place} has {len(node)} rows, not {length}")
        return {}
    found: dict[str, Any] = {}
    for key, part in parts_of(node, source, place).items():
        found[key] = Deferred(partial(_read_aligned, part, length, source, f"{place}/{key}"))
    return found


def _add_elements(root: Mapping[str, Any], uns: Any, source: Source, mappings: tuple[str, ...]) -> None:
    for place in mappings:
        length = len(source.obs if place.startswith("obs") else source.var)
        values = _read_mapping(root.get(place, {}), length, source, place)
        source.elements |= {f"{place}/{key}": value for key, value in values.items()}
    categories = {
        name + CATEGORIES
        for place, frame in (("obs", source.obs), ("var", source.var))
        for name in _numbered_columns(root[place], source)
        if name in frame and isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    for key in uns:
        if key == "kithkin":
            source.notes.append(f"the history of {source.name} was not taken over (uns/kithkin)")
        elif key not in categories:
            source.elements[f"uns/{key}"] = Deferred(partial(read_value, uns[key], source, f"uns/{key}"))


def _numbered_columns(node: Any, source: Source) -> list[str]:
    """List the columns of a table that are stored as whole numbers."""
    if is_array(node):
        return [name for name in node.dtype.names if node.dtype[name].kind in "iu"]
    seen = Source(source.name, 0, {}, source.obs, source.var)  # what cannot be opened was noted with the table
    parts = parts_of(node, seen, source.name)
    return [name for name, part in parts.items() if is_array(part) and part.dtype.kind in "iu"]


def _read_aligned(node: Any, length: int, source: Source, key: str) -> Any:
    value, name = read_value(node, source, key), source.name
    if isinstance(value, Mapping):
        raise FormatError(f"{name}: {key} is a group of {', '.join(value) or 'nothing'}, not a table")
    axes = 2 if key.startswith(("obsp/", "varp/")) else 1
    shape = tuple(value.shape) if hasattr(value, "shape") else (len(value),)
    if shape[:axes] != (length,) * axes:
        sizes = " x ".join(map(str, shape[:axes])) or "no"
        axis = "raw/var" if key.startswith("raw/") else key[:3]
        raise FormatError(f"{name}: {key} has {sizes} rows, but {axis} has {length}")
    return plain_frame(value) if isinstance(value, pd.DataFrame) else value
