"""Clusters put together and taken apart, in the column where they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, Mapped
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice
from kithkin.core.history import Entry, Step, plain
from kithkin.core.keys import column_key
from kithkin.models.kmeans import KMeans
from kithkin.models.leiden import Leiden, by_size
from kithkin.models.paris.paris import Paris
from kithkin.models.table.selection import Selection
from kithkin.verbs.arguments.labels import Labels, label_column, labels_of

log = logging.getLogger("kithkin")
READS = {"leiden": "obsp/connectivities", "paris": "obsp/connectivities", "kmeans": "obsm/X_pca"}
PAST = ("after", "found")  # of a change in place: what was done to the column before, and what was in it
STALE = "what it was computed from has changed. Compute it again first, or give key another name"


def merge_labels(
    ds: Dataset, on: str, *, groups: Mapping[str, Any] | Sequence[str], key: str | None = "auto"
) -> pd.Series[Any]:
    """Merge clusters, in place.

    A merged cluster takes the place of its first member in the order of the labels. Doing the same again is a look-up;
    computing the clusters anew writes over it.

    Parameters
    ----------
    ds
        The dataset.
    on
        Column of obs with the clusters.
    groups
        New names and the clusters that each replaces: {"T cells": ["1", "3"]}, or texts "T cells=1,3".
    key
        Key under which the result is stored; without one it is only returned. "auto": the column itself; another column
        leaves the first as it is.

    Returns
    -------
    Series
        n labels, categorical.

    Raises
    ------
    ParameterError
        If a cluster is unknown or in two groups, or a new name is that of a cluster outside its group.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> merge_labels(ds, "obs/group", groups={"both": ["0", "2"]}).cat.categories.tolist()
    ['both', '1']
    """
    wanted = _groups(groups)

    def merged(labels: Labels) -> tuple[Array, list[str]]:
        taken: dict[str, str] = {}
        for name, members in wanted.items():
            for member in labels.require(*members):
                check(member not in taken, f"{member} is in two groups: {taken.get(member)} and {name}")
                taken[member] = name
        for name in wanted:
            alone = name not in labels.names or taken.get(name) == name
            check(alone, f"{name} is a label of {labels.key} already: put it in the group, or choose another name")
        renamed = [taken.get(name, name) for name in labels.names]
        names = list(dict.fromkeys(renamed))
        return pd.Index(names).get_indexer(pd.Index(renamed)), names

    def change(labels: Labels) -> pd.Series[Any]:
        position, names = merged(labels)
        return label_column(ds, labels.key, np.append(position, -1)[labels.codes], names)

    step = Step("merge_labels", 1, {"on": column_key(on), "groups": wanted}, (), ())
    return _changed(ds, column_key(on), step, key, change)


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
    source = on or READS[method]
    setting = {"resolution": resolution} if method == "leiden" else {"n_clusters": n_clusters}
    parameters = {"by": column_key(by), "cluster": str(cluster), "method": method, **setting, "on": source}
    parameters |= {} if method == "paris" else {"seed": seed}

    def change(labels: Labels) -> pd.Series[Any]:
        (name,) = labels.require(cluster)
        position = labels.names.index(name)
        members = labels.codes == position
        check(int(members.sum()) > 1, f"{name} of {labels.key} is a single observation, which cannot be split")
        if method == "kmeans":
            parts = by_size(KMeans(n_clusters, seed=seed).fit(_rows(ds, source, members), ds.execution).labels_)
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

    return _changed(ds, column_key(by), Step("split", 1, parameters, (source,), ()), key, change)


def _groups(groups: Mapping[str, Any] | Sequence[str]) -> dict[str, list[str]]:
    """Read groups from a mapping, or from texts such as "T cells=1,3"."""
    if not isinstance(groups, Mapping):
        texts = [groups] if isinstance(groups, str) else list(groups)
        pairs = [str(text).partition("=") for text in texts]
        for text, (name, sign, members) in zip(texts, pairs, strict=True):
            check(bool(name.strip() and sign and members), f"groups must look like 'T cells=1,3', got {text!r}")
        names = [name.strip() for name, _, _ in pairs]
        twice = [name for name in names if names.count(name) > 1]
        check(not twice, f"groups name {twice[0] if twice else ''} twice")
        groups = {name.strip(): [member.strip() for member in members.split(",")] for name, _, members in pairs}
    listed = (str, int, float, bool, np.generic)
    wanted = {
        str(name): [str(member) for member in ([members] if isinstance(members, listed) else members)]
        for name, members in groups.items()
    }
    check(bool(wanted), "groups must hold one group at least")
    empty = [name for name, members in wanted.items() if not members]
    check(not empty, f"groups lists no cluster for {empty[0] if empty else ''}")
    return wanted


def _rows(ds: Dataset, on: str, members: Array) -> Any:
    """Read the rows of the members into memory."""
    blocks = ds.blocks(on)
    kept = Mapped(blocks, Selection(members, np.ones(blocks.shape[1], bool)))
    parts: list[Any] = [kept.read(start, stop) for start, stop in kept.ranges]
    if blocks.is_sparse:
        return sparse.vstack([part.to_scipy() for part in parts], format="csr")
    return np.concatenate(parts)


def _changed(
    ds: Dataset, column: str, step: Step, key: str | None, change: Callable[[Labels], pd.Series[Any]]
) -> pd.Series[Any]:
    """Carry out a change of a column: in place, or into another column.

    A step whose output is its own input would be stale as soon as it is done. So what was in the column before, with
    all that had been done to it, is a parameter of the change in place; and its inputs are those from which the column
    was computed, so that it becomes stale when they change.
    """
    target = column if key in ("auto", None) else column_key(key)
    if target != column:
        step = replace(step, inputs=(column, *step.inputs), outputs=(target,))
    else:
        step = _in_position(ds, column, step)
        if ds.lineage.is_current(step):
            return ds.read(column)  # type: ignore[no-any-return]
        entry = _origin(ds, column)
        check(key is None or entry is None or not ds.lineage.is_stale(entry), f"{column} is stale: {STALE}")
    return ds.result(  # type: ignore[no-any-return]
        step, lambda: {target: change(labels_of(ds, column)).rename(target[4:])}, store=key is not None
    )


def _in_position(ds: Dataset, column: str, step: Step) -> Step:
    """The step as a change of the column in place; if it was the last thing done to it, that very step again."""
    ds.need(column)
    entry, inputs, earlier = _origin(ds, column), tuple[str, ...](), list[str]()
    if entry is not None:
        inputs = tuple(key for key in entry.inputs if not key.startswith("file:"))
        past = {name: entry.parameters.get(name) for name in PAST}
        again = {**step.parameters, **past}
        if entry.verb == step.verb and entry.parameters == plain(again):
            return replace(step, parameters=again, inputs=inputs, outputs=(column,))
        settings = (f"{name}={value!r}" for name, value in entry.parameters.items() if name not in PAST)
        earlier = [*(past["after"] or []), f"{entry.verb}({', '.join(settings)})"]
    parameters = {**step.parameters, "after": earlier, "found": ds.lineage.identity(column)}
    inputs = tuple(dict.fromkeys((*inputs, *step.inputs)))
    return replace(step, parameters=parameters, inputs=inputs, outputs=(column,))


def _origin(ds: Dataset, column: str) -> Entry | None:
    """Find the last step that wrote a column."""
    return next((entry for entry in reversed(ds.lineage.entries) if column in entry.outputs), None)
