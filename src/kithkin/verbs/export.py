"""Write a dataset for other programs: AnnData's file, a table, or a folder for R."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import KithkinError, ParameterError, check
from kithkin.core.files import whole
from kithkin.core.keys import Key
from kithkin.core.suggest import did_you_mean
from kithkin.core.tables import FORMATS, SEPARATORS, embedding_columns, with_symbols, write_table
from kithkin.io.formats.h5ad_writer import write_h5ad
from kithkin.io.formats.tenx_writer import CELLS, write_dense, write_tenx
from kithkin.optional import need
from kithkin.verbs.markers import as_table

MARKERS = "uns/rank_genes_groups"


def export(ds: Dataset, to: str | Path, *, what: str | None = None, overwrite: bool = False) -> Path:
    """Write a dataset for other programs: AnnData's file (.h5ad), a table (.csv, .tsv, .parquet) or a folder for R.

    Nothing is at the destination until it is whole. X, the layers and the embeddings are streamed.

    Parameters
    ----------
    ds
        The dataset.
    to
        Path of the result, by whose end its form is chosen. ".h5ad": everything, for scanpy. ".csv", ".tsv", ".json"
        or ".parquet": one table, compressed if ".gz" follows ".csv" or ".tsv". Without an ending: a new folder with
        the three files of 10x, which Seurat's Read10X reads, and obs.csv, var.csv and the embeddings as tables.
    what
        Table to write: "obs" with the embeddings as columns (by default), "var", "markers", or a key such as
        "obsm/X_pca" or "X".
    overwrite
        Replace what is there, once the new one is whole.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    ParameterError
        If the end of the path is not known, or `what` is no table.
    MissingResultError
        If the table is not in the dataset.
    KithkinError
        If `to` exists, or the disk is full.

    Examples
    --------
    >>> import kithkin as kk, pandas as pd, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=folder + "/a.zarr")
    >>> path = kk.export(ds, folder + "/cells.csv")
    >>> pd.read_csv(path)["n_counts"].sum() == ds.read("obs/n_counts").sum()
    np.True_
    """
    target = Path(to).expanduser().absolute()
    check(ds.path != target and ds.path not in target.parents, f"to must be outside {ds.name}, which is read")
    form = _form(str(to))
    one_table = form not in ("h5ad", "folder")
    check(one_table or what is None, f"what needs a path that ends in .csv, .tsv, .json or .parquet, got {str(to)!r}")
    if overwrite and target.is_dir() and not (target / CELLS).is_file():
        raise KithkinError(f"{target} is a folder that kithkin did not export: choose another name")
    if form == "parquet":
        need("pyarrow", "all", "export to .parquet")
    what = what or "obs"
    with whole(target, overwrite=overwrite) as staged:
        if form == "h5ad":
            write_h5ad(ds, staged)
        elif form == "folder":
            write_tenx(ds, staged)
        elif what == "X" or what.startswith("layers/"):
            check(form in SEPARATORS, f"{what} is written to .csv, .tsv or .h5ad, got {str(to)!r}")
            write_dense(ds, what, staged, SEPARATORS[form])
        else:
            write_table(_table(ds, what), form, staged)
    return target


def _form(to: str) -> str:
    """Choose the form by the end of a path."""
    path = Path(to)
    ends = [end[1:].lower() for end in path.suffixes[-2:]]
    if ends[-1:] == ["gz"] and ends[0] in SEPARATORS:
        return ends[0]
    if not ends or to.endswith("/") or path.is_dir():
        return "folder"
    known = ", ".join(f".{form}" for form in ("h5ad", *FORMATS))
    loom = ": write .h5ad, from which loompy and SeuratDisk make loom" if ends[-1] == "loom" else ""
    check(
        ends[-1] in ("h5ad", *FORMATS), f"to must end in {known}, or in / for a folder that R reads, got {to!r}{loom}"
    )
    return ends[-1]


def _table(ds: Dataset, what: str) -> pd.DataFrame:
    """Read the table that is named."""
    if what == "obs":
        keys = ds.keys()
        elements = {key.partition("/")[2]: key for key in keys if key.startswith("obsm/")}
        found = (embedding_columns(name, ds.read(key), ds.obs_names) for name, key in elements.items())
        return pd.concat([ds.obs, *(table for table in found if table is not None)], axis=1)
    if what == "var":
        return ds.var
    if what == "markers":
        ds.need(MARKERS)
        return with_symbols(as_table(ds.read(MARKERS)), ds.var_names, ds.var_labels)
    if "/" not in what and what != "X":
        near = did_you_mean(what, ["obs", "var", "markers", *ds.keys()])
        raise ParameterError(
            f"what must be a table, such as 'obs', 'var', 'markers' or 'obsm/X_pca', got {what!r}{near}"
        )
    key = Key.parse(what, option="what")
    value = ds.read(what)
    if isinstance(value, pd.Series):
        value = value.to_frame()
    elif not isinstance(value, pd.DataFrame):
        names = {"obsm": ds.obs_names, "varm": ds.var_names}
        value = embedding_columns(key.name, value, names[key.place]) if key.place in names else None
    if value is None:
        raise ParameterError(f"what must be a table, such as 'obs', 'var', 'markers' or 'obsm/X_pca', got {what!r}")
    table: pd.DataFrame = value
    return table
