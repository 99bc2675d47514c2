"""Communities of the neighbour graph (Leiden)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.leiden import Leiden
from kithkin.verbs.arguments.labels import label_column


def leiden(
    ds: Dataset,
    resolution: float = 1.0,
    *,
    max_iter: int = 2,
    on: str = "obsp/connectivities",
    key: str | None = "obs/leiden",
    seed: int = 0,
) -> pd.Series[Any]:
    """Communities of the neighbour graph (Leiden).

    Parameters
    ----------
    ds
        The dataset.
    resolution
        Resolution parameter: higher values give more and smaller clusters.
    max_iter
        Rounds of the algorithm at most; -1: until nothing changes.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the random numbers.

    Returns
    -------
    Series
        n labels "0", "1", ... by descending size, categorical.

    Raises
    ------
    MissingResultError
        If there is no graph yet.

    References
    ----------
    Traag, Waltman and van Eck 2019, doi:10.1038/s41598-019-41695-z.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3, seed=1), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> kk.leiden(ds).nunique() >= 3
    True
    """
    target = Key.of(key, "obs/leiden")
    key_, uns = str(target), str(target.beside("uns"))
    parameters = {"resolution": resolution, "max_iter": max_iter, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = Leiden(resolution, max_iter=max_iter, seed=seed).fit(ds.blocks(on), ds.execution)
        about = {"params": parameters, "modularity": model.modularity_}
        return {key_: label_column(ds, key_, model.labels_), uns: about}

    step = Step("leiden", 3, parameters, (on,), (key_, uns))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
