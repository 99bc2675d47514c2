"""AnnData in HDF5 (.h5ad), of every age."""

from __future__ import annotations

from pathlib import Path

import h5py

from kithkin.io.formats.anndata_layout import has_layout, open_layout
from kithkin.io.source import Source

sniff = has_layout


def open_h5ad(file: h5py.File, *, layer: str | None = None, raw: bool = False) -> Source:
    """Open an h5ad file; X may be CSR, CSC (transposed out of core) or dense.

    The caller closes the file. `layer`, or raw, is taken as X. Raises FormatError if the file is damaged or contradicts
    itself; ParameterError if there is no such layer, or no raw.
    """
    return open_layout(file, Path(file.filename).name, layer=layer, raw=raw)
