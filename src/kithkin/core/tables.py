"""Tables as text and as Parquet, for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:  # the help of the commands, which lists the forms, does without pandas
    import pandas as pd

FORMATS = ("tsv", "csv", "json", "parquet")
SEPARATORS = {"tsv": "\t", "csv": ","}
GENE, GENE_ID = "gene", "gene_id"  # columns of tables of genes
NAMES = ("name", "row", "row_name")  # heading of the names of rows, where they have none: the first that is free


def write_table(table: pd.DataFrame, form: str, to: TextIO | Path) -> None:
    """Write a table whole; the names of its rows become the first column, numbers of rows are left out.

    Parameters
    ----------
    table
        The table.
    form
        "tsv", "csv", "json" (a list of one object a row, missing values as null) or "parquet".
    to
        An open text file, or the path of a file; Parquet needs a path.

    Examples
    --------
    >>> import pandas as pd, sys
    >>> write_table(pd.DataFrame({"gene": ["CD3E"], "score": [2.5]}, index=["T"]), "csv", sys.stdout)
    name,gene,score
    T,CD3E,2.5
    >>> write_table(pd.DataFrame({"name": ["T cells"]}, index=["cell1"]), "csv", sys.stdout)
    row,name
    cell1,T cells
    """
    if table.index.dtype.kind != "i" or table.index.nlevels > 1:
        free = next(name for name in (*NAMES, "_".join(map(str, ("row", *table.columns)))) if name not in table.columns)
        table = table.reset_index(
            names=[free if name in (None, *table.columns) else name for name in table.index.names]
        )
    target: Any = to
    if form in SEPARATORS:
        table.to_csv(target, sep=SEPARATORS[form], index=False)
    elif form == "json":
        table.to_json(target, orient="records", date_format="iso", double_precision=15)
    else:
        table.to_parquet(target, index=False)


def table_of(adata: Any) -> pd.DataFrame:
    """Put the columns of obs and the values of X side by side.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> adata = anndata.AnnData(np.array([[3, 4]]), obs=pd.DataFrame({"n_cells": [2]}, index=["s1"]))
    >>> table_of(adata).to_dict("records")
    [{'n_cells': 2, '0': 3, '1': 4}]
    """
    import pandas as pd

    table: pd.DataFrame = pd.concat([adata.obs, adata.to_df()], axis=1)
    return table


def with_symbols(table: pd.DataFrame, names: pd.Index[str], labels: pd.Index[str]) -> pd.DataFrame:
    """Name the genes of a table by their symbols, with the identifiers in a column of their own, where these differ.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"gene": ["ENSG0001"], "score": [2.5]})
    >>> with_symbols(table, pd.Index(["ENSG0001"]), pd.Index(["CD3E"])).to_dict("list")
    {'gene': ['CD3E'], 'gene_id': ['ENSG0001'], 'score': [2.5]}
    """
    if GENE not in table.columns or GENE_ID in table.columns or labels.equals(names):
        return table
    genes = table[GENE].astype(object)
    named = genes.map(labels.to_series(index=names))
    table = table.assign(gene=named.where(named.notna(), genes))
    table.insert(list(table.columns).index(GENE) + 1, GENE_ID, genes)
    return table


def embedding_columns(name: str, value: Any, index: pd.Index[str]) -> pd.DataFrame | None:
    """Name the columns of an element of obsm, such as X_umap_1 and X_umap_2; None unless it is a plain table.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> embedding_columns("X_umap", np.zeros((2, 2)), pd.Index(["a", "b"])).columns.tolist()
    ['X_umap_1', 'X_umap_2']
    """
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return value.add_prefix(f"{name}_")
    if not isinstance(value, np.ndarray) or value.ndim != 2 or value.dtype.kind not in "biuf":
        return None
    return pd.DataFrame(value, index=index, columns=[f"{name}_{number}" for number in range(1, value.shape[1] + 1)])
