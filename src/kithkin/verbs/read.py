"""Import a file, folder or object as a dataset."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.checkpoints import CheckpointError
from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError, check, check_choice
from kithkin.core.execute import Execution
from kithkin.core.heap import return_memory
from kithkin.core.history import Step, digest, entry_of, fingerprint, identify
from kithkin.core.keys import Key
from kithkin.core.remote import is_address
from kithkin.core.writer import DatasetWriter
from kithkin.io.formats.kind import KINDS, sentence_of_kind
from kithkin.io.formats.mtx import OutOfOrder
from kithkin.io.formats.samples import Samples, find_samples
from kithkin.io.importing import Imported, import_source
from kithkin.io.read import open_samples, open_source
from kithkin.io.source import Source
from kithkin.io.streams.download import downloaded
from kithkin.io.streams.spreading import NotSpread
from kithkin.io.streams.totals import check_written
from kithkin.models.quality import Quality
from kithkin.verbs.quality import MITO, RIBO, gene_sets, quality_columns, quality_step

log = logging.getLogger("kithkin")
REVISION = 3
FILES = {".h5ad", ".h5", ".hdf5", ".loom", ".csv", ".tsv", ".txt", ".parquet", ".npz", ".mtx", ".gz"}  # no datasets


def read(
    source: Any,
    *,
    to: str | Path,
    layer: str | None = None,
    raw: bool = False,
    genome: str | None = None,
    transpose: bool = False,
    columns: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    id: str | None = None,
    missing: Literal["keep", "drop", "error"] = "keep",
    kind: Literal["auto", "counts", "values", "images"] = "auto",
    sample: str = "obs/sample",
    join: Literal["outer", "inner"] = "outer",
    match: Literal["auto", "names", "ids", "symbols"] = "auto",
    overwrite: bool = False,
    memory: str | int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Dataset:
    """Import files or folders as one dataset, in one streaming pass.

    The format is recognised by the content: 10x HDF5 and Matrix Market, h5ad, AnnData Zarr, loom, npz, CSV, TSV,
    Parquet, IDX. The quality of cells and genes is measured in the same pass. Columns of numbers of a table become X.
    Its texts, dates and booleans go to obs, and a column that only counts the rows names them. `kithkin.info` shows
    whether X holds counts, values or images. In Python the source may also be an AnnData, pandas, NumPy or SciPy
    object.

    Several samples become one dataset, their cells below each other: give several inputs; a pattern such as "*.h5ad"; a
    folder with the Cell Ranger outputs or h5ad files of several samples; or a sheet, which is a CSV file with the
    columns "path" (from the folder of the sheet) and "sample", whose other columns go to obs. Genes, cells and columns
    of obs are joined as by `anndata.concat`. Cells that have the same name in several samples get the name of the
    sample behind it. Kept are X, obs, var, and those tables in layers and obsm that every sample has.

    Parameters
    ----------
    source
        Path of a file, a folder, a sheet of samples or another dataset, or the address of a file, such as
        "https://example.org/a.h5ad" or "s3://bucket/a.h5ad". In Python also an object in memory, an open dataset, a
        list of these, or a mapping from names of samples to them.
    to
        Path of the new dataset, such as "pbmc.zarr".
    layer
        Layer to take as X (h5ad, Zarr, loom, AnnData); X itself by default.
    raw
        Take X from raw (h5ad, Zarr, AnnData).
    genome
        Genome to take from a 10x HDF5 file with several.
    transpose
        Take the rows of a table as variables and its columns as observations.
    columns
        Columns of a table to take, such as "age,height"; all by default.
    ignore
        Columns of a table to leave out.
    id
        Column of a table with the names of the rows.
    missing
        Treatment of missing values in a table of values, such as empty fields, NA and NaN. "keep": they are NaN in X,
        and var/n_missing counts them. "drop": rows with a missing value are left out. "error": they are refused.
    kind
        What X holds: "counts", "values" or "images". "auto" takes integers as counts if the format is one of counts,
        the columns are named like genes, or most values of a wide table are zero; a table whose columns are the pixels
        of square images as images; and all else as values.
    sample
        Column for the name of the sample of each cell.
    join
        Genes to take of several samples: "outer" takes those of any, with zeros where a sample does not have one;
        "inner" takes those of all, and of obs the columns of all. In a table of other values than counts and genes the
        zeros are missing values.
    match
        Genes that are the same in several samples: those with the same "names", "ids" (such as Ensembl's, in
        var/gene_ids) or "symbols". "auto" takes ids where every sample has them, else names.
    overwrite
        Replace an existing dataset, once the import is whole. Without it, one that was imported from the same source
        with the same settings is opened.
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    executor
        Any concurrent.futures.Executor for the work on blocks, here and in the verbs that follow. Its workers import
        the tables that can be cut by rows: those of h5ad, 10x HDF5 and Zarr that are stored by rows.
    progress
        Progress bars; by default they are shown on a terminal only.

    Returns
    -------
    Dataset
        Opened with the same budget, threads and executor.

    Raises
    ------
    FormatError
        If the source does not hold what its format promises; the message names the file and the place.
    ParameterError
        If a setting has no effect on a source of this format, or `to` is named like a file of another format.
    KithkinError
        If something else is at `to`, the disk is full, or the server of an address does not answer or refuses.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> kk.read(np.eye(4), to=tempfile.mkdtemp() + "/eye.zarr").shape
    (4, 4)
    """
    execution = Execution.of(memory, threads, executor, progress)
    check_choice("missing", missing, ("keep", "drop", "error"))
    check_choice("kind", kind, ("auto", *KINDS))
    check_choice("join", join, ("outer", "inner"))
    check_choice("match", match, ("auto", "names", "ids", "symbols"))
    label = Key.parse(sample, "obs").name
    taken = label.startswith(("n_counts", "n_genes", "n_cells", "pct_", "_index"))
    check(bool(label) and "/" not in label and not taken, f"sample must be a free column of obs, got {sample!r}")
    settings: dict[str, Any] = {"layer": layer, "raw": raw, "genome": genome, "transpose": transpose}
    settings |= {"columns": columns, "ignore": ignore, "id": id}
    source = source.path if isinstance(source, Dataset) else source
    samples = find_samples(source)
    check_elsewhere(to, source, samples)
    everything = settings | {"missing": missing, "kind": kind, "sample": sample, "join": join, "match": match}
    given = source if samples is None else samples
    sources = {"": source} if samples is None else samples.sources
    if any(map(is_address, sources.values())) and Path(to).exists() and not overwrite:  # nothing needs to be fetched
        identity_of(given)  # an address that cannot be read is said to be that
        return find_again(to, lambda ds: is_import_of(ds, given, everything), execution)
    with downloaded(sources, Path(to), execution) as here:
        if samples is None:
            opened = open_source(here[""], **settings)
        else:
            opened = open_samples(replace(samples, sources=here), settings, join=join, match=match, label=label)
        try:
            if Path(to).exists() and not overwrite:
                return find_again(to, lambda ds: is_import_of(ds, given, everything), execution)
            identity = identity_of(given)
            notes = None
            while notes is None:
                try:
                    notes = _import(opened, Path(to), everything, identity, execution, overwrite, path_of(source))
                except NotSpread:
                    execution = replace(execution, executor=None)
                except (OutOfOrder, CheckpointError):  # at most once for each file, and for what was left
                    continue
        finally:
            opened.close()
    for note in notes:
        log.warning("%s", note)
    return_memory()
    return open_dataset(to, memory=memory, threads=threads, executor=executor, progress=progress)


def check_elsewhere(to: str | Path, source: Any, samples: Samples | None = None) -> None:
    """Raise ParameterError if the source, or one of several samples, would be written over, or no dataset is meant."""
    check(
        not is_address(str(to)),
        "to must be a folder on this disk, such as 'pbmc.zarr': a dataset is made there, and then put into a bucket "
        "with kithkin.publish(ds)",
    )
    folder = Path(to).suffix.lower() not in FILES
    check(
        folder,
        f"to must name a dataset, which is a folder such as 'pbmc.zarr', got {str(to)!r}; kithkin.export "
        "writes files from a dataset",
    )
    for one in [source] if samples is None else [source, *samples.sources.values()]:
        path = one.path if isinstance(one, Dataset) else one
        same = isinstance(path, (str, Path)) and Path(path).expanduser().resolve() == Path(to).expanduser().resolve()
        check(not same, f"to must be another path than {to}, which is read: choose another name")


def find_again(to: str | Path, is_same: Callable[[Dataset], bool], execution: Execution) -> Dataset:
    """Open the dataset at a path if it is what would be made there again.

    Raises
    ------
    KithkinError
        If it is anything else.
    """
    exists = f"{to} exists already. Choose another name, or use overwrite=True to replace it."
    try:
        found = open_dataset(
            to,
            memory=execution.memory,
            threads=execution.threads,
            executor=execution.executor,
            progress=execution.progress,
        )
        same = is_same(found)
    except KithkinError as error:
        raise KithkinError(exists) from error
    if not same:
        raise KithkinError(exists)
    log.info("%s is there already, made from the same", to)
    return found


def read_step(settings: dict[str, Any]) -> Step:
    """Describe the step of an import, for the history; settings that are left at their defaults need not be given."""
    defaults = {"layer": None, "raw": False, "genome": None, "transpose": False}
    usual = {"columns": None, "ignore": None, "id": None, "missing": "keep", "kind": "auto"}
    usual |= {"sample": "obs/sample", "join": "outer", "match": "auto"}
    changed = {name: value for name, value in settings.items() if name not in usual or value != usual[name]}
    lists = {name: [changed[name]] for name in ("columns", "ignore") if isinstance(changed.get(name), str)}
    return Step("read", REVISION, defaults | changed | lists, ("file:source",), ("X",))


def kind_sentence(ds: Dataset) -> str:
    """Say whether X holds counts, values or images, why, and how to say otherwise.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> kind_sentence(kk.read(np.eye(4), to=tempfile.mkdtemp() + "/eye.zarr"))
    "values: integers 0 to 1 in 4 columns that are not named like genes; kind='counts' takes them as counts"
    """
    return sentence_of_kind(*ds.kind_and_reason)


def identity_of(source: Any) -> str:
    """Compute a hash that tells whether a source, or one of several samples, has changed."""
    source = source.path if isinstance(source, Dataset) else source
    samples = find_samples(source)
    if samples is None:
        return fingerprint(source)
    # pairs, as the rows of samples in another order are another table
    return digest([[[name, fingerprint(one)] for name, one in samples.sources.items()], fingerprint(samples.columns)])


def is_import_of(ds: Dataset, source: Any, settings: dict[str, Any]) -> bool:
    """Tell whether a dataset was imported from this very source with these settings."""
    identity = identify(read_step(settings), {"file:source": identity_of(source)})
    entries = [entry for entry in ds.lineage.entries if entry.verb == "read" and "X" in entry.outputs]
    return any(entry.identity == identity for entry in entries)


def _import(
    opened: Source, to: Path, settings: dict[str, Any], identity: str, execution: Execution, overwrite: bool, path: str
) -> list[str]:
    """Stream an opened source into a new dataset, with the quality of its cells and genes; return the notes."""
    began = time.perf_counter()
    known = len(opened.var) == opened.n_columns  # the names of some tables are known at their end only
    names = opened.var if known else pd.DataFrame(index=np.full(opened.n_columns, ""))
    model = Quality(gene_sets(names, MITO, RIBO, None))
    n_rows = len(opened.obs) or 1 << 20
    step = read_step(settings)
    continued = identify(step, {"file:source": identity}) if opened.is_joined else None
    with DatasetWriter(to, opened.n_columns, overwrite=overwrite, n_rows=n_rows, identity=continued) as writer:
        treatment = {"missing": settings["missing"], "kind": settings["kind"]}
        imported = import_source(opened, writer, execution, observer=model, **treatment)
        columns = quality_columns(model) if imported.is_measured else {}
        obs, var = set_aside(imported, columns, opened.name)
        entry = entry_of(step, {"file:source": identity}, time.perf_counter() - began, path)
        entries = [replace(entry, outputs=[key for key in imported.keys if key not in columns])]
        if columns:
            entries.append(entry_of(quality_step(MITO, RIBO, None, "X"), {"X": f"{entry.identity}:X"}, 0.0))
        obs, var = with_columns(obs, columns, "obs"), with_columns(var, columns, "var")
        if opened.is_joined:
            writer.element("uns/samples", sample_table(obs, Key.parse(settings["sample"], "obs").name))
            imported.keys.append("uns/samples")
        inspect = partial(check_written, totals=imported.totals, name=to.name)
        writer.finish(obs, var, entries, inspect=inspect, kind=imported.kind)
    return imported.notes


def path_of(source: Any) -> str:
    """Name the files or folders of a source for the record, as they were given; "" for what lies in memory.

    Examples
    --------
    >>> path_of("data/cells.h5ad"), path_of(np.eye(2)), path_of(["a.h5ad", "b.h5ad"])
    ('data/cells.h5ad', '', 'a.h5ad b.h5ad')
    """
    if isinstance(source, Dataset):
        return str(source.path)
    given = source if isinstance(source, (list, tuple)) else [source]
    paths = [str(one) for one in given if isinstance(one, (str, Path))]
    return shlex.join(paths) if len(paths) == len(given) else ""


def sample_table(obs: pd.DataFrame, label: str) -> pd.DataFrame:
    """Count the cells of each sample, and take the medians of their quality.

    Examples
    --------
    >>> obs = pd.DataFrame({"sample": ["a", "a", "b"], "n_counts": [1.0, 3.0, 8.0]})
    >>> sample_table(obs, "sample").to_dict("list")
    {'n_cells': [2, 1], 'n_counts': [2.0, 8.0]}
    """
    measured = [name for name in obs.columns if name in ("n_counts", "n_genes") or name.startswith("pct_")]
    samples = obs.groupby(label, sort=False, observed=True)
    table = pd.concat([samples.size().rename("n_cells"), samples[measured].median()], axis=1)
    return table.set_axis(pd.Index(table.index.astype(str), dtype=object, name=label))


def set_aside(imported: Imported, columns: dict[str, Any], name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rename columns of the source that quality writes too, unless they hold the same values."""
    frames = {"obs": imported.obs, "var": imported.var}
    for place, frame in frames.items():
        renamed: dict[str, str] = {}
        for column in frame.columns:
            key = f"{place}/{column}"
            if key not in columns:
                continue
            numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
            if np.allclose(numbers, np.asarray(columns[key], np.float64), rtol=1e-6, atol=1e-9):
                continue
            new = f"source_{column}"
            while new in frame.columns:
                new = f"source_{new}"
            renamed[column] = new
            imported.keys.append(f"{place}/{new}")
            imported.notes.append(f"{key} of {name} is kept as {place}/{new}, because quality writes its own")
        frames[place] = frame.rename(columns=renamed)
    return frames["obs"], frames["var"]


def with_columns(frame: pd.DataFrame, columns: dict[str, Any], place: str) -> pd.DataFrame:
    """Add the columns of one place (obs, var) to its table."""
    added = frame.copy(deep=False)  # assign copies what is there
    for key in map(Key.parse, columns):
        if key.place == place:
            added[key.name] = columns[str(key)]
    return added
