"""Tables of the open features of clusters and rows, with their values inside and outside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, Block, SparseRows, as_blocks
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.metrics.open_gates import CLUSTER_OPEN, OPEN
from kithkin.models.table.normalize import Normalized, Stored, row_scale, to_sparse
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory


@dataclass(frozen=True)
class GroupValues:
    """Sums of some columns over the rows of each group that have a value."""

    sizes: Array  # number of rows that have a value, K x features
    sums: Array  # K x features
    squares: Array  # sums of the squares, likewise
    positive: Array  # numbers of values that are not zero, likewise

    def mean(self, *, rest: bool = False) -> Array:
        """Return the mean of each feature in each group, or in all other groups; NaN over no rows."""
        return self._per_row(self.sums, rest)

    def fraction(self, *, rest: bool = False) -> Array:
        """Return the fraction of the rows with a value, 0..1, in which each feature is not zero."""
        return self._per_row(self.positive, rest)

    def deviation(self) -> Array:
        """Return the standard deviation of each feature over the rows of all groups."""
        n = np.maximum(1.0, self.sizes.sum(axis=0))
        mean = self.sums.sum(axis=0) / n
        deviation: Array = np.sqrt(np.maximum(self.squares.sum(axis=0) / n - mean**2, 0))
        return deviation

    def _per_row(self, table: Array, rest: bool) -> Array:
        part = table.sum(axis=0) - table if rest else table
        sizes = self.sizes.sum(axis=0) - self.sizes if rest else self.sizes
        return np.divide(part, sizes, out=np.full(part.shape, np.nan), where=sizes > 0)


def group_values(
    X: Any, codes: Array, n_groups: int, columns: Array, totals: Array | None = None, execution: Execution | None = None
) -> GroupValues:
    """Sum some columns, given by ascending positions, over the rows of each group, in one pass.

    Rows with a negative code are left out, and so are missing values (NaN) of a dense table. With totals, the counts of
    each row, values are log1p(10,000 count / total).
    """
    blocks = as_blocks(X)
    shape = (n_groups, len(columns))
    source = Normalized(blocks, None if totals is None else "log1p", totals=totals, columns=columns)
    task = partial(run_sums, codes=codes, source=source, shape=shape)
    execution = within_memory(execution, 3 * 8 * n_groups * len(columns))
    sums, squares, positive, missing = reduce_blocks(task, blocks, execution, "values")
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups)[:, None]
    return GroupValues(sizes - missing, sums, squares, positive)


def run_sums(run: BlockRun, _start: int, codes: Array, source: Normalized, shape: tuple[int, int]) -> tuple[Array, ...]:
    """Sum the values of each cluster and feature in a run of blocks, and count the missing ones."""
    n_groups, width = shape
    sums, squares, positive, missing = (np.zeros(shape) for _ in range(4))
    parts = ((part, codes[first:]) for start, block in run for first, part in source.parts(block, start))
    for part, groups in parts:
        if isinstance(part, Stored):
            group = np.repeat(groups[: len(part.starts) - 1], np.diff(part.starts))
            kept = group >= 0
            flat, values = group[kept].astype(np.int64) * width + part.places[kept], part.values[kept]
            for table, weights in ((sums, values), (squares, values**2), (positive, values != 0)):
                np.add(table, np.bincount(flat, weights, n_groups * width).reshape(shape), out=table)
            continue
        for k in range(n_groups):
            rows = part[groups[: len(part)] == k]
            absent = np.isnan(rows) if rows.dtype.kind == "f" else np.zeros(1, bool)
            if absent.any():
                missing[k] += absent.sum(axis=0)
                rows = np.where(absent, 0, rows)
            for table, values in ((sums, rows), (squares, rows**2), (positive, rows != 0)):
                table[k] += values.sum(axis=0)
    return sums, squares, positive, missing


def gates_table(
    X: Any,
    codes: Array,
    gates: Array,
    *,
    threshold: float = CLUSTER_OPEN,
    totals: Array | None = None,
    execution: Execution | None = None,
) -> pd.DataFrame:
    """List the open features of each cluster, with their values inside and outside.

    Gates, p x K in 0..1, are open above the threshold. Rows with a negative code are left out. With totals, the counts
    of each row, values are log1p(10,000 count / total). Missing values (NaN) are left out of means and shares. Shapes
    that do not fit raise ParameterError.

    Returns
    -------
    DataFrame
        group and feature (numbers), gate, mean and mean_rest, pct and pct_rest (shares of rows that are not zero, 0 to
        1), effect: the difference of the means over the standard deviation. Within a cluster by descending gate, then
        by descending size of the effect. Clusters without rows have no features.
    """
    blocks, gates = as_blocks(X), np.asarray(gates, dtype=np.float64)
    n, p = blocks.shape
    check(gates.ndim == 2 and len(gates) == p, f"gates must be {p} features x clusters, got shape {gates.shape}")
    check(codes.shape == (n,), f"codes must be {n}, one for each row, got {codes.shape}")
    check(codes.max(initial=-1) < gates.shape[1], f"codes must be below the {gates.shape[1]} clusters of the gates")
    check_range("threshold", threshold, 0.0, 1.0)
    sizes = np.bincount(codes[codes >= 0], minlength=gates.shape[1])
    opened = (gates > threshold) & (sizes > 0)
    columns = np.flatnonzero(opened.any(axis=1))
    if len(columns) == 0:
        columns = np.arange(1)
    values = group_values(blocks, codes, gates.shape[1], columns, totals, execution)
    inside, outside, deviation = values.mean(), values.mean(rest=True), values.deviation()
    effect = (inside - np.nan_to_num(outside)) / np.where(deviation > 0, deviation, 1.0)
    fraction, fraction_rest = values.fraction(), values.fraction(rest=True)
    # positions of the entries, cluster by cluster
    group, feature = np.nonzero(opened[columns].T)
    gate = gates[columns][feature, group]
    order = np.lexsort((-np.abs(effect[group, feature]), -gate, group))
    group, feature = group[order], feature[order]
    return pd.DataFrame(
        {
            "group": group,
            "feature": columns[feature],
            "gate": gate[order],
            "mean": inside[group, feature],
            "mean_rest": outside[group, feature],
            "pct": fraction[group, feature],
            "pct_rest": fraction_rest[group, feature],
            "effect": effect[group, feature],
        }
    )


def open_of_rows(
    gates: Block, values: Block, threshold: float = OPEN, totals: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """List the open features of a few rows: row, feature, gate and value, by descending gate within a row.

    Gates are open above the threshold. With totals, the counts of each row, values are log1p(10,000 count / total).
    """
    gates = gates if isinstance(gates, SparseRows) else to_sparse(gates)
    row = np.repeat(np.arange(gates.shape[0]), np.diff(gates.indptr))
    order = np.lexsort((gates.indices, -gates.data, row))
    order = order[gates.data[order] > threshold]
    row, feature = row[order], gates.indices[order]
    whole = values.to_scipy() if isinstance(values, SparseRows) else values
    value = np.asarray(whole[row, feature]).ravel()
    if totals is not None:
        value = np.log1p(value * row_scale(totals)[row]).astype(np.float32)
    return row, feature, gates.data[order], value
