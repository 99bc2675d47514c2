"""Append the rows of further samples to a dataset."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.appender import DatasetAppender
from kithkin.core.arrays import attributes, read_header
from kithkin.core.blocks import Array
from kithkin.core.checkpoints import CheckpointError
from kithkin.core.checksums import read_checksums
from kithkin.core.dataset import Dataset
from kithkin.core.errors import FormatError, KithkinError, check, check_choice, listed
from kithkin.core.heap import return_memory
from kithkin.core.history import Entry, Step, digest, entry_of, identify, plain
from kithkin.core.lineage import IMPORTS
from kithkin.io.formats.mtx import OutOfOrder
from kithkin.io.importing import Imported, import_source
from kithkin.io.read import open_samples
from kithkin.io.source import Source
from kithkin.io.streams.download import downloaded
from kithkin.io.streams.join import Above
from kithkin.io.streams.totals import check_written
from kithkin.models.quality import Quality
from kithkin.verbs.arguments.known_samples import KnownSamples, check_names, label_of, numbered_after, samples_of
from kithkin.verbs.quality import gene_sets, quality_columns, quality_step
from kithkin.verbs.read import identity_of, path_of, sample_table, set_aside, with_columns

log = logging.getLogger("kithkin")


def append(
    ds: Dataset,
    source: Any,
    *,
    layer: str | None = None,
    raw: bool = False,
    genome: str | None = None,
    transpose: bool = False,
    columns: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    id: str | None = None,
    sample: str | None = None,
    join: Literal["outer", "inner"] = "outer",
    match: Literal["auto", "names", "ids", "symbols"] = "auto",
) -> Dataset:
    """Append further samples to a dataset: their cells stand below those that are there.

    The cells that are there are neither read nor written again, so that the time depends on what is new. Samples are
    given, and their genes and columns of obs are joined, as for `kithkin.read` with several samples: genes that the
    dataset does not have come behind its own. The quality of the new cells is measured in the same pass. What was
    computed before is stale: it stays, without values for the new cells, until it is computed again. The change is
    whole or not there: readers see the old dataset or the new one. Killed, the same call goes on at the sample it was
    at; once it is done, it changes nothing.

    Parameters
    ----------
    ds
        The dataset.
    source
        Path of a file, a folder, a sheet of samples or another dataset, or the address of a file. In Python also an
        object in memory, an open dataset, a list of these, or a mapping from names of samples to them.
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
    sample
        Column with the name of the sample of each cell; by default that of the import, else obs/sample. Where there is
        none yet, the cells that are there get the name of the dataset.
    join
        Genes to take: "outer" takes all, with zeros where a sample does not have one; "inner" those that the dataset
        has, if the samples have all of them.
    match
        Genes that are the same: those with the same "names", "ids" (such as Ensembl's, in var/gene_ids) or "symbols".
        "auto" takes ids where the dataset and all samples have them, else names.

    Returns
    -------
    Dataset
        The same, with the new cells.

    Raises
    ------
    FormatError
        If a source does not hold what its format promises, or something else than the dataset.
    ParameterError
        If a sample has the name of one that is there, or columns of a dense table or with join="inner" do not fit.
    KithkinError
        If somebody else writes the dataset, or the disk is full.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> cells = kk.datasets.simulate_counts(100, 200, 2)
    >>> ds = kk.read({"a": cells[:60]}, to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.append(ds, {"b": cells[60:]}).read("uns/samples")["n_cells"].to_dict()
    {'a': 60, 'b': 40}
    """
    check_choice("join", join, ("outer", "inner"))
    check_choice("match", match, ("auto", "names", "ids", "symbols"))
    settings: dict[str, Any] = {"layer": layer, "raw": raw, "genome": genome, "transpose": transpose}
    settings |= {"columns": columns, "ignore": ignore, "id": id}
    there = KnownSamples.of(ds, label_of(ds, sample))
    samples = samples_of(ds, source)
    check("X" in ds, f"{ds.name} has no X, to which rows could be added")
    given = {name: value for name, value in settings.items() if value not in (None, False)}
    step = Step("append", 1, given | {"sample": f"obs/{there.label}", "join": join, "match": match}, (), ("X",))
    identity = identity_of(samples)
    if is_done(ds, step, identity):
        log.info("%s has these samples already", ds.name)
        return ds
    samples = numbered_after(samples, source, there)
    check_names(ds, samples, there)
    has_raw = (ds.path / "raw/zarr.json").exists() and attributes(ds.path, "raw").get("encoding-type") != "null"
    advice = "make a new dataset of both with kithkin.read([...], to=...)"
    check(not has_raw, f"{ds.name} has raw, to which no rows can be added: {advice}")
    above, types = rows_above(ds, there), stored_types(ds)
    with downloaded(samples.sources, ds.path, ds.execution) as here:
        opened = open_samples(
            replace(samples, sources=here), settings, join=join, match=match, label=there.label, above=above
        )
        try:
            check_layers(ds, opened)
            notes = None
            while notes is None:
                with suppress(OutOfOrder, CheckpointError):  # at most once for each file, and for what was left
                    notes = append_rows(ds, opened, step, identity, there, path_of(source))
        finally:
            opened.close()
    changed = [name for name, stored in stored_types(ds).items() if types.get(name, stored) != stored]
    if changed:
        named = listed([f"obs/{name}" for name in changed], quoted=False)
        notes.append(f"of another type than before, so that they hold the new values too: {named}")
    for note in notes:
        log.warning("%s", note)
    return_memory()
    return ds


def stored_types(ds: Dataset) -> dict[str, tuple[Any, Any]]:
    """Look up how each column of obs is stored."""
    headers = {name: read_header(ds.path, f"obs/{name}") for name in attributes(ds.path, "obs")["column-order"]}
    return {name: (one["attributes"].get("encoding-type"), one.get("data_type")) for name, one in headers.items()}


def is_done(ds: Dataset, step: Step, identity: str) -> bool:
    """Tell whether these very samples were appended with these settings."""
    wanted = plain(step.parameters), identity
    entries = [entry for entry in ds.lineage.entries if entry.verb == "append"]
    return any((entry.parameters, entry.inputs.get("file:source")) == wanted for entry in entries)


def rows_above(ds: Dataset, there: KnownSamples) -> Above:
    """Describe the rows that are there."""
    blocks, names = ds.blocks(), ds.obs_names
    kind, reason = ds.kind_and_reason
    source = Source(ds.name, ds.n_vars, {}, pd.DataFrame(), ds.var, kind={"name": kind, "reason": reason})
    source.of_counts = kind == "counts" or "obs/n_counts" in ds
    keys = ds.keys()
    source.tables = dict.fromkeys((key for key in keys if key.startswith("layers/")), lambda _: iter(()))
    source.elements = dict.fromkeys(key for key in keys if key.startswith("obsm/"))
    column = there.column
    suffixed = column is not None and all(str(names[k]).endswith(f"-{column.iloc[k]}") for k in (0, -1))
    return Above(source, names, blocks.is_sparse, blocks.dtype.kind != "f", suffixed)


def check_layers(ds: Dataset, opened: Source) -> None:
    """Refuse to leave layers without values that no step could compute again."""
    lineage = ds.lineage
    for key in [key for key in ds.keys() if key.startswith("layers/") and key not in opened.tables]:  # noqa: SIM118
        maker = lineage.maker(key)
        if maker is None or maker.verb in IMPORTS:
            raise FormatError(
                f"{key} of {ds.name} is not in every sample: delete it first, with ds.delete('{key}'), or append what "
                "has it too"
            )


def append_rows(ds: Dataset, opened: Source, step: Step, identity: str, there: KnownSamples, path: str) -> list[str]:
    """Stream opened samples below the rows of the dataset, with the quality of the new cells; return the notes.

    path: of the samples, for the record.
    """
    lineage, blocks = ds.lineage, ds.blocks()
    n_before, first = ds.n_obs, getattr(blocks, "n_stored", ds.n_obs)
    measured = lineage.maker("obs/n_counts")
    if measured is not None and (measured.verb != "quality" or lineage.is_stale(measured)):
        measured = None
    inputs = {"file:source": identity, "file:parent": lineage.identity("X")}
    continued = digest([identify(step, inputs), digest(opened.var.index.to_numpy(object))])
    seen = read_checksums(ds.path)
    with DatasetAppender(ds.path, opened.n_columns, n_rows=len(opened.obs), identity=continued) as writer:
        if read_checksums(ds.path) != seen:
            raise KithkinError(f"{ds.name} was changed while the samples were opened: append them again")
        model, again = None, None
        if measured is not None:
            patterns = {name: measured.parameters[name] for name in ("mito", "ribo", "names")}
            model, again = Quality(gene_sets(opened.var, **patterns)), quality_step(**patterns, on="X")
        imported = import_source(opened, writer, ds.execution, observer=model, kind=ds.kind)
        check_new_rows(ds, imported, opened.name)
        columns = {} if model is None else quality_columns(model)
        obs, var = set_aside(imported, columns, opened.name)
        obs = with_columns(obs, columns, "obs")
        var = measured_var(ds, var, model, n_before)
        writer.element("uns/samples", extended_table(ds, obs, there))
        constants = {there.label: ds.path.stem} if there.column is None else {}
        entries = records_after(ds, step, inputs, imported, again, [*obs.columns], [*var.columns])
        own = identify(step, inputs)
        entries = [replace(one, source=path) if one.identity == own else one for one in entries]
        inspect = partial(check_written, totals=imported.totals, name=ds.name, first=first)
        kind = kind_after(ds) if ds.stores_kind else None
        writer.finish(obs, var, entries, inspect=inspect, kind=kind, constants=constants)
    stale = sorted({entry.verb for entry in ds.lineage.entries if ds.lineage.is_stale(entry)})
    return [*imported.notes, *stale_notes(ds, stale)]


def stale_notes(ds: Dataset, stale: list[str]) -> list[str]:
    """Say what has to be computed again."""
    if not stale:
        return []
    return [f"{ds.name}: stale until they are computed again, as there are new cells: {listed(stale, quoted=False)}"]


def kind_after(ds: Dataset) -> dict[str, str]:
    """Return the kind of X with its reason, which was found in the rows of the import."""
    kind, reason = ds.kind_and_reason
    when = " at import"
    return {"name": kind, "reason": reason if reason.endswith(when) else reason + when}


def check_new_rows(ds: Dataset, imported: Imported, name: str) -> None:
    """Refuse rows of another kind than those that are there."""
    totals = imported.totals
    if ds.kind == "counts" and (totals.real or totals.low < 0):
        what = "values that are not integers" if totals.real else "negative values"
        raise FormatError(
            f"{name} holds {what}, but {ds.name} holds counts: take the counts, with layer= or raw=True where they are "
            "not X"
        )


def measured_var(ds: Dataset, var: pd.DataFrame, model: Quality | None, n_before: int) -> pd.DataFrame:
    """Add what is measured of each column over all rows."""
    old, wide = ds.var, len(var)

    def before(name: str) -> Array:
        return np.pad(old[name].to_numpy(np.float64), (0, wide - len(old)))

    if model is not None:
        sums = before("mean_counts") * n_before
        if ds.blocks().dtype.kind != "f":
            sums = np.rint(sums)  # the sum of whole numbers, which the mean has rounded
        total = sums + model.mean_counts_ * model.n_rows_
        n_cells = before("n_cells").astype(np.int64) + model.n_cells_
        var = var.assign(n_cells=n_cells, mean_counts=total / (n_before + model.n_rows_))
    if "n_missing" in old or "n_missing" in var:
        new = var["n_missing"].to_numpy(np.int64) if "n_missing" in var else 0
        known = before("n_missing").astype(np.int64) if "n_missing" in old else 0
        var = var.assign(n_missing=known + new)
    return var


def extended_table(ds: Dataset, obs: pd.DataFrame, there: KnownSamples) -> pd.DataFrame:
    """Add the new samples to the table of samples, or make another where it is of other cells than are there."""
    new = sample_table(obs, there.label)
    if there.column is not None and "uns/samples" in ds:
        old: pd.DataFrame = ds.read("uns/samples")
        same = isinstance(old, pd.DataFrame) and set(old.columns) == set(new.columns)
        if same and {name: size for name, size in there.sizes.items() if size} == old["n_cells"].to_dict():
            return pd.concat([old, new[old.columns]])
    measured = {name: ds.read(f"obs/{name}") for name in new.columns if f"obs/{name}" in ds}
    names = pd.Series(ds.path.stem, ds.obs_names) if there.column is None else there.column
    names = names.astype(object).where(names.notna())
    old = sample_table(pd.DataFrame({**measured, there.label: names}, index=ds.obs_names), there.label)
    return pd.concat([old.reindex(columns=new.columns), new])


def records_after(
    ds: Dataset,
    step: Step,
    inputs: Mapping[str, str],
    imported: Imported,
    quality: Step | None,
    obs: list[str],
    var: list[str],
) -> list[Entry]:
    """Return the records: those of imports stay, and what no step could compute again is now from this one.

    quality: what was measured on the way, if anything was.
    """
    lineage = ds.lineage
    results = {
        key
        for entry in lineage.entries
        if entry.verb not in IMPORTS and any(not name.startswith("file:") for name in entry.inputs)
        for key in entry.outputs
    }
    present = ds.keys()
    tables = [key for key in (*present, *imported.keys) if not key.startswith(("obs/", "var/", "uns/"))]
    written = ["X", *tables, *(f"obs/{name}" for name in obs), *(f"var/{name}" for name in var), "uns/samples"]
    written += [key for key in present if key.startswith("obs/")]
    measured = () if quality is None else quality.outputs
    outputs = [key for key in dict.fromkeys(written) if key not in results and key not in measured]
    kept = []
    for old in lineage.entries:
        left = [key for key in old.outputs if key not in outputs and key not in measured]
        if old.verb in IMPORTS or left:
            kept.append(old if old.verb in IMPORTS else replace(old, outputs=left))
    entry = replace(entry_of(step, inputs, 0.0), outputs=outputs)
    entries = [*kept, entry]
    if quality is not None:
        entries.append(entry_of(quality, {"X": f"{entry.identity}:X"}, 0.0))
    return entries
