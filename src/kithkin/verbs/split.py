"""Clusters taken apart, in the column where they are."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Mapped
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.kmeans import KMeans
from kithkin.models.leiden import Leiden, by_size
from kithkin.models.paris.paris import Paris
from kithkin.models.table.selection import Selection
from kithkin.verbs.arguments.labels import Labels, change_labels, label_column, log

READS = {"leiden": "obsp/connectivities", "paris": "obsp/connectivities", "kmeans": "obsm/X_pca"}


def split(
    ds: Dataset,
    by: str,
    cluster: str,
    *,
    method: Literal["leiden", "paris", "kmeans"] = "leiden",
    resolution: float = 1.0,
    n_clusters: int = 2,
    on: str | None = None,
    key: str | None = "auto",
    seed: int = 0,
) -> pd.Series[Any]:
    """Split one cluster into parts, in place: 3 becomes 3.1, 3.2, ... by descending size.

    Only what lies within the cluster is looked at: the links between its members, or their rows. A part can be split
    again (3.1 into 3.1.1, ...). Doing the same again is a look-up. If the method finds one group, nothing changes.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    cluster
        Label of the cluster to split.
    method
        "leiden" or "paris" on the graph of neighbours, "kmeans" on a table.
    resolution
        Resolution of Leiden: higher values give more parts.
    n_clusters
        Number of parts that paris or kmeans make.
    on
        Graph or table to read; by default "obsp/connectivities", or "obsm/X_pca" for kmeans.
    key
        Key under which the result is stored; without one it is only returned. "auto": the column itself; another column
        leaves the first as it is.
    seed
        Seed of Leiden and k-means.

    Returns
    -------
    Series
        n labels, categorical.

    Raises
    ------
    MissingResultError
        If there are no such clusters, or the graph or table is not there.
    ParameterError
        If the cluster is unknown or too small, or a setting has no effect on the method.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.kmeans(ds, 2)
    >>> split(ds, "obs/kmeans", "0", method="kmeans").cat.categories.tolist()
    ['0.1', '0.2', '1']
    """
    check_choice("method", method, tuple(READS))
    check(method == "leiden" or resolution == 1.0, f"resolution has no effect on {method}: give n_clusters")
    check(method != "leiden" or n_clusters == 2, "n_clusters has no effect on leiden: give a resolution")
    source, column = READS[method] if on is None else on, str(Key.parse(by, "obs", option="by"))
    setting = {"resolution": resolution} if method == "leiden" else {"n_clusters": n_clusters}
    parameters = {"by": column, "cluster": str(cluster), "method": method, **setting, "on": source}
    parameters |= {} if method == "paris" else {"seed": seed}

    def change(labels: Labels) -> pd.Series[Any]:
        (name,) = labels.require(cluster)
        position = labels.names.index(name)
        members = labels.codes == position
        check(int(members.sum()) > 1, f"{name} of {labels.key} is a single observation, which cannot be split")
        if method == "kmeans":
            blocks = ds.blocks(source)
            kept = Mapped(blocks, Selection(members, np.ones(blocks.shape[1], bool)))
            some: list[Any] = [kept.read(start, stop) for start, stop in kept.ranges]
            table: Any = (
                sparse.vstack([p.to_scipy() for p in some], format="csr") if blocks.is_sparse else np.concatenate(some)
            )
            parts = by_size(KMeans(n_clusters, seed=seed).fit(table, ds.execution).labels_)
        else:
            rows = np.flatnonzero(members)
            graph = ds.read(source)[rows][:, rows]
            if method == "leiden":
                parts = Leiden(resolution, seed=seed).fit(graph).labels_
            else:
                parts = Paris(n_clusters, weights="shared").fit(graph, ds.execution).labels_
        n_new = int(parts.max())
        if not n_new:
            log.warning("%s of %s stays whole: it was found to be one group", name, labels.key)
            return label_column(ds, labels.key, labels.codes, labels.names)
        names = [f"{name}.{k}" for k in range(1, n_new + 2)]
        clash = [new for new in names if new in labels.names]
        check(not clash, f"{labels.key} has a label {clash[0] if clash else ''} already: rename it first")
        codes = np.where(labels.codes > position, labels.codes + n_new, labels.codes)
        codes[members] = position + parts
        return label_column(ds, labels.key, codes, [*labels.names[:position], *names, *labels.names[position + 1 :]])

    revision = 1 if method == "paris" else 2
    return change_labels(ds, column, Step("split", revision, parameters, (source,), ()), key, change)
