"""Loom: genes x cells in HDF5, read by cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, SparseRows, even_ranges
from kithkin.core.errors import FormatError, check_known
from kithkin.core.execute import Execution
from kithkin.io.formats.anndata_layout import parts_of
from kithkin.io.source import Deferred, Source
from kithkin.io.streams.annotation import plain_frame, texts
from kithkin.io.streams.checks import Place, check_shape, check_size, tidy_dense
from kithkin.io.streams.dense import band, dense_rows, sparse_rows
from kithkin.io.streams.hdf5 import plain_values
from kithkin.io.streams.sequential import Unreadable, format_errors, read_slice
from kithkin.io.streams.stored_table import is_array, table_shape
from kithkin.io.streams.transpose import transpose

# attributes that name cells and genes, best first, without regard to case, spaces and underscores
CELL_NAMES = ("cellid", "obsnames", "cellnames", "cellname", "cellbarcode", "barcode", "barcodes", "cell", "cells")
GENE_NAMES = (
    "gene",
    "varnames",
    "genenames",
    "genename",
    "genesymbol",
    "symbol",
    "genes",
    "featurename",
    "accession",
    "geneid",
    "geneids",
    "ensemblid",
    "ensembl",
)


def sniff(root: Any) -> bool:
    """Tell whether an open HDF5 file is a loom file."""
    return all(part in root for part in ("matrix", "row_attrs", "col_attrs"))


def open_loom(root: h5py.File, *, layer: str | None = None) -> Source:
    """Open a loom file; its zeros are not stored in what comes out.

    Attributes of cells and genes with one value each become columns of obs and var, those with several and those of
    records obsm and varm; graphs become obsp and varp, and attributes of the file uns. What cannot be read beside the
    matrix is left out, and a note names it. The caller closes the file. `layer` is taken as X, and the main matrix
    becomes layers/X.
    Raises FormatError if the file is damaged or contradicts itself, and ParameterError if there is no such layer.
    """
    name = Path(root.filename).name
    if not is_array(root["matrix"]):
        raise FormatError(f"{name}: matrix must be an array")
    n_genes, n_cells = root["matrix"].shape if len(root["matrix"].shape) == 2 else (0, 0)
    check_shape((n_cells, n_genes), name, "matrix")
    source = Source(name, n_genes, {}, pd.DataFrame(), pd.DataFrame())
    source.obs = _read_attributes(root, "col_attrs", "obsm", n_cells, source)
    source.var = _read_attributes(root, "row_attrs", "varm", n_genes, source)
    layers = parts_of(root.get("layers", {}), source, "layers")
    tables = {"X": ("matrix", root["matrix"])} | {f"layers/{key}": (f"layers/{key}", layers[key]) for key in layers}
    if layer is not None:
        if f"layers/{layer}" not in tables:
            check_known([layer], sorted(layers), f"layer must be one of the layers of {name}, got")
        tables["X"], tables["layers/X"] = tables.pop(f"layers/{layer}"), tables["X"]
    for key, (label, node) in tables.items():
        try:
            if not is_array(node) or node.shape != (n_genes, n_cells):
                shape = node.shape if is_array(node) else "no array"
                raise FormatError(f"{name}: {label} is {shape}, but matrix is {(n_genes, n_cells)}")
            table_shape(node, name, label)
        except FormatError as error:
            if key == "X":
                raise
            source.notes.append(f"{key} was left out: {error}")
            continue
        source.tables[key] = partial(_stream_cells, source, node, label)
    for place, key, length in (("obsp", "col_graphs", n_cells), ("varp", "row_graphs", n_genes)):
        for graph, node in parts_of(root.get(key, {}), source, key).items():
            source.elements[f"{place}/{graph}"] = Deferred(partial(_read_graph, node, length, source, f"{key}/{graph}"))
    attributes: dict[str, Any] = {key: partial(root.attrs.__getitem__, key) for key in root.attrs}
    group = root.get("attrs", {})
    attributes |= {key: partial(group.__getitem__, key) for key in parts_of(group, source, "attrs")}
    for key, read in attributes.items():
        source.elements[f"uns/{key}"] = Deferred(partial(_read_plain, read, name, f"attrs/{key}"))
    return source


def _read_plain(read: Callable[[], Any], name: str, key: str) -> Any:
    """Read an attribute of the file, with text as Python strings."""
    with format_errors(name, f"{key} cannot be read"):
        value = read()
    if isinstance(value, h5py.Empty):
        raise Unreadable(f"{name}: {key} has no value")
    if hasattr(value, "keys"):
        raise Unreadable(f"{name}: {key} is a group, not a value")
    stored = np.asarray(read_slice(value, (), name, key) if isinstance(value, h5py.Dataset) else value)
    if stored.dtype.kind in "Vc":
        raise Unreadable(f"{name}: {key} holds {stored.dtype}")
    plain = plain_values(stored)
    return plain if plain.ndim else plain[()]


def _read_attributes(root: Any, key: str, wide: str, length: int, source: Source) -> pd.DataFrame:
    """Read the attributes of one axis: those with one dimension as a table, the others as elements."""
    group, columns = root[key], dict[str, Array]()
    if not hasattr(group, "keys"):
        raise FormatError(f"{source.name}: {key} must be a group of attributes")
    for attribute in group:
        where = f"{key}/{attribute}"
        try:
            with format_errors(source.name, f"{where} cannot be read"):
                node = group[attribute]
            if hasattr(node, "keys"):
                raise Unreadable(f"{source.name}: {where} is a group, not an attribute")
            values = _along_axis(read_slice(node, (), source.name, where), length, where, source)
            if values.dtype.names:  # records, as SCENIC writes them: a table with the fields as columns
                source.elements[f"{wide}/{attribute}"] = _table_of_records(values, source.name, where)
            elif values.ndim == 1:
                columns[attribute] = plain_values(values)
            else:
                source.elements[f"{wide}/{attribute}"] = plain_values(values)
        except FormatError as error:
            source.notes.append(f"{where} was left out: {error}")
    plain = {re.sub(r"[\s_.-]", "", attribute).lower(): attribute for attribute in reversed(columns)}
    known = CELL_NAMES if key == "col_attrs" else GENE_NAMES
    found = next((plain[name] for name in known if name in plain), None)
    if found is None:
        check_size((length, 1), sum(len(values) for values in columns.values()), source.name, key)
        what = "cells" if key == "col_attrs" else "genes"
        usual = "CellID" if key == "col_attrs" else "Gene"
        present = ", ".join(columns) or "no attributes"
        source.notes.append(f"{key} of {source.name} has no {usual}, but {present}: the {what} are numbered")
        index = np.arange(length).astype(str)
    else:
        index = columns.pop(found)
    return plain_frame(pd.DataFrame(columns, index=pd.Index(texts(index), dtype=object)))


def _along_axis(values: Array, length: int, where: str, source: Source) -> Array:
    """Return the values of an attribute with the axis of the matrix first; one that has other axes of 1 only, flat.

    Raises FormatError if none of its axes is as long.
    """
    if values.size == length and length in values.shape:
        return values.ravel()
    if values.ndim and len(values) == length:
        return values
    if values.ndim == 2 and values.shape[1] == length:  # as R writes a matrix
        source.notes.append(f"{where} of {source.name} is {len(values)} x {length}, and was turned")
        return np.ascontiguousarray(values.T)
    shape = " x ".join(map(str, values.shape)) or "a single value"
    raise FormatError(f"{source.name}: {where} is {shape}, but matrix promises {length}")


def _table_of_records(records: Array, name: str, key: str) -> pd.DataFrame:
    columns: dict[str, Array] = {}
    for field in records.dtype.names or ():
        values = records[field].reshape(len(records), -1)
        if values.dtype.kind not in "biufOSU":
            raise Unreadable(f"{name}: {key} has a field {field} of {values.dtype}")
        values = plain_values(values)
        several = values.shape[1] > 1
        columns |= {f"{field}-{k}" if several else field: values[:, k] for k in range(values.shape[1])}
    return pd.DataFrame(columns)


def _stream_cells(source: Source, array: Any, key: str, execution: Execution) -> Iterator[SparseRows]:
    """Stream rows of cells: slabs of columns if a slab of whole chunks fits the budget, else sorted on disk."""
    n_genes, n_cells = array.shape
    place = Place(source.name, key, line="cell", across="gene")
    chunk = int(array.chunks[1]) if array.chunks else n_cells
    cell_bytes = n_genes * array.dtype.itemsize
    width = band(n_cells, 2 * cell_bytes, chunk, execution)
    if width % chunk and width < n_cells:
        place = Place(source.name, key, line="gene", across="cell")
        genes = (sparse_rows(block) for block in dense_rows(array, place, execution))
        yield from transpose(genes, n_cells, n_genes, execution, source.scratch)
        return
    for start, stop in even_ranges(n_cells, width):
        slab = read_slice(array, (slice(None), slice(start, stop)), source.name, key)
        yield sparse_rows(tidy_dense(slab.T, place.moved(start)))


def _read_graph(node: Any, length: int, source: Source, key: str) -> sparse.csr_matrix:
    name = source.name
    if not hasattr(node, "keys") or not all(part in node for part in "abw"):
        raise Unreadable(f"{name}: {key} lacks one of a, b and w")
    a, b, weights = (read_slice(node[part], slice(None), name, f"{key}/{part}") for part in "abw")
    if not (len(a) == len(b) == len(weights)) or a.ndim + b.ndim + weights.ndim != 3:
        raise FormatError(f"{name}: {key} has {len(a)} starts, {len(b)} ends and {len(weights)} weights")
    if a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf" or weights.dtype.kind not in "biuf":
        raise Unreadable(f"{name}: {key} must hold numbers")
    ends = np.concatenate([a, b])
    nodes = ends.astype(np.int64)
    if (nodes != ends).any():
        raise FormatError(f"{name}: {key} names nodes by numbers that are not whole")
    if len(nodes) and nodes.min() == 1 and nodes.max() == length:  # R and Julia count from 1
        nodes -= 1
        source.notes.append(f"{key} of {name} counts its nodes from 1, and was read that way")
    if len(nodes) and (nodes.min() < 0 or nodes.max() >= length):
        raise FormatError(f"{name}: {key} names node {nodes.max()}, but there are {length}")
    return sparse.csr_matrix((weights, (nodes[: len(a)], nodes[len(a) :])), shape=(length, length))
