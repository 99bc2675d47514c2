"""What open gates say of clusters: the features behind them, with their values inside and outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, Block, SparseRows, as_blocks
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.metrics.open_gates import CLUSTER_OPEN, OPEN
from kithkin.models.table.normalize import Normalized, Part, Stored, row_scale, to_sparse
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory


@dataclass(frozen=True)
class GroupValues:
    """Sums over the rows of each group.

    Attributes
    ----------
    sizes
        Rows in each group, K.
    sums, squares, positive
        Sum of the values, of their squares, and number of those that are not zero, K x features.

    Examples
    --------
    >>> found = group_values(np.array([[2.0], [0.0], [5.0]]), np.array([0, 0, 1]), 2, np.array([0]))
    >>> found.mean().tolist(), found.mean(rest=True).tolist()
    ([[1.0], [5.0]], [[5.0], [1.0]])
    """

    sizes: Array
    sums: Array
    squares: Array
    positive: Array

    def mean(self, *, rest: bool = False) -> Array:
        """Mean of each feature in each group, or in all other groups; NaN over no rows."""
        return self._share(self.sums, rest)

    def share(self, *, rest: bool = False) -> Array:
        """Share of the rows, 0..1, in which each feature is not zero."""
        return self._share(self.positive, rest)

    def deviation(self) -> Array:
        """Standard deviation of each feature over the rows of all groups."""
        n = max(1.0, float(self.sizes.sum()))
        mean = self.sums.sum(axis=0) / n
        deviation: Array = np.sqrt(np.maximum(self.squares.sum(axis=0) / n - mean**2, 0))
        return deviation

    def _share(self, table: Array, rest: bool) -> Array:
        part = table.sum(axis=0) - table if rest else table
        sizes = (self.sizes.sum() - self.sizes if rest else self.sizes)[:, None]
        return np.divide(part, sizes, out=np.full(part.shape, np.nan), where=sizes > 0)


def group_values(
    X: Any, codes: Array, n_groups: int, columns: Array, totals: Array | None = None, execution: Execution | None = None
) -> GroupValues:
    """Sum some columns over the rows of each group, in one pass.

    Parameters
    ----------
    X
        n x p: array, sparse matrix or row blocks.
    codes
        Group of each row, n; negative: left out.
    n_groups
        K.
    columns
        Positions of the columns, ascending.
    totals
        Counts of each row, n: values are log1p(count / total * 10,000). None: values as they are.
    execution
        Threads, executor, budget.

    Examples
    --------
    >>> group_values(np.eye(3), np.array([0, 0, -1]), 1, np.array([0, 2])).sums.tolist()
    [[1.0, 0.0]]
    """
    blocks = as_blocks(X)
    shape = (n_groups, len(columns))
    source = Normalized(blocks, None if totals is None else "log1p", totals=totals, columns=columns)
    task = partial(_run_sums, codes=codes, source=source, shape=shape)
    execution = within_memory(execution, 3 * 8 * n_groups * len(columns))
    sums, squares, positive = reduce_blocks(task, blocks, execution, "values")
    return GroupValues(np.bincount(codes[codes >= 0], minlength=n_groups), sums, squares, positive)


def _run_sums(
    run: BlockRun, _start: int, codes: Array, source: Normalized, shape: tuple[int, int]
) -> tuple[Array, ...]:
    out = tuple(np.zeros(shape) for _ in range(3))
    for start, block in run:
        for first, part in source.parts(block, start):
            _add_part(out, part, codes[first:])
    return out


def _add_part(out: tuple[Array, ...], part: Part, codes: Array) -> None:
    n_groups, width = out[0].shape
    if isinstance(part, Stored):
        group = np.repeat(codes[: len(part.starts) - 1], np.diff(part.starts))
        kept = group >= 0
        flat, values = group[kept].astype(np.int64) * width + part.places[kept], part.values[kept]
        for table, weights in zip(out, (values, values**2, values != 0), strict=True):
            np.add(table, np.bincount(flat, weights, n_groups * width).reshape(table.shape), out=table)
        return
    for k in range(n_groups):
        rows = part[codes[: len(part)] == k]
        for table, values in zip(out, (rows, rows**2, rows != 0), strict=True):
            table[k] += values.sum(axis=0)


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

    Parameters
    ----------
    X
        n x p: array, sparse matrix or row blocks.
    codes
        Cluster of each row, n; negative: left out.
    gates
        p x K, in 0..1.
    threshold
        A gate is open above it.
    totals
        Counts of each row, n, for values log1p(count / total * 10,000); None: values as they are.
    execution
        Threads, executor, budget.

    Returns
    -------
    DataFrame
        group and feature (numbers), gate, mean and mean_rest, pct and pct_rest (shares of rows that are not zero, 0 to
        1), effect: the difference of the means over the standard deviation. Within a cluster by descending gate, then
        by how large the effect is. Clusters without rows have no features.

    Raises
    ------
    ParameterError
        If the shapes do not fit.

    Examples
    --------
    >>> X = np.array([[4.0, 1.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> table = gates_table(X, np.array([0, 0, 1, 1]), np.array([[0.9, 0.0], [0.1, 1.0]]))
    >>> table[["group", "feature", "gate", "mean", "mean_rest", "pct"]].to_numpy().tolist()
    [[0.0, 0.0, 0.9, 3.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]]
    """
    blocks, gates = as_blocks(X), np.asarray(gates, dtype=np.float64)
    n, p = blocks.shape
    check(gates.ndim == 2 and len(gates) == p, f"gates must be {p} features x clusters, got shape {gates.shape}")
    check(codes.shape == (n,), f"codes must be {n}, one for each row, got {codes.shape}")
    check(codes.max(initial=-1) < gates.shape[1], f"codes must be below the {gates.shape[1]} clusters of the gates")
    check_range("threshold", threshold, 0, 1)
    sizes = np.bincount(codes[codes >= 0], minlength=gates.shape[1])
    opened = (gates > threshold) & (sizes > 0)
    columns = np.flatnonzero(opened.any(axis=1))
    if len(columns) == 0:
        columns = np.arange(1)
    found = group_values(blocks, codes, gates.shape[1], columns, totals, execution)
    return pd.concat(list(_parts(gates[columns], opened[columns], columns, found)), ignore_index=True)


