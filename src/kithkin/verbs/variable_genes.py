"""Mark the genes that vary more between cells than their mean explains."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, Block, Mapped, SparseRows
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check_choice
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.variable_genes import VariableGenes
from kithkin.verbs.arguments.batches import batches_of
from kithkin.verbs.arguments.labels import Labels, few
from kithkin.verbs.arguments.normalization import resolve_normalize
from kithkin.verbs.quality import refuse_values

log = logging.getLogger("kithkin")
FEWEST = {"dispersion": 1, "vst": 2}  # cells of a batch
VARIABLE_COLUMNS = {
    "dispersion": ("means", "dispersions", "dispersions_norm"),
    "vst": ("means", "variances", "variances_norm", "highly_variable_rank"),
}
ATTRIBUTES = {
    "means": "means_",
    "dispersions": "dispersions_",
    "dispersions_norm": "dispersions_norm_",
    "variances": "variances_",
    "variances_norm": "variances_norm_",
    "highly_variable_rank": "rank_",
    "highly_variable_nbatches": "n_batches_",
}


def variable_genes(
    ds: Dataset,
    n_genes: int = 3000,
    *,
    flavor: Literal["vst", "dispersion"] = "vst",
    batch: str | None = None,
    span: float = 0.3,
    on: str = "X",
    key: str | None = "var/highly_variable",
) -> pd.DataFrame:
    """Mark the genes that vary more between cells than their mean explains.

    Parameters
    ----------
    ds
        The dataset.
    n_genes
        Number of genes to mark.
    flavor
        "vst": variance of counts standardised by a trend fitted to the mean (Seurat v3); needs integers.
        "dispersion": normalised dispersion of log-normalised values in bins of the mean (Seurat).
    batch
        Column of obs with two batches or more; genes are ranked within each and the ranks combined. All cells are one
        batch by default.
    span
        Fraction of the genes in each local regression of "vst": a larger one for few genes.
    on
        Table of counts; for "dispersion" it may also be log-normalised.
    key
        Key under which the result is stored; without one it is only returned.

    Returns
    -------
    DataFrame
        p rows: highly_variable, means, and the dispersions or variances behind it.

    Raises
    ------
    ParameterError
        If n_genes is more than there are, "vst" is asked for values that are not integers, X holds values that are not
        those of genes, a cell has no batch, or a batch has too few cells for "vst".

    References
    ----------
    Satija et al. 2015, doi:10.1038/nbt.3192. Stuart et al. 2019, doi:10.1016/j.cell.2019.05.031.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> int(kk.variable_genes(ds, 50)["highly_variable"].sum())
    50
    """
    target = Key.of(key, "var/highly_variable")
    check_choice("flavor", flavor, tuple(VARIABLE_COLUMNS))
    batches = None if batch is None else batches_of(ds, batch, least=FEWEST[flavor])
    batch_key = None if batches is None else batches.key
    parameters = {"n_genes": n_genes, "flavor": flavor, "batch": batch_key, "span": span, "on": on}
    columns = VARIABLE_COLUMNS[flavor] + (() if batch is None else ("highly_variable_nbatches",))
    prefix = "" if target.name == "highly_variable" else f"{target.name}_"
    outputs = (str(target), *(f"var/{prefix}{column}" for column in columns))
    inputs = (on, *(() if batch_key is None else (batch_key,)))

    def compute() -> dict[str, Any]:
        refuse_values(ds, on, "variable_genes", "all columns take part, so go on with kithkin.scale(ds)")
        model = VariableGenes(n_genes, flavor=flavor, batch=None if batches is None else batches.codes, span=span)
        blocks: Any = ds.blocks(on)
        totals = None if flavor == "vst" else totals_of(ds, on)
        if flavor != "vst" and resolve_normalize(ds, on, "log1p") is None:
            # the dispersion is that of normalised counts without the logarithm
            blocks, totals = Mapped(blocks, _undo_logarithm), np.full(ds.n_obs, model.target_sum)
        if batches is not None:
            note_single(batches)
        model.fit(blocks, totals=totals, execution=ds.execution)
        return dict(zip(outputs, (model.mask_, *(getattr(model, ATTRIBUTES[c]) for c in columns)), strict=True))

    found = ds.results(Step("variable_genes", 3, parameters, inputs, outputs), compute, store=key is not None)
    table = {
        column: np.asarray(found[output]) for column, output in zip(("highly_variable", *columns), outputs, strict=True)
    }
    return pd.DataFrame(table, index=ds.var_names)


def note_single(batches: Labels) -> None:
    """Note batches of one cell, in which no gene varies."""
    single = [name for name, size in zip(batches.names, batches.sizes, strict=True) if size == 1]
    if single:
        log.warning("no gene varies in batches of one cell: %s of %s", few(single), batches.key)


def _undo_logarithm(block: Block, _start: int) -> Block:
    if isinstance(block, SparseRows):
        return SparseRows(np.expm1(block.data), block.indices, block.indptr, block.n_columns)
    values: Array = np.expm1(block)
    return values
