"""Totals of the rows of a table of a dataset: those that `quality` stored for this very table, or a pass over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import check
from kithkin.core.execute import map_blocks

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset


def totals_key(ds: Dataset, on: str) -> str | None:
    """Name the column of obs in which `quality` stored the totals of a table as it is now; None if there is none.

    Parameters
    ----------
    ds
        The dataset.
    on
        Key of the table: X or a layer.
    """
    lineage = ds.lineage
    for entry in reversed(lineage.entries):
        if entry.verb == "quality" and entry.parameters.get("on") == on:
            key = next((key for key in entry.outputs if key.startswith("obs/") and key.endswith("n_counts")), None)
            if key is not None and key in ds and lineage.maker(key) is entry and not lineage.is_stale(entry):
                return key
    return None


def totals_of(ds: Dataset, on: str) -> Array:
    """Return the total of each row of a table over all its columns, n float64.

    Raises
    ------
    ParameterError
        If values are missing or negative, so that there is no total to normalise by.
    """
    key = totals_key(ds, on)
    if key is not None:
        return np.asarray(ds.read(key), np.float64)
    totals = np.concatenate([np.zeros(0), *map_blocks(_block_totals, ds.blocks(on), ds.execution, "totals")])
    scaled = "kithkin.scale(ds), and use on='obsm/X_scaled'"
    if np.isnan(totals).any():
        wrong, advice = "missing", f"fill them in with {scaled}"
    else:
        wrong, advice = "negative", f"use normalize=None, or scale the columns with {scaled}"
    check(bool((totals >= 0).all()), f"{on} of {ds.name} holds {wrong} values, and log1p is for counts: {advice}")
    return totals


def _block_totals(block: Block, _start: int) -> Array:
    if not isinstance(block, SparseRows):
        return np.asarray(block.sum(axis=1, dtype=np.float64))
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.bincount(rows, block.data, block.shape[0])
