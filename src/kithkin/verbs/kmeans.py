"""Clusters around k means, streamed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.kmeans import KMeans
from kithkin.verbs.arguments.labels import label_column


def kmeans(
    ds: Dataset,
    n_clusters: int = 8,
    *,
    n_starts: int = 10,
    on: str = "obsm/X_pca",
    key: str | None = "obs/kmeans",
    seed: int = 0,
) -> pd.Series[Any]:
    """Clusters around k means, in streaming passes.

    Parameters
    ----------
    ds
        The dataset.
    n_clusters
        Number of clusters.
    n_starts
        Starts on a sample of the rows, of which the best goes on over all of them.
    on
        Table to read.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the initialisation.

    Returns
    -------
    Series
        n labels "0", "1", ... by descending size, categorical. The centres are stored in uns under the same name.

    Raises
    ------
    MissingResultError
        If the table is not there yet.
    ParameterError
        If n_clusters is more than there are cells.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5)
    >>> kk.kmeans(ds, 2).nunique()
    2
    """
    target = Key.of(key, "obs/kmeans")
    key_, uns = str(target), str(target.beside("uns"))
    parameters = {"n_clusters": n_clusters, "n_starts": n_starts, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        model = KMeans(n_clusters, n_starts=n_starts, seed=seed).fit(ds.blocks(on), ds.execution)
        order = np.argsort(-np.bincount(model.labels_, minlength=n_clusters), kind="stable")
        rank = np.empty(n_clusters, np.int32)
        rank[order] = np.arange(n_clusters)
        about = {"params": parameters, "centers": model.cluster_centers_[order], "inertia": float(model.inertia_)}
        return {key_: label_column(ds, key_, rank[model.labels_]), uns: about}

    step = Step("kmeans", 2, parameters, (on,), (key_, uns))
    return ds.result(step, compute, store=key is not None)  # type: ignore[no-any-return]
