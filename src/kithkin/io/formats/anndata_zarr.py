"""AnnData in Zarr, version 2 and 3, as a folder or zipped."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import zarr

from kithkin.core.arrays import open_group
from kithkin.core.errors import FormatError
from kithkin.io.formats.anndata_layout import has_layout, open_layout
from kithkin.io.source import Source

MARKS = ("zarr.json", ".zgroup", ".zattrs")


def sniff(source: Any) -> bool:
    """Tell whether a path is a Zarr group, as a folder or a zip file."""
    path = Path(source)
    if path.is_dir():
        return any((path / mark).is_file() for mark in MARKS)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(mark in archive.namelist() for mark in MARKS)


def open_anndata_zarr(source: str | Path, *, layer: str | None = None, raw: bool = False) -> Source:
    """Open an AnnData store in Zarr; X may be CSR, CSC (transposed out of core) or dense.

    The source is a folder or a zip file of it. `layer`, or raw, is taken as X. Raises FormatError if the store is
    damaged or contradicts itself, or is not AnnData; ParameterError if there is no such layer, or no raw.
    """
    path = Path(source)
    store = None if path.is_dir() else zarr.storage.ZipStore(path, mode="r")
    try:
        root = open_group(path) if store is None else zarr.open_group(store, mode="r", use_consolidated=False)
        if not has_layout(root):
            present = ", ".join(sorted(root.keys())) or "nothing"
            raise FormatError(f"{path.name} is a Zarr store, but not AnnData (X, obs, var): it holds {present}")
        opened = open_layout(root, path.name, layer=layer, raw=raw)
    except BaseException:
        if store is not None:
            store.close()
        raise
    if store is not None:
        opened.close = store.close
    return opened
