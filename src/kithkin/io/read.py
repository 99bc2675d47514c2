"""Picks the reader by what a source holds, and streams a source into a new dataset."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.source import Source
from kithkin.io.streams.hdf5 import is_hdf5, open_hdf5
from kithkin.io.streams.textfile import is_gzip


@dataclass(frozen=True)
class Format:
    """A kind of input: the module that reads it, by name, so that it is imported when it is needed."""

    label: str
    module: str
    function: str

    def sniff(self, source: Any) -> bool:
        """Whether the source is of this kind."""
        return bool(import_module(f"kithkin.io.formats.{self.module}").sniff(source))

    def open(self, source: Any, settings: dict[str, Any]) -> Source:
        """Open the source, after refusing settings that this kind does not know."""
        function = getattr(import_module(f"kithkin.io.formats.{self.module}"), self.function)
        known = inspect.signature(function).parameters
        for setting in settings:
            if setting not in known:
                raise ParameterError(f"{setting} has no effect on {self.label}: {_name(source)}")
        opened: Source = function(source, **settings)
        return opened


IN_MEMORY = Format("an object in memory", "memory", "open_memory")
# text comes last, since nearly anything could be text
FILES = (
    Format("a Zarr store", "anndata_zarr", "open_anndata_zarr"),
    Format("an h5ad file", "h5ad", "open_h5ad"),
    Format("a 10x HDF5 file", "tenx", "open_tenx"),
    Format("a loom file", "loom", "open_loom"),
    Format("an npz file", "npz", "open_npz"),
    Format("a Matrix Market file or folder", "mtx", "open_mtx"),
    Format("an IDX file or folder", "idx", "open_idx"),
    Format("a table", "table", "open_table"),
)
READABLE = "10x HDF5, 10x Matrix Market folders, h5ad, AnnData Zarr, loom, npz, IDX, CSV, TSV and Parquet"

LOOKED_AT = 50  # files of a folder that was given by mistake


def _name(source: Any) -> str:
    return Path(source).name if isinstance(source, (str, Path)) else type(source).__name__


def open_source(
    source: Any, *, layer: str | None = None, raw: bool = False, genome: str | None = None, transpose: bool = False
) -> Source:
    """Open a source of any kind; which kind is told by its content, not by its name.

    Parameters
    ----------
    source
        Path of a file or folder, or an AnnData, DataFrame, NumPy array or SciPy matrix.
    layer
        Take this layer as X (h5ad, Zarr, loom, AnnData).
    raw
        Take raw as X (h5ad, Zarr, AnnData).
    genome
        Take only the genes of this genome (10x HDF5).
    transpose
        Rows are genes and columns are cells (tables).

    Raises
    ------
    FormatError
        If the source is missing, empty, damaged, or nothing that can be read.
    ParameterError
        If a setting has no effect on what the source is.

    Examples
    --------
    >>> open_source("nowhere.h5ad")
    Traceback (most recent call last):
    kithkin.core.errors.FormatError: nowhere.h5ad does not exist
    """
    given = {"layer": layer, "raw": raw, "genome": genome, "transpose": transpose}
    settings = {key: value for key, value in given.items() if value is not None and value is not False}
    if isinstance(source, (str, Path)):
        _check_path(Path(source).expanduser())
        source = Path(source).expanduser()
    for kind in FILES if isinstance(source, Path) else (IN_MEMORY,):
        if kind.sniff(source):
            return kind.open(source, settings)
    raise FormatError(_unknown(source))


def _check_path(path: Path) -> None:
    if not path.exists():
        raise FormatError(f"{path} does not exist")
    if path.is_file() and path.stat().st_size == 0:
        raise FormatError(f"{path.name} is empty")
    if path.is_dir() and not any(path.iterdir()):
        raise FormatError(f"{path.name} is an empty folder")


def _unknown(source: Any) -> str:
    if is_hdf5(source):
        with open_hdf5(source) as file:
            present = ", ".join(sorted(file)) or "nothing"
        kinds = "AnnData (X, obs, var), 10x (matrix, or groups of genomes) nor loom (matrix, row_attrs, col_attrs)"
        return f"{_name(source)} is HDF5, but neither {kinds}: it holds {present}"
    if isinstance(source, Path):
        zipped = _gzipped(source)
        if zipped is not None:
            return (
                f"{zipped.name} is gzip, but truncated or damaged, or holds nothing that can be read: unpack it first"
            )
        inside = _readable_inside(source) if source.is_dir() else None
        if inside is not None:
            return f"{source.name} is a folder that is not read as a whole: name a file in it, such as {inside}"
        what = "folder" if source.is_dir() else "file"
        return f"{source.name} is not a {what} that can be read. Readable are: {READABLE}"
    return f"a {_name(source)} cannot be read. Readable are AnnData, DataFrame, NumPy and SciPy objects, and paths"


def _readable_inside(folder: Path) -> str | None:
    """A file in a folder that could be read by itself, among the first that are there."""
    files = [path for path in sorted(folder.iterdir())[:LOOKED_AT] if path.is_file() and path.stat().st_size]
    return next((path.name for kind in FILES for path in files if kind.sniff(path)), None)


def _gzipped(source: Path) -> Path | None:
    """The source, or the matrix in a folder, if it is gzip: what is in it could not be told."""
    if source.is_dir():
        return next((path for path in sorted(source.glob("*.mtx.gz")) if is_gzip(path)), None)
    return source if is_gzip(source) else None
