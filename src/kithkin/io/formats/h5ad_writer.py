"""Datasets written as H5AD, in the layout of anndata: the tables row block by row block, everything else in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kithkin.core.anndata_elements import anndata_io
from kithkin.core.arrays import attributes, read_header
from kithkin.core.blocks import SparseRows
from kithkin.core.dataset import Dataset
from kithkin.core.elements import plain_strings
from kithkin.core.execute import map_blocks
from kithkin.core.published import without_copies

PLACES = ("layers", "obsm", "obsp", "varm", "varp", "uns")
STREAMED = ("X", "layers", "obsm", "obsp")  # as long as the table has rows
CHUNK = 1 << 16  # values
EXACT = 2**24  # largest whole number up to which float32 holds all


def write_h5ad(ds: Dataset, path: Path) -> None:
    """Write all of a dataset to a new H5AD file that reads as `Dataset.to_anndata` does.

    Parameters
    ----------
    ds
        The dataset.
    path
        The file.
    """
    with h5py.File(path, "x") as file, anndata_io() as io:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        io.write_elem(file, "obs", plain_strings(ds.obs))
        io.write_elem(file, "var", plain_strings(ds.var))
        for place in PLACES:
            io.write_elem(file, place, {})
        present = without_copies(ds.path, ds.keys())
        keys = [key for key in present if not key.startswith(("obs/", "var/"))]
        keys += ["uns/kithkin"] if "uns/kithkin" in ds else []  # its history
        for key in keys:
            encoding = attributes(ds.path, key).get("encoding-type")
            if key.partition("/")[0] in STREAMED and encoding == "csr_matrix":
                _write_rows(ds, key, file)
            elif key.partition("/")[0] in STREAMED and encoding == "array":
                _write_dense(ds, key, file)
            else:
                value = ds.read(key)
                place, _, name = key.rpartition("/")
                parent = file.require_group(place) if place else file  # newer anndata takes no key with a slash
                io.write_elem(parent, name, plain_strings(value) if hasattr(value, "columns") else value)


def _type_of(ds: Dataset, key: str, array: str) -> np.dtype[Any]:
    """Return the type in which anndata gets a table: small integers of X as floating-point numbers."""
    dtype = np.dtype(str(read_header(ds.path, array)["data_type"]))
    if key != "X" or dtype.kind not in "iu":
        return dtype
    parts = map_blocks(_largest, ds.blocks(key), ds.execution)
    return np.dtype(np.float32 if max(parts, default=0) <= EXACT else np.float64)


def _largest(block: Any, start: int) -> int:  # noqa: ARG001
    values = block.data if isinstance(block, SparseRows) else block
    return max(int(values.max()), -int(values.min())) if values.size else 0


def _same(block: Any, start: int) -> Any:  # noqa: ARG001
    return block


def _write_rows(ds: Dataset, key: str, file: h5py.File) -> None:
    blocks = ds.blocks(key)
    dtype, n_stored = _type_of(ds, key, f"{key}/data"), blocks.n_stored  # type: ignore[union-attr]
    wide = np.dtype(np.int64 if max(n_stored, *blocks.shape) >= 2**31 else np.int32)
    group = file.create_group(key)
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": blocks.shape})
    for name, kind in (("data", dtype), ("indices", wide)):
        group.create_dataset(name, (n_stored,), kind, chunks=(min(CHUNK, max(1, n_stored)),), compression=1)
    starts, position = np.zeros(blocks.shape[0] + 1, wide), 0
    row = 0
    for block in map_blocks(_same, blocks, ds.execution, f"export {key}"):
        stop = position + len(block.data)
        if stop > position:
            group["data"][position:stop] = block.data.astype(dtype, copy=False)
            group["indices"][position:stop] = block.indices.astype(wide, copy=False)
        starts[row + 1 : row + 1 + block.shape[0]] = position + block.indptr[1:]
        position, row = stop, row + block.shape[0]
    group["indptr"] = starts


def _write_dense(ds: Dataset, key: str, file: h5py.File) -> None:
    blocks, dtype = ds.blocks(key), _type_of(ds, key, key)
    width = max(1, int(np.prod(blocks.shape[1:])))
    chunks = (min(max(1, CHUNK // width), max(1, blocks.shape[0])), *(max(1, n) for n in blocks.shape[1:]))
    array = file.create_dataset(key, blocks.shape, dtype, chunks=chunks, compression=1)
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    row = 0
    for block in map_blocks(_same, blocks, ds.execution, f"export {key}"):
        array[row : row + block.shape[0]] = block
        row += block.shape[0]
