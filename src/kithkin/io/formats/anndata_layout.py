"""AnnData's layout, the same in HDF5 and in Zarr: from an open store to a Source."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import anndata
import pandas as pd
from anndata._io.specs.registry import IORegistryError
from scipy import sparse

from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.formats.legacy import compound_arrays, compound_frame, raw_parts
from kithkin.io.source import Deferred, Source
from kithkin.io.streams.annotation import plain_frame
from kithkin.io.streams.sequential import Unreadable, format_errors, read_slice
from kithkin.io.streams.stored_table import check_extent, is_array, is_empty, table_shape, table_stream

MAPPINGS = ("obsm", "varm", "obsp", "varp")
KNOWN = {"X", "obs", "var", "layers", "uns", "raw", "raw.X", "raw.var", "raw.varm", *MAPPINGS}
READERS = {"awkward-array": "the package awkward"}  # of encodings that anndata reads with another package only


def has_layout(root: Any) -> bool:
    """Tell whether an open store holds AnnData."""
    return "obs" in root and "var" in root and any(part in root for part in ("X", "layers", "raw", "obsm", "mod"))


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


def _read_frame(node: Any, uns: Any, source: Source, key: str) -> pd.DataFrame:
    """Read a table; columns that cannot be read are left out with a note, if only the index can."""
    if is_array(node):
        records = read_slice(node, (), source.name, key)
        if not records.dtype.names:
            raise FormatError(f"{source.name}: {key} must be a table, it is an array of {records.dtype}")
        return plain_frame(compound_frame(records, uns))
    try:
        frame = read_node(node, source.name, key)
    except Unreadable:
        index = node.attrs.get("_index", "_index")
        if not hasattr(node, "keys") or not isinstance(index, str) or index not in node:
            raise
        names = read_node(node[index], source.name, f"{key}/{index}")
        frame = pd.DataFrame(index=pd.Index(names))
        for column in [str(name) for name in node.attrs.get("column-order", sorted(node))]:
            try:
                if column not in node:
                    raise Unreadable(f"{source.name}: {key}/{column} is missing")
                values = read_node(node[column], source.name, f"{key}/{column}")
                if len(values) != len(frame):
                    raise Unreadable(f"{source.name}: {key}/{column} has {len(values)} rows, not {len(frame)}")
                frame[column] = values
            except Unreadable as error:
                source.notes.append(f"{key}/{column} was left out: {error}")
    if not isinstance(frame, pd.DataFrame):
        raise FormatError(f"{source.name}: {key} must be a table, it is a {type(frame).__name__}")
    return plain_frame(frame)


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
    parts, layers = raw_parts(root), root.get("layers", {})
    layers = {} if is_array(layers) else layers
    tables = {f"layers/{one}": layers[one] for one in layers}
    if "X" in root and not is_empty(root["X"]):
        tables["X"] = root["X"]
    key = "raw/X" if raw else "X" if layer is None else f"layers/{layer}"
    if raw and not parts:
        raise ParameterError(f"raw=True has no effect: {name} has no raw")
    if not raw and key not in tables:
        present = ", ".join(sorted(layers)) or "none"
        if layer is not None:
            raise ParameterError(f"layer must be one of the layers of {name}, got {layer!r}. Present: {present}")
        raise FormatError(f"{name} has no X: choose a layer ({present}){' or raw=True' if parts else ''}")
    node, var_node = (parts["X"], parts.get("var", root["var"])) if raw else (tables.pop(key), root["var"])
    n_rows, n_columns = table_shape(node, name, key)
    source = Source(name, n_columns, {}, pd.DataFrame(), pd.DataFrame())
    uns = root["uns"] if "uns" in root and not is_array(root["uns"]) else {}
    source.obs, source.var = _read_frame(root["obs"], uns, source, "obs"), _read_frame(var_node, uns, source, "var")
    for size, frame, what, axis in ((n_rows, source.obs, "obs", "rows"), (n_columns, source.var, "var", "columns")):
        if size != len(frame):
            raise FormatError(f"{name}: {key} has {size} {axis}, but {what} has {len(frame)}")
    source.tables["X"], source.stored = table_stream(node, key, source)
    if raw:
        left = sorted(tables) + [one for one in ("varm", "varp") if one in root and len(root[one])]
        if left:
            source.notes.append(f"raw became X: left out is what belongs to other genes: {', '.join(left)}")
    else:
        for other, table in tables.items():
            _add_table(table, other, (n_rows, n_columns), source)
        if parts:
            _add_raw(parts, source, uns)
    _add_elements(root, uns, source, ("obsm", "obsp") if raw else MAPPINGS)
    if key == "X" and "kithkin" in uns and "kind" in uns["kithkin"]:
        source.kind = read_node(uns["kithkin"]["kind"], name, "uns/kithkin/kind")
    strange = sorted(set(root.keys()) - KNOWN)
    if strange:
        source.notes.append(f"{name} holds what AnnData does not know, and it was left out: {', '.join(strange)}")
    return source


def _add_table(node: Any, key: str, expected: tuple[int, int], source: Source) -> bool:
    """Add a table beside X; one that cannot be read is left out with a note."""
    goes_to = "layers/X" if key == "X" else key
    try:
        shape = table_shape(node, source.name, key)
        if shape != expected:
            promised = f"{'its tables promise' if key == 'raw/X' else 'X is'} {expected[0]} x {expected[1]}"
            raise FormatError(f"{source.name}: {key} is {shape[0]} x {shape[1]}, but {promised}")
        source.tables[goes_to] = table_stream(node, key, source)[0]
    except Unreadable as error:
        source.notes.append(f"{goes_to} was left out: {error}")
        return False
    return True


def _add_raw(parts: dict[str, Any], source: Source, uns: Any) -> None:
    """Add raw as it came: its table is streamed, under a key of its own."""
    try:
        var = _read_frame(parts["var"], uns, source, "raw/var") if "var" in parts else source.var
    except Unreadable as error:
        source.notes.append(f"raw was left out: {error}")
        return
    if _add_table(parts["X"], "raw/X", (len(source.obs), len(var)), source):
        node = parts.get("varm", {})
        source.elements["raw/var"] = var
        source.elements["raw/varm"] = Deferred(partial(_read_mapping, node, source.name, "raw/varm"))


def _read_mapping(node: Any, name: str, key: str) -> dict[str, Any]:
    if is_array(node):
        return dict(compound_arrays(read_slice(node, (), name, key)))
    return {child: read_node(node[child], name, f"{key}/{child}") for child in node}


def _add_elements(root: Any, uns: Any, source: Source, mappings: tuple[str, ...]) -> None:
    for place in mappings:
        node = root.get(place, {})
        if is_array(node):
            try:
                arrays = compound_arrays(read_slice(node, (), source.name, place))
            except Unreadable as error:
                source.notes.append(f"{place} was left out: {error}")
                continue
            source.elements |= {f"{place}/{key}": value for key, value in arrays.items()}
            continue
        length = len(source.obs if place.startswith("obs") else source.var)
        for key in node:
            read = partial(_read_aligned, node[key], length, source.name, f"{place}/{key}")
            source.elements[f"{place}/{key}"] = Deferred(read)
    categories = {f"{column}_categories" for frame in (source.obs, source.var) for column in frame.columns}
    for key in uns:
        if key == "kithkin":
            source.notes.append(f"the history of {source.name} was not taken over (uns/kithkin)")
        elif key not in categories:
            source.elements[f"uns/{key}"] = Deferred(partial(read_node, uns[key], source.name, f"uns/{key}"))


def _read_aligned(node: Any, length: int, name: str, key: str) -> Any:
    value = read_node(node, name, key)
    axes = 2 if key.startswith(("obsp/", "varp/")) else 1
    shape = tuple(value.shape) if hasattr(value, "shape") else (len(value),)
    if shape[:axes] != (length,) * axes:
        sizes = " x ".join(map(str, shape[:axes])) or "no"
        raise FormatError(f"{name}: {key} has {sizes} rows, but {key[:3]} has {length}")
    return plain_frame(value) if isinstance(value, pd.DataFrame) else value