def _parts(gates: Array, opened: Array, columns: Array, found: GroupValues) -> Iterator[pd.DataFrame]:
    """Rows of the table, cluster by cluster."""
    inside, outside = found.mean(), found.mean(rest=True)
    deviation = found.deviation()
    effect = (inside - np.nan_to_num(outside)) / np.where(deviation > 0, deviation, 1.0)
    share, share_rest = found.share(), found.share(rest=True)
    for k in range(gates.shape[1]):
        chosen = np.flatnonzero(opened[:, k])
        chosen = chosen[np.lexsort((-np.abs(effect[k, chosen]), -gates[chosen, k]))]
        yield pd.DataFrame(
            {
                "group": np.full(len(chosen), k),
                "feature": columns[chosen],
                "gate": gates[chosen, k],
                "mean": inside[k, chosen],
                "mean_rest": outside[k, chosen],
                "pct": share[k, chosen],
                "pct_rest": share_rest[k, chosen],
                "effect": effect[k, chosen],
            }
        )


def open_of_rows(
    gates: Block, values: Block, threshold: float = OPEN, totals: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """List the open features of each row.

    Parameters
    ----------
    gates
        Gates of a few rows.
    values
        The same rows of the table.
    threshold
        A gate is open above it.
    totals
        Counts of each row, for values log1p(count / total * 10,000); None: values as they are.

    Returns
    -------
    row, feature, gate, value
        One entry per open gate, by descending gate within a row.

    Examples
    --------
    >>> gates = SparseRows(np.array([0.5, 1.0]), np.array([0, 2]), np.array([0, 2]), 3)
    >>> [part.tolist() for part in open_of_rows(gates, np.array([[7, 0, 9]]))]
    [[0, 0], [2, 0], [1.0, 0.5], [9, 7]]
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
