"""Pseudobulks: the counts of all cells of a sample, or of a cluster within it, added up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kithkin.core.anndata_elements import anndata_io
from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.elements import plain_strings
from kithkin.core.errors import check
from kithkin.core.files import whole
from kithkin.core.tables import FORMATS, table_of, write_table
from kithkin.models.samples.pseudobulk import Pseudobulk
from kithkin.optional import need
from kithkin.verbs.arguments.normalization import check_counts, check_table
from kithkin.verbs.arguments.samples import check_sums, combined, groups_of

if TYPE_CHECKING:
    from anndata import AnnData


def pseudobulk(
    ds: Dataset,
    by: str | Sequence[str],
    *,
    on: str = "X",
    to: str | Path | None = None,
    overwrite: bool = False,
) -> AnnData:
    """Sum the counts of the cells of each sample, or of each cluster within each sample, in one pass.

    The sums are what other programs for bulk RNA sequencing take, such as DESeq2, edgeR and limma. `kithkin.contrast`
    tests them without this step.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs, or several, such as "obs/sample" and "obs/leiden": one row of the result for each combination of
        their labels that has cells. Cells without a label are left out.
    on
        Table of counts: X or a layer.
    to
        File for the result: .h5ad, or a table .csv, .tsv, .json or .parquet with a row for each combination. Without
        one the result is only returned.
    overwrite
        Replace the file, once the new one is whole.

    Returns
    -------
    AnnData
        X: sums, k x p, int64 where counts are stored as integers. obs: the columns of `by`, n_cells, and the columns of
        obs that hold one value in all cells of each combination, such as a condition. var: as in the dataset.

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If a column holds measurements, the table does not hold counts, or the sums do not fit the memory.
    KithkinError
        If the file exists.

    References
    ----------
    Crowell et al. 2020, doi:10.1038/s41467-020-19894-4. Squair et al. 2021, doi:10.1038/s41467-021-25960-2.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "sample", ["s1", "s2"] * 50), kk.annotate(ds, "donor", ["d1", "d2"] * 50)
    >>> bulk = kk.pseudobulk(ds, ["obs/sample", "obs/group"])
    >>> bulk.obs_names.tolist(), list(bulk.obs.columns)
    (['s1_0', 's1_1', 's2_0', 's2_1'], ['sample', 'group', 'n_cells', 'donor'])
    >>> int(bulk.X.sum()) == int(ds.read("obs/n_counts").sum()), int(bulk.obs["n_cells"].sum())
    (True, 100)
    """
    from anndata import AnnData

    listed = [by] if isinstance(by, str) else list(by)
    check(bool(listed), "by must name at least one column of obs, got none")
    form = None if to is None else form_of(str(to))
    check_table(on)
    ds.need(on)
    check_counts(ds, on, "pseudobulk")
    labels = [groups_of(ds, column, "by") for column in dict.fromkeys(listed)]
    codes, obs = combined(labels)
    check(len(obs) > 0, f"no row has a label in {' and '.join(one.key for one in labels)}")
    size, budget = 3 * 8 * len(obs) * ds.n_vars, ds.execution.memory  # a sum of each thread, and the total
    fits = f"by makes {len(obs):,} combinations of {ds.n_vars:,} genes, which need memory={size / 1e6:,.0f}MB"
    check(size <= budget, f"{fits}, and {budget / 1e6:,.0f}MB are set: name fewer columns, or open with more memory")
    model = Pseudobulk().fit(ds.blocks(on), codes, ds.execution)
    check_sums(model.sums_, ds, on, "pseudobulk")
    obs["n_cells"] = model.n_cells_
    obs = plain_strings(obs.join(constant_columns(ds.obs, codes, obs)))
    bulk = AnnData(model.sums_, obs=obs, var=plain_strings(pd.DataFrame(ds.var)))
    if to is not None and form is not None:
        with whole(to, overwrite=overwrite) as staged:
            write_bulk(bulk, staged, form)
    return bulk


def constant_columns(obs: pd.DataFrame, codes: Array, table: pd.DataFrame) -> pd.DataFrame:
    """Take the columns of obs that hold one value in all rows of each combination."""
    rows = np.flatnonzero(codes >= 0)
    first = np.full(len(table), -1, np.int64)
    first[codes[rows[::-1]]] = rows[::-1]
    kept = {}
    for name in obs.columns.difference(table.columns, sort=False):
        values = pd.factorize(obs[name])[0]
        if (values[rows] == values[first[codes[rows]]]).all():
            kept[name] = obs[name].iloc[first].set_axis(table.index)
    return pd.DataFrame(kept, index=table.index)


def form_of(to: str) -> str:
    """Choose the form by the end of the path."""
    form = Path(to).suffix[1:].lower()
    known = ("h5ad", *FORMATS)
    check(form in known, f"to must end in {', '.join(f'.{one}' for one in known)}, got {to!r}")
    if form == "parquet":
        need("pyarrow", "all", "pseudobulk to .parquet")
    return form


def write_bulk(bulk: Any, path: Path, form: str) -> None:
    """Write the sums as AnnData's file, or as a table with the columns of obs first."""
    if form == "h5ad":
        with anndata_io():
            bulk.write_h5ad(path)
        return
    write_table(table_of(bulk), form, path)
