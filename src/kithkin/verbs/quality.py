"""Quality measures of cells and genes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, check, check_known
from kithkin.core.history import Step
from kithkin.core.keys import SYMBOLS, Key
from kithkin.models.quality import Quality

# genes of several genomes carry the name of theirs: GRCh38_MT-ND1, mm10___mt-Nd1, and GRCh38-MT-ND1 after Seurat
GENOME = r"(?:[\w.-]+_+|(?:GRC[a-z]\d+|hg\d+|mm\d+|rn\d+)[.:-]+)?"
MITO = f"(?i)^{GENOME}MT-"
RIBO = f"(?i)^{GENOME}RP[SL]"
REVISION = 1


def quality(
    ds: Dataset,
    *,
    mito: str = MITO,
    ribo: str = RIBO,
    names: str | None = None,
    on: str = "X",
    key: str | None = "auto",
) -> pd.DataFrame:
    """Quality measures: counts, genes, mitochondrial and ribosomal share of each cell; cells and mean of each gene.

    `kithkin.read` and `kithkin.subset` do this in their own pass with the default patterns, so that calling it again
    is a look-up.

    Parameters
    ----------
    ds
        The dataset.
    mito
        Regular expression for the names of mitochondrial genes; by default MT- after the name of a genome or none.
    ribo
        Regular expression for the names of ribosomal protein genes.
    names
        Column of var with the names to match. By default a column of gene symbols if there is one, else the index.
    on
        Table of counts.
    key
        Key under which the result is stored; without one it is only returned. It is put before the name of each column;
        "auto": the plain names.

    Returns
    -------
    DataFrame
        n rows: n_counts, n_genes, pct_mito, pct_ribo (percent, 0 to 100). Stored in obs; var gets n_cells, mean_counts.

    Raises
    ------
    ParameterError
        If a pattern is not a regular expression, there is no such column of names, or X holds values.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(50, 60, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> kk.quality(ds).columns.tolist()
    ['n_counts', 'n_genes', 'pct_mito', 'pct_ribo']
    """
    check(key != "", "key must be the beginning of the names of the columns, such as 'raw_', got ''")
    prefix = "" if key in ("auto", None) else key
    step = quality_step(mito, ribo, names, on, prefix)

    def compute() -> dict[str, Any]:
        refuse_values(ds, on, "quality", "there are no cells and genes to measure, so go on with kithkin.scale(ds)")
        model = Quality(gene_sets(ds.var, mito, ribo, names)).fit(ds.blocks(on), ds.execution)
        return quality_columns(model, prefix)

    columns = ds.results(step, compute, store=key is not None)
    cells = {one.name: columns[str(one)] for one in map(Key.parse, columns) if one.place == "obs"}
    return pd.DataFrame({name: np.asarray(value) for name, value in cells.items()}, index=ds.obs_names)


def of_values(ds: Dataset) -> bool:
    """Tell whether X was imported as values, which have no cells and genes to measure."""
    measured = any(entry.verb == "quality" for entry in ds.lineage.entries)
    return ds.stores_kind and ds.kind == "values" and not measured


def refuse_values(ds: Dataset, on: str, verb: str, advice: str) -> None:
    """Refuse a step that needs counts on a table that was imported as values."""
    if on == "X" and of_values(ds):
        reason = ds.kind_and_reason[1]
        raise ParameterError(
            f"{verb} is for counts, but X of {ds.name} holds values ({reason}): {advice}, or import it with "
            "kind='counts'"
        )


def quality_step(mito: str, ribo: str, names: str | None, on: str, prefix: str = "") -> Step:
    """The step that quality is, for the verbs that do it in their own pass."""
    names_of = {"obs": ("n_counts", "n_genes", "pct_mito", "pct_ribo"), "var": ("n_cells", "mean_counts")}
    outputs = [str(Key(place, f"{prefix}{one}")) for place, given in names_of.items() for one in given]
    parameters = {"mito": mito, "ribo": ribo, "names": names, "on": on}
    return Step("quality", REVISION, parameters, (on,), tuple(outputs))


def quality_columns(model: Quality, prefix: str = "") -> dict[str, Array]:
    """The columns of a fitted model by key."""
    columns = {f"obs/{prefix}n_counts": model.n_counts_, f"obs/{prefix}n_genes": model.n_genes_}
    columns |= {f"obs/{prefix}pct_{name}": share for name, share in model.percent_.items()}
    return columns | {f"var/{prefix}n_cells": model.n_cells_, f"var/{prefix}mean_counts": model.mean_counts_}


def gene_sets(var: pd.DataFrame, mito: str, ribo: str, names: str | None) -> Mapping[str, Array]:
    """Masks over the genes for each pattern."""
    if names is None:
        names = next((name for name in SYMBOLS if name in var.columns), None)
    else:
        check_known([names], list(map(str, var.columns)), "names must be a column of var, got")
    texts = [str(text) for text in (var.index if names is None else var[names])]
    return {"mito": _matches("mito", mito, texts), "ribo": _matches("ribo", ribo, texts)}


def _matches(name: str, pattern: str, texts: list[str]) -> Array:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ParameterError(f"{name} must be a regular expression, got {pattern!r}: {error}") from error
    return np.array([compiled.search(text) is not None for text in texts], bool)
