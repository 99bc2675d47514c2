"""A few columns of a table as an array, and rows projected on loadings over columns that two tables share."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, as_blocks
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.columns import times
from kithkin.models.table.normalize import TARGET_SUM, Normalized, Stored


def column_values(
    X: Any,
    columns: Array,
    totals: Array | None = None,
    *,
    target_sum: float = TARGET_SUM,
    execution: Execution | None = None,
) -> Array:
    """Return the values of some columns for all rows, n x g float32, in the order asked for; one may come twice.

    With totals, n, values become log1p(value / total * target_sum). Totals of another number, and negative values to be
    normalised, raise ParameterError.
    """
    blocks = as_blocks(X)
    n = blocks.shape[0]
    check(totals is None or len(totals) == n, f"totals must hold {n} numbers, one for each row")
    chosen, order = np.unique(columns, return_inverse=True)
    normalize = None if totals is None else "log1p"
    source = Normalized(blocks, normalize, totals=totals, target_sum=target_sum, columns=chosen)
    out, start = np.empty((n, len(order)), np.float32), 0
    for rows in map_blocks(partial(dense_rows, source), blocks, execution, "values"):
        out[start : start + len(rows)] = rows[:, order]
        start += len(rows)
    return out


def projected(
    X: Any,
    columns: Array,
    loadings: Array,
    target_sum: float | None,
    execution: Execution | None = None,
) -> Array:
    """Project rows on loadings (g x k) over g different columns, which count alone, n x k float32.

    Rows are normalised by their totals over these columns, unless target_sum is None: tables that share but a part of
    their columns, and are projected over that part, come out alike. There is no centering: differences between rows do
    not depend on it.
    """
    blocks = as_blocks(X)
    order = np.argsort(columns)
    normalize = None if target_sum is None else "log1p"
    chosen = np.asarray(columns)[order]
    source = Normalized(blocks, normalize, target_sum=target_sum or TARGET_SUM, columns=chosen)
    vectors = np.ascontiguousarray(np.asarray(loadings, np.float64)[order])
    out, start = np.empty((blocks.shape[0], vectors.shape[1]), np.float32), 0
    for rows in map_blocks(partial(_scores, source, vectors), blocks, execution, "projection"):
        out[start : start + len(rows)] = rows
        start += len(rows)
    return out


def dense_rows(source: Normalized, block: Block, start: int) -> Array:
    """Return normalised rows as a dense float32 array."""
    parts = [part.to_dense() if isinstance(part, Stored) else part for _, part in source.parts(block, start)]
    return np.concatenate(parts).astype(np.float32)


def _scores(source: Normalized, vectors: Array, block: Block, start: int) -> Array:
    with single_threaded():
        parts = [times(part, vectors) for _, part in source.parts(block, start)]
    return np.concatenate(parts).astype(np.float32)
