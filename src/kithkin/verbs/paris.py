"""Clusters cut from the tree of the neighbour graph (Paris)."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.leiden import by_size
from kithkin.models.paris.dendrogram import Dendrogram
from kithkin.models.paris.paris import check_cut, cut, grow
from kithkin.verbs.arguments.labels import label_column
from kithkin.verbs.support import fit_support, table_behind


def paris(
    ds: Dataset,
    n_clusters: int | Literal["auto", "supported"] = "auto",
    *,
    min_size: int | None = None,
    balanced: int | None = None,
    weights: Literal["shared", "graph"] = "shared",
    on: str = "obsp/connectivities",
    key: str | None = "obs/paris",
) -> pd.Series[Any]:
    """Clusters cut from the tree of the neighbour graph (Paris); another cut of the stored tree costs nothing.

    Parameters
    ----------
    ds
        The dataset.
    n_clusters
        Exact number of clusters; "auto": the most persistent ones, without a resolution to choose. "supported": these,
        where those that are not told apart are one cluster, as by `kithkin.support`: by the counts of X, or by the
        values that the graph was made of.
    min_size
        Size of the smallest cluster, where no number is given; by default a two-hundredth of the cells, or a twentieth
        of the bound.
    balanced
        Size of the largest cluster, from which the number of clusters follows; no bound by default.
    weights
        "shared": weigh links by how many neighbours their ends have in common. "graph": as they are in the graph.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned.

    Returns
    -------
    Series
        n labels "0", "1", ... by descending size, categorical. Stored in uns, for all cuts of one graph:
        paris_tree (children, heights and sizes of the n - 1 merges).

    Raises
    ------
    MissingResultError
        If there is no graph yet.
    ParameterError
        If a setting is out of range, or has no effect beside another.

    References
    ----------
    Bonald, Charpentier, Galland and Hollocou 2018, arXiv:1806.01664.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3, seed=1), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> kk.paris(ds).nunique(), kk.paris(ds, 7, key="obs/seven").nunique()
    (3, 7)
    >>> kk.paris(ds, "supported", min_size=10, key="obs/supported").nunique() <= 3
    True
    """
    tested = n_clusters == "supported"
    known = not isinstance(n_clusters, str) or n_clusters in {"auto", "supported"}
    check(known, f"n_clusters must be a number, 'auto' or 'supported', got {n_clusters!r}")
    check_cut("auto" if tested else n_clusters, min_size, balanced, ds.n_obs)
    check(not tested or balanced is None, "balanced has no effect with n_clusters='supported'")
    target = Key.of(key, "obs/paris")
    # one tree for each graph and way of weighting it
    graph = "" if on == "obsp/connectivities" else f"_{Key.parse(on, option='on').name}"
    key_, uns = str(target), str(target.beside("uns"))
    tree_key = f"uns/paris_tree{graph}" + ("" if weights == "shared" else f"_{weights}")
    tree = Step("paris_tree", 1, {"weights": weights, "on": on}, (on,), (tree_key,))

    def grow_tree() -> dict[str, Any]:
        return {tree_key: grow(ds.read(on), weights, ds.execution).arrays()}

    kept = key is not None or ds.lineage.is_current(tree)
    found = Dendrogram.of(ds.result(tree, grow_tree, store=kept))
    table = table_behind(ds, on) if tested else "X"
    settings = {"n_clusters": n_clusters, "min_size": min_size, "balanced": balanced}

    def compute() -> dict[str, Any]:
        by_number = isinstance(n_clusters, int) and balanced is None
        how = "auto" if tested else n_clusters
        labels = cut(found, None if by_number else ds.read(on), how, min_size, balanced)
        if tested:
            labels = by_size(fit_support(ds, labels, on, table).labels_)
        params = {name: value for name, value in settings.items() if value is not None}
        return {key_: label_column(ds, key_, labels), uns: {"params": params, "tree": tree_key}}

    if key is None:
        return compute()[key_]  # type: ignore[no-any-return]
    inputs = (tree_key,) if balanced is None and isinstance(n_clusters, int) else (tree_key, on)
    inputs = (*inputs, table) if tested else inputs
    revision = 3 if isinstance(n_clusters, str) and balanced is None else 1
    return ds.result(Step("paris", revision, settings, inputs, (key_, uns)), compute)  # type: ignore[no-any-return]
