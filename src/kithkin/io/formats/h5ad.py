"""AnnData in HDF5 (.h5ad), of every age."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kithkin.io.formats.anndata_layout import has_layout, open_layout
from kithkin.io.source import Source
from kithkin.io.streams.hdf5 import holds, open_hdf5


def sniff(source: Any) -> bool:
    """Whether a path is an HDF5 file that holds AnnData.

    Examples
    --------
    >>> sniff("nowhere.h5ad")
    False
    """
    return holds(source, has_layout)


def open_h5ad(source: str | Path, *, layer: str | None = None, raw: bool = False) -> Source:
    """Open an h5ad file; X may be CSR, CSC (transposed out of core) or dense.

    Parameters
    ----------
    source
        The file.
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
    >>> open_h5ad(path).n_columns
    3
    """
    file = open_hdf5(source)
    try:
        opened = open_layout(file, Path(source).name, layer=layer, raw=raw)
    except BaseException:
        file.close()
        raise
    opened.close = file.close
    return opened
