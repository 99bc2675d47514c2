"""AnnData in HDF5 (.h5ad), of every age."""

from __future__ import annotations

from pathlib import Path

import h5py

from kithkin.io.formats.anndata_layout import has_layout, open_layout
from kithkin.io.source import Source

sniff = has_layout


def open_h5ad(file: h5py.File, *, layer: str | None = None, raw: bool = False) -> Source:
    """Open an h5ad file; X may be CSR, CSC (transposed out of core) or dense.

    Parameters
    ----------
    file
        The file, open for reading; the caller closes it.
    layer
        Take this layer as X.
    raw
        Take raw as X.

    Raises
    ------
    FormatError
        If the file is damaged or contradicts itself.
    ParameterError
        If there is no such layer, or no raw.

    Examples
    --------
    >>> import anndata, numpy as np, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "eye.h5ad"
    >>> anndata.AnnData(np.eye(3)).write_h5ad(path)
    >>> with h5py.File(path) as file:
    ...     open_h5ad(file).n_columns
    3
    """
    return open_layout(file, Path(file.filename).name, layer=layer, raw=raw)
