"""Smooth genes or scores over the neighbour graph: each cell takes a mean of the cells around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.propagation.propagation import Propagation
from kithkin.verbs.arguments.values import values_of


def smooth(
    ds: Dataset,
    values: str | Sequence[str] | Any,
    *,
    alpha: float = 0.9,
    normalize: Literal["log1p"] | None = "log1p",
    on: str = "obsp/connectivities",
    key: str | None = "obsm/smoothed",
) -> pd.DataFrame:
    """Smooth genes or scores over the neighbour graph: each cell takes a mean of the cells around it.

    Neighbours are weighted as in `propagate`: a constant stays constant, and no value leaves the range of the others.

    Parameters
    ----------
    ds
        The dataset.
    values
        One or several of: a gene, "obs/score", "obsm/topics", "var/highly_variable" (the genes that it marks). In
        Python also n or n x g numbers.
    alpha
        Share of the neighbours, above 0 and below 1: means reach about 1 / (1 - alpha) steps.
    normalize
        "log1p": genes as log1p(count / total * 10,000). Without normalisation counts stay as they are.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned.

    Returns
    -------
    DataFrame
        n x g, float32: genes first, then other columns.

    Raises
    ------
    MissingResultError
        If there is no graph, or a column is not there.
    ParameterError
        If alpha is out of range, a gene is unknown, or a value is missing.

    References
    ----------
    van Dijk et al. 2018, doi:10.1016/j.cell.2018.05.061, on sharing of counts between neighbours.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3, seed=1), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> table = smooth(ds, [ds.var_names[0], "obs/n_counts"])
    >>> table.shape, bool(table["n_counts"].std() < ds.read("obs/n_counts").std())
    ((200, 2), True)
    """
    wanted = values_of(ds, values, normalize)
    key_ = str(Key.of(key, "obsm/smoothed"))
    check(len(set(wanted.names)) == len(wanted.names), "values must not name a column twice")
    parameters = {"alpha": alpha, "on": on} | wanted.parameters

    def compute() -> dict[str, Any]:
        model, graph = Propagation(alpha, normalize="row"), ds.read(on)
        smoothed: list[Array] = []
        for table in wanted.tables():
            smoothed.append(np.zeros(table.shape, np.float32))
            some = table.any(axis=0)  # a column of zeros stays one, and has no seed
            if some.any():
                smoothed[-1][:, some] = np.nan_to_num(model.fit(graph, table[:, some], ds.execution).scores_)
        names = pd.Index(wanted.names, dtype=object)
        return {key_: pd.DataFrame(np.hstack(smoothed), index=ds.obs_names, columns=names)}

    step = Step("smooth", 2, parameters, (on, *wanted.inputs), (key_,))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
