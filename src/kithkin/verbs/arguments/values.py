"""Values that a verb is given: genes, columns of obs, tables, or plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.alignment import align
from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, brief, check, check_choice
from kithkin.core.history import digest
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.table.expression import column_values
from kithkin.verbs.arguments.normalization import resolve_normalize

GENES_AT_A_TIME = 512


@dataclass
class Values:
    """Named values of all cells, read on demand.

    Attributes
    ----------
    genes, gene_names
        Positions of genes in var, and their names.
    others, other_names
        Keys or tables besides, and the names of their columns.
    inputs
        Keys that are read.
    parameters
        Parameters of the step that identify the values.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> values = values_of(ds, ["1", "obs/n_counts"], None)
    >>> values.names, [table.tolist() for table in values.tables()]
    (['1', 'n_counts'], [[[0.0], [1.0], [0.0]], [[1.0], [1.0], [1.0]]])
    """

    ds: Dataset
    normalize: str | None
    genes: list[int] = field(default_factory=list)
    gene_names: list[str] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)
    other_names: list[str] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of all columns of the tables, genes first."""
        return [*self.gene_names, *self.other_names]

    def tables(self) -> Iterator[Array]:
        """Yield tables of n rows; of many genes as many at a time as the budget allows."""
        ds = self.ds
        totals = totals_of(ds, "X") if self.genes and self.normalize else None
        at_a_time = max(1, min(GENES_AT_A_TIME, ds.execution.memory // (16 * max(ds.n_obs, 1))))
        for start in range(0, len(self.genes), at_a_time):
            part = np.array(self.genes[start : start + at_a_time])
            yield column_values(ds.blocks("X"), part, totals, execution=ds.execution)
        for other in self.others:
            yield numbers(ds.read(other), other) if isinstance(other, str) else other


def values_of(ds: Dataset, values: str | Sequence[str] | Any, normalize: str | None) -> Values:
    """Resolve names of genes, columns and tables, or take numbers as they are.

    Parameters
    ----------
    values
        One or several of: a gene, "obs/n_counts", "obsm/X_pca", "var/highly_variable" (the genes that a column of
        booleans marks); or n or n x g numbers.
    normalize
        "log1p" for genes, or None.

    Raises
    ------
    ParameterError
        If a name is unknown, or numbers do not have n rows.
    MissingResultError
        If a key is not there, or the totals by which genes are normalised.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> values_of(ds, "obs/n_genes", "log1p").names, values_of(ds, np.ones((3, 2)), None).names
    (['n_genes'], ['0', '1'])
    """
    check_choice("normalize", normalize, ("log1p", None))
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, (list, tuple, pd.Index)) or not all(isinstance(value, str) for value in values):
        known = isinstance(values, (list, tuple, pd.Index)) or hasattr(values, "__array__") or hasattr(values, "tocsr")
        check(known, f"values must be names of genes or columns, or a table of numbers, got {brief(values)}")
        values, n = align(values, ds.obs_names, "values"), ds.n_obs
        table = numbers(values, "values")
        check(len(table) == n, f"values must have {n} rows, one for each row of obs of {ds.name}, got {len(table)}")
        columns = values.columns if isinstance(values, pd.DataFrame) else range(table.shape[1])
        identity = {"values": f"array {table.shape} {digest(table)}"}
        names = [str(name) for name in columns]
        return Values(ds, normalize, others=[table], other_names=names, parameters=identity)
    check(len(values) > 0, "values must name at least one gene, column or table, got none")
    result = Values(ds, normalize)
    for name in map(str, values):
        key = Key.parse(name) if name.startswith(("obs/", "obsm/", "var/")) else None
        if key is None:
            try:
                result.genes += ds.positions(name, "var", "values").tolist()  # by its name, or else by its symbol
            except ParameterError as error:
                raise ParameterError(f"{error}; a column of obs is named like 'obs/n_counts'") from error
            result.gene_names.append(name)
            continue
        value = ds.read(name)
        if key.place == "var":
            mask = value.to_numpy()
            marked = mask.dtype == bool and mask.any()
            check(marked, f"{name} must be a column of booleans that marks at least one gene")
            result.genes += np.flatnonzero(mask).tolist()
            result.gene_names += ds.var_labels[mask].tolist()
        else:
            columns = range(1 if np.ndim(value) == 1 else value.shape[1])
            result.other_names += [key.name] if key.place == "obs" else [f"{key.name}[{one}]" for one in columns]
            result.others.append(name)
        result.inputs += (name,)
    if result.genes:
        result.normalize = normalize = resolve_normalize(ds, "X", normalize)
    result.inputs = (*(("X",) if result.genes else ()), *dict.fromkeys(result.inputs))
    result.parameters = {"values": [str(name) for name in values], "normalize": normalize if result.genes else None}
    return result


def numbers(values: Any, name: str) -> Array:
    """Turn values into a table of n rows in float64, after checking that all are finite numbers.

    Raises
    ------
    ParameterError
        If they are not numbers, or one is missing.

    Examples
    --------
    >>> numbers(pd.Series([True, False]), "obs/chosen").tolist()
    [[1.0], [0.0]]
    """
    if isinstance(values, pd.Series) and pd.api.types.infer_dtype(values) in ("categorical", "string"):
        raise ParameterError(f"values must be numbers such as obs/n_counts, but {name} holds labels")
    table = np.asarray(values)
    if table.dtype == object:
        table = pd.DataFrame(values).apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    check(table.dtype.kind in "buif" and table.ndim in (1, 2), f"{name} must hold numbers, got {table.dtype}")
    table = table.astype(np.float64)
    check(bool(np.isfinite(table).all()), f"{name} must hold finite numbers, but some are missing or infinite")
    return table[:, None] if table.ndim == 1 else table
