"""Loom: genes x cells in HDF5, read by cells."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, SparseRows, even_ranges
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.source import Source
from kithkin.io.streams.annotation import plain_frame, texts
from kithkin.io.streams.checks import Place, check_shape, tidy_dense
from kithkin.io.streams.dense import band, dense_rows, sparse_rows
from kithkin.io.streams.sequential import read_slice
from kithkin.io.streams.transpose import transpose

CELL_NAMES = ("CellID", "obs_names", "cell_names", "CellName")
GENE_NAMES = ("Gene", "var_names", "gene_names", "GeneName", "Accession")


def sniff(root: Any) -> bool:
    """Tell whether an open HDF5 file is a loom file.

    Examples
    --------
    >>> sniff({"matrix": 0, "row_attrs": 0, "col_attrs": 0})
    True
    """
    return all(part in root for part in ("matrix", "row_attrs", "col_attrs"))


def open_loom(root: h5py.File, *, layer: str | None = None) -> Source:
    """Open a loom file; its zeros are not stored in what comes out.

    Attributes of cells and genes with one dimension become columns of obs and var, those with two obsm and varm;
    graphs become obsp and varp, and attributes of the file uns.

    Parameters
    ----------
    root
        The file, open for reading; the caller closes it.
    layer
        Take this layer as X; the main matrix becomes layers/X.

    Raises
    ------
    FormatError
        If the file is damaged or contradicts itself.
    ParameterError
        If there is no such layer.
    """
    name = Path(root.filename).name
    n_genes, n_cells = root["matrix"].shape if len(root["matrix"].shape) == 2 else (0, 0)
    check_shape((n_cells, n_genes), name, "matrix")
    obs, obsm = _attributes(root["col_attrs"], n_cells, CELL_NAMES, name, "col_attrs")
    var, varm = _attributes(root["row_attrs"], n_genes, GENE_NAMES, name, "row_attrs")
    source = Source(name, n_genes, {}, obs, var)
    source.elements |= {f"obsm/{key}": value for key, value in obsm.items()}
    source.elements |= {f"varm/{key}": value for key, value in varm.items()}
    tables = {"X": ("matrix", root["matrix"])}
    for key in root.get("layers", {}):
        node = root["layers"][key]
        if node.shape != (n_genes, n_cells):
            raise FormatError(f"{name}: layers/{key} is {node.shape}, but matrix is {(n_genes, n_cells)}")
        tables[f"layers/{key}"] = (f"layers/{key}", node)
    if layer is not None:
        if f"layers/{layer}" not in tables:
            present = ", ".join(sorted(root.get("layers", {}))) or "none"
            raise ParameterError(f"layer must be one of the layers of {name}, got {layer!r}. Present: {present}")
        tables["X"], tables["layers/X"] = tables.pop(f"layers/{layer}"), tables["X"]
    for key, (label, node) in tables.items():
        if node.dtype.kind not in "buif":
            raise FormatError(f"{name}: {label} must hold numbers, it holds {node.dtype}")
        source.tables[key] = partial(_cells, source, node, label)
    _add_graphs(root, source)
    extra = {key: root["attrs"][key][()] for key in root.get("attrs", {})}
    for key, value in {**dict(root.attrs), **extra}.items():
        source.elements[f"uns/{key}"] = value.decode() if isinstance(value, bytes) else value
    return source


def _attributes(
    group: Any, length: int, index_names: tuple[str, ...], name: str, key: str
) -> tuple[pd.DataFrame, dict[str, Array]]:
    columns: dict[str, Array] = {}
    wide: dict[str, Array] = {}
    for attribute in group:
        values = read_slice(group[attribute], (), name, f"{key}/{attribute}")
        if values.ndim == 0 or len(values) != length:
            raise FormatError(f"{name}: {key}/{attribute} has {values.size} entries, but matrix promises {length}")
        values = texts(values) if values.dtype.kind in "OSU" else values
        if values.ndim == 1:
            columns[attribute] = values
        else:
            wide[attribute] = values
    index = next((columns.pop(known) for known in index_names if known in columns), np.arange(length).astype(str))
    return plain_frame(pd.DataFrame(columns, index=pd.Index(texts(index), dtype=object))), wide


def _cells(source: Source, array: Any, key: str, execution: Execution) -> Iterator[SparseRows]:
    """Rows of cells: slabs of columns where a slab of whole chunks fits the budget, else sorted on disk."""
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


def _add_graphs(root: Any, source: Source) -> None:
    for place, key, length in (
        ("obsp", "col_graphs", len(source.obs)),
        ("varp", "row_graphs", len(source.var)),
    ):
        for graph in root.get(key, {}):
            node = root[key][graph]
            if all(part in node for part in "abw"):
                read = partial(_graph, node, length, source.name, f"{key}/{graph}")
                source.elements[f"{place}/{graph}"] = read


def _graph(node: Any, length: int, name: str, key: str) -> sparse.csr_matrix:
    a, b, weights = (read_slice(node[part], slice(None), name, f"{key}/{part}") for part in "abw")
    if not (len(a) == len(b) == len(weights)):
        raise FormatError(f"{name}: {key} has {len(a)} starts, {len(b)} ends and {len(weights)} weights")
    if len(a) and (min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= length):
        raise FormatError(f"{name}: {key} names node {max(a.max(), b.max())}, but there are {length}")
    return sparse.csr_matrix((weights, (a, b)), shape=(length, length))
