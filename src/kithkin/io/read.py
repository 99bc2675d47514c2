"""Opening of any readable source: the format is told by the content, not by the name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from kithkin.core.blocks import Block
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.formats.samples import Samples
from kithkin.io.source import Deferred, Source
from kithkin.io.streams.archives import archive_sentence, pointer_sentence
from kithkin.io.streams.hdf5 import is_hdf5, open_hdf5
from kithkin.io.streams.join import Above, join_sources, named_errors
from kithkin.io.streams.sequential import format_errors
from kithkin.io.streams.textfile import compression_of


@dataclass(frozen=True)
class Format:
    """A kind of input: its name in messages, and the module that reads it, imported when it is needed.

    Each module has `sniff(source) -> bool` and the function that opens the source.
    """

    label: str
    module: str
    function: str

    def sniff(self, source: Any) -> bool:
        """Tell whether the source is of this kind: a path, an open HDF5 file, or an object in memory."""
        name = Path(getattr(source, "filename", source)).name if self is not IN_MEMORY else type(source).__name__
        with format_errors(name, f"it cannot be recognised as {self.label}"):
            return bool(import_module(f"kithkin.io.formats.{self.module}").sniff(source))

    def open(self, source: Any, settings: dict[str, Any], name: str) -> Source:
        """Open the source, after refusing settings that this kind does not know."""
        function = getattr(import_module(f"kithkin.io.formats.{self.module}"), self.function)
        known = inspect.signature(function).parameters
        for setting in settings:
            if setting not in known:
                raise ParameterError(f"{setting} has no effect on {self.label}: {name}")
        with format_errors(name, f"it cannot be read as {self.label}"):
            opened: Source = function(source, **settings)
        return opened


IN_MEMORY = Format("an object in memory", "memory", "open_memory")
IN_HDF5 = (
    Format("an h5ad file", "h5ad", "open_h5ad"),
    Format("a 10x HDF5 file", "tenx", "open_tenx"),
    Format("a loom file", "loom", "open_loom"),
)
# text comes last, since nearly anything could be text
FILES = (
    Format("a Zarr store", "anndata_zarr", "open_anndata_zarr"),
    Format("an npz file", "npz", "open_npz"),
    Format("a Matrix Market file or folder", "mtx", "open_mtx"),
    Format("an IDX file or folder", "idx", "open_idx"),
    Format("a table", "table", "open_table"),
)
READABLE = "10x HDF5, 10x Matrix Market folders, h5ad, AnnData Zarr, loom, npz, IDX, CSV, TSV and Parquet"

# what it is, by the name of a member that only it has, and what to do with it
OTHER_HDF5 = {
    "an h5Seurat file": ("assays", "write it from R as h5ad, and read that"),
    "the list of molecules of Cell Ranger": ("barcode_idx", "read filtered_feature_bc_matrix.h5 of the same run"),
    "a MuData file": ("mod", "write the one modality that you want as a file of its own"),
}

MOST_INSPECTED = 50  # files of a folder that was given by mistake

OF_R = (".rds", ".rda", ".rdata", ".qs", ".h5seurat")


def check_readable(source: Any) -> None:
    """Refuse an object in memory that is no table.

    Raises
    ------
    FormatError
        If it cannot be read.
    """
    if not IN_MEMORY.sniff(source):
        advice = ": give several sources as a list or by name" if isinstance(source, (set, frozenset)) else ""
        known = "Readable are AnnData, DataFrame, NumPy and SciPy objects, and paths"
        said = "None" if source is None else f"an object of type {type(source).__name__}"
        raise FormatError(f"{said} cannot be read{advice}. {known}")


def open_source(
    source: Any,
    *,
    layer: str | None = None,
    raw: bool = False,
    genome: str | None = None,
    transpose: bool = False,
    columns: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    id: str | None = None,
) -> Source:
    """Open a source of any kind, which is told by its content and not by its name.

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
    columns, ignore
        Columns to take, and to leave out (tables).
    id
        Column with the names of the rows (tables).

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
    given: dict[str, Any] = {"layer": layer, "raw": raw, "genome": genome, "transpose": transpose}
    given |= {"columns": columns or None, "ignore": ignore or None, "id": id}
    settings = {key: value for key, value in given.items() if value is not None and value is not False}
    if not isinstance(source, (str, Path)):
        name = type(source).__name__
        check_readable(source)
        return IN_MEMORY.open(source, settings, name)
    path = Path(source).expanduser()
    if not path.exists():
        raise FormatError(f"{path} does not exist")
    if path.is_file() and path.stat().st_size == 0:
        raise FormatError(f"{path.name} is empty")
    if path.is_dir() and not any(path.iterdir()):
        raise FormatError(f"{path.name} is an empty folder")
    if is_hdf5(path):
        file = open_hdf5(path)
        try:
            for kind in IN_HDF5:
                if kind.sniff(file):
                    opened = kind.open(file, settings, path.name)
                    opened.close = file.close
                    return opened
            raise FormatError(_unknown_hdf5(path.name, list(file)))
        except BaseException:
            file.close()
            raise
    pointer = pointer_sentence(path) if path.is_file() else None
    if pointer is not None:
        raise FormatError(pointer)
    for kind in FILES:
        if kind.sniff(path):
            return kind.open(path, settings, path.name)
    raise FormatError(_unknown(path))


