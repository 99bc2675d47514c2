"""Stream some cells and genes of a dataset to a new dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.alignment import align
from kithkin.core.blocks import Array, Mapped
from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import map_blocks
from kithkin.core.history import Step, entry_of, identify, plain
from kithkin.core.keys import Key
from kithkin.core.query import conditions, select
from kithkin.core.writer import DatasetWriter
from kithkin.models.quality import Quality
from kithkin.models.table.selection import Selection
from kithkin.verbs.arguments.conditions import why_nothing
from kithkin.verbs.quality import MITO, RIBO, gene_sets, of_values, quality_columns, quality_step
from kithkin.verbs.read import check_elsewhere, with_columns

LONGEST_NAME = 200  # bytes; file systems allow 255


def subset(
    ds: Dataset,
    *,
    cells: str | Any | None = None,
    genes: str | Any | None = None,
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
        Condition on obs such as "n_genes > 200 and pct_mito < 10", or one boolean for each cell; all cells by default.
    genes
        Condition on var such as "n_cells >= 3", or one boolean for each gene; all genes by default.
    to
        Path of the new dataset.
    overwrite
        Replace an existing dataset, once the new one is whole.

    Returns
    -------
    Dataset
        The new one, opened with the same budget, threads and executor.

    Raises
    ------
    ParameterError
        If a condition cannot be read, names an unknown column, or leaves nothing.
    KithkinError
        If `to` exists.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=folder + "/a.zarr")
    >>> part = kk.subset(ds, cells="n_genes > 0", genes="n_cells >= 3", to=folder + "/b.zarr")
    >>> part.n_vars <= 200, part.read("uns/subset")["parent"]
    (True, 'a.zarr')
    """
    check_elsewhere(to, ds)
    obs, var = ds.obs, ds.var
    cells, genes = _as_mask(cells, obs.index, "cells"), _as_mask(genes, var.index, "genes")
    rows, row_reasons = _choose(obs, cells, "cells")
    columns, column_reasons = _choose(var, genes, "genes")
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
        present = ds.keys()
        keys = ["X", *(key for key in present if Key.parse(key).place == "layers")]
        for key in keys:
            blocks, row = ds.blocks(key), 0
            kept = Mapped(blocks, selection, n_columns=selection.shape[1])
            for block in map_blocks(_same, kept, ds.execution, f"subset {key}"):
                writer.append(block, key)
                if key == "X" and model is not None:
                    model.update(block, row)
                row += block.shape[0]
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
        entry = entry_of(subset_step(cells, genes), _parent(ds), 0.0)
        entries = [replace(entry, outputs=[key for key in keys if key not in measures])]
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


def subset_step(cells: Any, genes: Any) -> Step:
    """Describe the step, with masks by their content."""
    masks = {"cells": cells, "genes": genes}
    parameters = {
        name: plain(mask if mask is None or isinstance(mask, str) else np.asarray(mask)) for name, mask in masks.items()
    }
    return Step("subset", 1, parameters, ("file:parent",), ("X",))


def is_subset_of(part: Dataset, ds: Dataset, cells: Any, genes: Any) -> bool:
    """Check that a dataset is this very part of another as that is now."""
    step = subset_step(_as_mask(cells, ds.obs_names, "cells"), _as_mask(genes, ds.var_names, "genes"))
    identity = identify(step, _parent(ds))
    return any(entry.verb == "subset" and entry.identity == identity for entry in part.lineage.entries)


def _as_mask(condition: Any, names: pd.Index[str], name: str) -> Any:
    """Bring booleans with names into the order of the dataset; what is missing meets no condition."""
    if condition is None or isinstance(condition, str):
        return condition
    mask = align(condition, names, name)
    if isinstance(getattr(mask, "dtype", None), pd.BooleanDtype):
        return np.asarray(pd.array(mask).fillna(False), bool)
    return np.asarray(mask)


def _parent(ds: Dataset) -> Mapping[str, str]:
    return {"file:parent": ds.lineage.identity("X")}


def _choose(frame: pd.DataFrame, condition: Any, name: str) -> tuple[Array, dict[str, int]]:
    """Evaluate a condition, and count the rows that each part of it removes and none before it did."""
    mask = np.ones(len(frame), bool)
    if condition is None:
        return mask, {}
    if not isinstance(condition, str):
        given = np.asarray(condition)
        fits = given.dtype == bool and given.shape == mask.shape
        check(fits, f"{name} must be a condition or {len(frame)} booleans, got {given.dtype} of shape {given.shape}")
        return given, {"mask": int((~given).sum())}
    removed: dict[str, int] = {}
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


def _same(block: Any, start: int) -> Any:  # noqa: ARG001  (rows and columns were selected on reading)
    return block
