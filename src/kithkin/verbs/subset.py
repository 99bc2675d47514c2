"""Stream some cells and genes of a dataset to a new dataset."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.alignment import align
from kithkin.core.blocks import Array, ChosenRows, Mapped
from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import ParameterError, check
from kithkin.core.history import Entry, Step, entry_of, identify, plain
from kithkin.core.keys import Key
from kithkin.core.named import with_named
from kithkin.core.published import without_copies
from kithkin.core.query import conditions, names_of, select
from kithkin.core.writer import DatasetWriter
from kithkin.models.quality import Quality, outliers
from kithkin.models.table.selection import Selection
from kithkin.verbs.arguments.conditions import why_nothing
from kithkin.verbs.quality import MITO, RIBO, gene_sets, of_values, quality_columns, quality_step
from kithkin.verbs.read import check_elsewhere, find_again, with_columns

# columns of obs, median absolute deviations up to which a cell is kept, and whether low values are outliers too
AUTOMATIC = (("n_counts", 5, True), ("n_genes", 5, True), ("pct_mito", 3, False))
MEASURED = {"n_cells", "mean_counts"}  # columns of var that tell something about the cells that there are
LONGEST_NAME = 200  # bytes; file systems allow 255


def subset(
    ds: Dataset,
    *,
    cells: str | Any | None = None,
    genes: str | Any | None = None,
    by: str | None = None,
    to: str | Path,
    overwrite: bool = False,
) -> Dataset:
    """Stream the cells and genes that meet a condition to a new dataset.

    The new dataset remembers where it came from, and how many cells and genes went for which reason (`uns/subset`).
    Counts and genes per cell are taken again over the genes that are kept.

    Parameters
    ----------
    ds
        The dataset.
    cells
        Condition on obs such as "n_genes > 200 and pct_mito < 10"; all cells by default. A condition may also name
        genes ("CD3D > 0"), columns of tables in obsm ("CD3_protein > 9") and `index`, the names. "auto" removes
        outliers: cells whose counts or genes (as logarithms) are more than 5 median absolute deviations from the median
        of their sample, or whose mitochondrial percentage is more than 3 above it. In Python also a list of names, or
        one boolean for each cell.
    genes
        Condition on var such as "n_cells >= 3"; all genes by default. n_cells and mean_counts are those of the cells
        that are kept: they are counted in a pass of its own, if cells go. In Python also a list of names, or one
        boolean for each gene.
    by
        Column with the samples, of which each has outliers of its own ("auto"); obs/sample if there is one, else all
        cells are one sample.
    to
        Path of the new dataset.
    overwrite
        Replace an existing dataset, once the new one is whole. Without it, one that was made by the same call from the
        same contents is opened.

    Returns
    -------
    Dataset
        The new one, opened with the same budget, threads and executor.

    Raises
    ------
    ParameterError
        If a condition cannot be read, names an unknown column, or leaves nothing.
    MissingResultError
        If outliers are to be removed, and the quality of the cells was not measured.
    KithkinError
        If something else is at `to`.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=folder + "/a.zarr")
    >>> part = kk.subset(ds, cells="n_genes > 0", genes="n_cells >= 3", to=folder + "/b.zarr")
    >>> part.n_vars <= 200, part.read("uns/subset")["parent"]
    (True, 'a.zarr')
    """
    # Long: the record, the stream and the elements of the new dataset are written in one change
    check_elsewhere(to, ds)
    automatic = isinstance(cells, str) and cells == "auto"
    check(by is None or automatic, 'by has no effect without cells="auto"')
    if automatic and by is None and "obs/sample" in ds:
        by = "obs/sample"
    obs, var = ds.obs, ds.var
    cells, genes = _as_mask(ds, cells, "obs"), _as_mask(ds, genes, "var")
    parent = {**_parent(ds), **_contents(ds)}
    if Path(to).exists() and not overwrite:

        def is_same(part: Dataset) -> bool:
            entry = _entry_in(part, ds, cells, genes, by)
            return entry is not None and entry.inputs == parent

        return find_again(to, is_same, ds.execution)
    began = time.perf_counter()
    rows, row_reasons = inliers_of_samples(ds, by) if automatic else _choose(ds, obs, cells, "cells")
    columns, column_reasons = _choose(ds, _measured_again(ds, var, rows, genes), genes, "genes")
    selection = Selection(rows, columns)
    record = {
        "parent": ds.name,
        "cells": {"before": ds.n_obs, "kept": selection.shape[0], "removed": row_reasons},
        "genes": {"before": ds.n_vars, "kept": selection.shape[1], "removed": column_reasons},
    }
    obs, var = obs[rows], var[columns]
    with DatasetWriter(to, selection.shape[1], overwrite=overwrite, n_rows=selection.shape[0]) as writer:
        # the quality of the part is measured, if it was measured before
        model = Quality(gene_sets(var, MITO, RIBO, None)) if "obs/n_counts" in ds and not of_values(ds) else None
        present = without_copies(ds.path, ds.keys())
        keys = ["X", *(key for key in present if Key.parse(key).place == "layers")]
        for key in keys:
            kept = Mapped(ds.blocks(key), selection, n_columns=selection.shape[1])
            own = model if key == "X" else None
            measure, kept_rows = None if own is None else own.measuring(selection.shape[1]), np.flatnonzero(rows)
            label = f"subset {key}"
            for sums in writer.stream(kept, key, ds.execution, rows=kept_rows, measure=measure, label=label):
                if own is not None:
                    own.add(sums)
        for key in present:
            place = Key.parse(key).place
            if place in ("obsm", "obsp", "varm", "varp"):
                kept_rows, value = rows if place in ("obsm", "obsp") else columns, ds.read(key)
                writer.element(key, value[kept_rows][:, kept_rows] if place in ("obsp", "varp") else value[kept_rows])
                keys.append(key)
            elif place == "uns" and key != "uns/subset":
                writer.element(key, ds.read(key))
                keys.append(key)
        writer.element("uns/subset", record)
        measures = {} if model is None else quality_columns(model)
        keys += ["uns/subset", *(f"obs/{name}" for name in obs.columns), *(f"var/{name}" for name in var.columns)]
        entry = entry_of(subset_step(cells, genes, by), _parent(ds), time.perf_counter() - began)
        # the contents are recorded, and no part of its identity: a run finds its part again after results were added
        entries = [replace(entry, inputs=parent, outputs=[key for key in keys if key not in measures])]
        if measures:
            entries.append(entry_of(quality_step(MITO, RIBO, None, "X"), {"X": f"{entry.identity}:X"}, 0.0))
        name, reason = ds.kind_and_reason
        kind = {"name": name, "reason": reason} if ds.stores_kind else None
        writer.finish(with_columns(obs, measures, "obs"), with_columns(var, measures, "var"), entries, kind=kind)
    execution = ds.execution
    return open_dataset(
        to,
        memory=execution.memory,
        threads=execution.threads,
        executor=execution.executor,
        progress=execution.progress,
    )


def _measured_again(ds: Dataset, var: pd.DataFrame, rows: Array, genes: Any) -> pd.DataFrame:
    """Take the measures of genes that a condition names over the cells that are kept."""
    maker = ds.lineage.maker("var/n_cells")
    named = set(names_of(genes)) & MEASURED if isinstance(genes, str) else set()
    if not named or maker is None or "obs/n_genes" not in maker.outputs or rows.all() or not rows.any():
        return var
    blocks, removed = ds.blocks(str(maker.parameters.get("on", "X"))), np.flatnonzero(~rows)
    if "mean_counts" in named or 2 * len(removed) >= len(rows):
        model = Quality().fit(ChosenRows(blocks, np.flatnonzero(rows)), ds.execution)
        found = {"n_cells": model.n_cells_, "mean_counts": model.mean_counts_}
    else:  # numbers of cells are whole, so that those of the few that go can be taken off
        found = {
            "n_cells": var["n_cells"].to_numpy() - Quality().fit(ChosenRows(blocks, removed), ds.execution).n_cells_
        }
    return var.assign(**{name: found[name] for name in named & set(var.columns)})


def rows_kept(ds: Dataset, cells: str) -> Array:
    """Choose the rows that a condition keeps, as `subset` does.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/age"] = [3, 1, 2]
    >>> np.arange(3)[rows_kept(ds, "age > 1")].tolist()
    [0, 2]
    """
    return _choose(ds, ds.obs, _as_mask(ds, cells, "obs"), "cells")[0]


def subset_step(cells: Any, genes: Any, by: str | None = None) -> Step:
    """Describe the step, with masks by their content."""
    masks = {"cells": cells, "genes": genes}
    parameters = {
        name: plain(mask if mask is None or isinstance(mask, str) else np.asarray(mask)) for name, mask in masks.items()
    }
    parameters |= {} if by is None else {"by": str(Key.parse(by, "obs"))}
    # since revision 2 measures of genes are those of the cells that are kept; nothing else has changed
    measured = cells is not None and isinstance(genes, str) and bool(set(names_of(genes)) & MEASURED)
    return Step("subset", 2 if measured else 1, parameters, ("file:parent",), ("X",))


def is_subset_of(part: Dataset, ds: Dataset, cells: Any, genes: Any) -> bool:
    """Check that a dataset is this very part of another as that is now."""
    return _entry_in(part, ds, _as_mask(ds, cells, "obs"), _as_mask(ds, genes, "var")) is not None


def _entry_in(part: Dataset, ds: Dataset, cells: Any, genes: Any, by: str | None = None) -> Entry | None:
    """Return the record in a dataset that it is this very part of another."""
    identity = identify(subset_step(cells, genes, by), _parent(ds))
    entries = [entry for entry in part.lineage.entries if entry.verb == "subset" and "X" in entry.outputs]
    return next((entry for entry in entries if entry.identity == identity), None)


def _as_mask(ds: Dataset, chosen: Any, place: Literal["obs", "var"]) -> Any:
    """Turn names into booleans, and bring booleans with names into the order of the dataset; a text stays as it is."""
    names, name = (ds.obs_names, "cells") if place == "obs" else (ds.var_names, "genes")
    if isinstance(chosen, str) and f"{place}/{chosen}" not in ds and (names == chosen).any():
        chosen = [chosen]
    if chosen is None or isinstance(chosen, str):
        return chosen
    chosen = list(chosen) if isinstance(chosen, (set, frozenset)) else chosen
    listed = np.asarray(chosen)
    if listed.ndim == 1 and listed.dtype.kind in "OUT" and all(isinstance(one, str) for one in listed.tolist()):
        mask = np.zeros(len(names), bool)
        mask[ds.positions(listed.tolist(), place, name)] = True
        return mask
    mask = align(chosen, names, name)
    if isinstance(getattr(mask, "dtype", None), pd.BooleanDtype):
        return np.asarray(pd.array(mask).fillna(False), bool)
    return np.asarray(mask)


def _contents(ds: Dataset) -> dict[str, str]:
    """Return the identity of everything that a part takes over."""
    lineage, present = ds.lineage, without_copies(ds.path, ds.keys())
    return {f"file:{key}": lineage.identity(key) for key in present if key not in ("X", "uns/subset")}


def _parent(ds: Dataset) -> Mapping[str, str]:
    return {"file:parent": ds.lineage.identity("X")}


def inliers_of_samples(ds: Dataset, by: str | None) -> tuple[Array, dict[str, int]]:
    """Choose the cells whose quality is that of their sample, and count the outliers by reason."""
    ds.need("obs/n_counts", "obs/n_genes", "obs/pct_mito")
    samples = None if by is None else np.asarray(ds.read(str(Key.parse(by, "obs"))).astype(str))
    mask, removed = np.ones(ds.n_obs, bool), dict[str, int]()
    for column, n_mads, low in AUTOMATIC:
        out = outliers(ds.read(f"obs/{column}"), samples, n_mads, low=low, log=low)
        reason = f"{column} within {n_mads} MADs" if low else f"{column} at most {n_mads} MADs above the median"
        removed[reason] = int((mask & out).sum())
        mask &= ~out
    return mask, removed


def _choose(ds: Dataset, frame: pd.DataFrame, condition: Any, name: str) -> tuple[Array, dict[str, int]]:
    """Evaluate a condition, and count the rows that each part of it removes and none before it did."""
    mask = np.ones(len(frame), bool)
    if condition is None:
        return mask, {}
    if not isinstance(condition, str):
        given = np.asarray(condition)
        fits = given.dtype == bool and given.shape == mask.shape
        place = "obs" if name == "cells" else "var"
        advice = f": for positions take their names, ds.{place}_names[positions]" if given.dtype.kind in "iu" else ""
        got = f"got {given.dtype} of shape {given.shape}{advice}"
        check(fits, f"{name} must be a condition, names or {len(frame)} booleans, {got}")
        return given, {"mask": int((~given).sum())}
    removed: dict[str, int] = {}
    frame = with_named(ds, frame, condition, "obs" if name == "cells" else "var")[0]
    for part in conditions(condition):
        try:
            keeps = select(frame, part)
        except ParameterError as error:
            raise ParameterError(str(error).replace("query", name, 1)) from error
        reason = part.replace("/", " per ")  # the name of an element
        while len(reason.encode()) > LONGEST_NAME:
            reason = f"{reason[: len(reason) * 3 // 4]}..."
        removed[reason] = removed.get(reason, 0) + int((mask & ~keeps).sum())
        mask &= keeps
    if len(frame) and not mask.any():
        raise ParameterError(why_nothing(frame, condition, name))
    return mask, removed