def open_samples(
    samples: Samples, settings: dict[str, Any], *, join: str, match: str, label: str, above: Above | None = None
) -> Source:
    """Open several sources of any kind as one, whose rows stand below each other.

    Parameters
    ----------
    samples
        From `find_samples`.
    settings
        What `open_source` takes, for every sample.
    join, match, label, above
        See `join_sources`.

    Raises
    ------
    FormatError, ParameterError
        As `open_source` and `join_sources`; the message names the sample.
    """
    opened: dict[str, Source] = {}
    try:
        for name, source in samples.sources.items():
            with named_errors(name):
                one = open_source(source, **settings)
                opened[name] = reopened(one, source, settings) if one.close is not Source.close else one
        return join_sources(opened, join=join, match=match, label=label, columns=samples.columns, above=above)
    except BaseException:
        for one in opened.values():
            one.close()
        raise


def reopened(opened: Source, path: Any, settings: dict[str, Any]) -> Source:
    """Close a source, and open it again while a part of it is read, as a process may hold only so many files open.

    Parameters
    ----------
    opened
        Source that holds its file open.
    path, settings
        What `open_source` made it of.
    """
    opened.close()
    known, settings = tuple(opened.notes), dict(settings)

    def stream(key: str, execution: Execution) -> Iterator[Block]:
        again = open_source(path, **settings)
        try:
            again.scratch = source.scratch
            yield from again.tables[key](execution)
            source.notes += [note for note in again.notes if note not in known]
            if key == "X":  # what is known once it was streamed, such as the features that are no genes
                source.obs = again.obs
                source.elements.update(
                    (name, value) for name, value in again.elements.items() if not isinstance(value, Deferred)
                )
        finally:
            again.close()

    def read(key: str) -> Any:
        again = open_source(path, **settings)
        try:
            value = again.elements[key]
            return value.read() if isinstance(value, Deferred) else value
        finally:
            again.close()

    source = replace(
        opened,
        tables={key: partial(stream, key) for key in opened.tables},
        elements={
            key: Deferred(partial(read, key)) if isinstance(value, Deferred) else value
            for key, value in opened.elements.items()
        },
        close=Source.close,
    )
    return source


def _unknown_hdf5(name: str, members: Sequence[str]) -> str:
    """Say why an HDF5 file cannot be read, by what is in it."""
    for what, (sign, advice) in OTHER_HDF5.items():
        if sign in members:
            return f"{name} is {what}: {advice}"
    present = ", ".join(sorted(members)) or "nothing"
    kinds = "AnnData (X, obs, var), 10x (matrix, or groups of genomes) nor loom (matrix, row_attrs, col_attrs)"
    return f"{name} is HDF5, but neither {kinds}: it holds {present}"


def _unknown(path: Path) -> str:
    """Say why a path cannot be read."""
    if path.suffix.lower() in OF_R:
        return f"{path.name} is a file of R: write it there with DropletUtils::write10xCounts, and read that folder"
    matrices = sorted(path.glob("*.mtx.*")) if path.is_dir() else [path]
    for file in matrices:
        known = archive_sentence(file)
        if known is not None:
            return known
        packed = compression_of(file)
        if packed is not None:
            rest = "truncated or damaged, or holds nothing that can be read: unpack it first"
            return f"{file.name} is {packed}, but {rest}"
    if path.is_dir():
        files = [file for file in sorted(path.iterdir())[:MOST_INSPECTED] if file.is_file() and file.stat().st_size]
        inside = next((file.name for file in files if is_hdf5(file)), None)
        inside = inside or next((file.name for kind in FILES for file in files if kind.sniff(file)), None)
        if inside is not None:
            return f"{path.name} is a folder that is not read as a whole: name a file in it, such as {inside}"
    what = "folder" if path.is_dir() else "file"
    return f"{path.name} is not a {what} that can be read. Readable are: {READABLE}"
