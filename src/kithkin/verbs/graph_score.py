"""Spatial autocorrelation of genes or scores over the neighbour graph: Moran's I and Geary's C, with tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.autocorrelation import Autocorrelation
from kithkin.verbs.arguments.values import values_of

SCORES = ("morans_i", "morans_pval", "morans_pval_sampled", "gearys_c", "gearys_pval", "gearys_pval_sampled")


def graph_score(
    ds: Dataset,
    values: str | Sequence[str] | Any,
    *,
    normalize: Literal["log1p"] | None = "log1p",
    n_permutations: int = 100,
    on: str = "obsp/connectivities",
    key: str | None = "uns/graph_score",
    seed: int = 0,
) -> pd.DataFrame:
    """Smoothness of genes or scores over the neighbour graph: Moran's I and Geary's C, tested by permutation.

    Parameters
    ----------
    ds
        The dataset.
    values
        One or several of: a gene, "obs/score", "obsm/topics", "var/highly_variable" (the genes that it marks). In
        Python also n or n x g numbers. Many genes are streamed, so many at a time as the budget allows.
    normalize
        "log1p": genes as log1p(count / total * 10,000). Without normalisation counts stay as they are.
    n_permutations
        Number of random permutations of the cells, for the sampled p-values; these take most of the time: 0 leaves them
        out.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the permutations.

    Returns
    -------
    DataFrame
        One row for each value, genes first: morans_i (1 smooth, 0 chance), morans_pval (from the mean and variance over
        all permutations), morans_pval_sampled (from random ones), and the same for gearys_c (0 smooth, 1 chance).
        NaN for values that do not vary.

    Raises
    ------
    MissingResultError
        If there is no graph, or a column is not there.
    ParameterError
        If a gene is unknown, or a value is missing.

    References
    ----------
    Moran 1950, doi:10.1093/biomet/37.1-2.17. Geary 1954, doi:10.2307/2986645.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> table = graph_score(ds, ["obsm/X_pca", "obs/n_counts"], n_permutations=20)
    >>> bool(table.loc["X_pca[0]", "morans_i"] > 0.5), table.shape
    (True, (6, 6))
    """
    wanted = values_of(ds, values, normalize)
    uns = str(Key.of(key, "uns/graph_score"))
    parameters = {"n_permutations": n_permutations, "on": on, "seed": seed} | wanted.parameters

    def compute() -> dict[str, Any]:
        model = Autocorrelation(n_permutations, seed=seed).fit(ds.read(on), wanted.tables(), ds.execution)
        columns = {name: getattr(model, f"{name}_") for name in SCORES}
        return {uns: pd.DataFrame(columns, index=pd.Index(wanted.names, dtype=object))}

    step = Step("graph_score", 2, parameters, (on, *wanted.inputs), (uns,))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
