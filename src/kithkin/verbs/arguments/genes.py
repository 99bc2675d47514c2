"""Choice of genes by a column of var."""

from __future__ import annotations

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.keys import Key


def genes_key(ds: Dataset, on: str, genes: str | None) -> str | None:
    """Return the key of the column of var that chooses genes; None for all.

    Parameters
    ----------
    ds
        The dataset.
    on
        Table that is read; the columns of one in obsm are not genes.
    genes
        Column of var; "auto": var/highly_variable if it is there.

    Raises
    ------
    ParameterError
        If a column is named for a table in obsm.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> genes_key(ds, "X", "auto") is None
    True
    >>> _ = kk.variable_genes(ds, 50)
    >>> genes_key(ds, "X", "auto")
    'var/highly_variable'
    """
    if on != "X" and Key.parse(on, option="on").place != "layers":
        check(genes in (None, "auto"), f"genes must be None for {on}, whose columns are not genes")
        return None
    if genes == "auto":
        return "var/highly_variable" if "var/highly_variable" in ds else None
    return None if genes is None else str(Key.parse(genes, "var", option="genes"))
