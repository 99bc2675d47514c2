"""Name each cluster by the label that is most common in it."""

from __future__ import annotations

from collections import Counter
from itertools import count
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.verbs.arguments.labels import Labels, label_column, labels_of, log

UNKNOWN = "unknown"


def relabel(ds: Dataset, on: str, *, by: str, key: str | None = "obs/cluster_label") -> pd.DataFrame:
    """Name each cluster by the label that is most common in it.

    Clusters that share a label get a letter in order of size: 1a is the largest of the ones, then 1b (aa follows z). Of
    two labels that are equally common the first wins. A cluster without any label is "unknown".

    Parameters
    ----------
    ds
        The dataset.
    on
        Column of obs with the clusters.
    by
        Column of obs with the labels.
    key
        Key under which the result is stored; without one it is only returned.

    Returns
    -------
    DataFrame
        One row per cluster, in the order of the new names: cluster, label (the new name), most_common, share (fraction
        of the observations with a label, 0 to 1), size, second and second_share (the next label, or missing).
        `attrs["unclaimed"]` lists the labels that are most common in no cluster; a note says so too.

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If the new names would take the place of what they are made from.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.kmeans(ds, 3)
    >>> relabel(ds, "obs/kmeans", by="obs/group")["label"].tolist()
    ['0a', '0b', '1']
    """
    clusters, classes = labels_of(ds, on, "on"), labels_of(ds, by, "by")
    target = str(Key.of(key, "obs/cluster_label"))
    check(target not in (clusters.key, classes.key), f"key must be another column than {target}, which is read")
    table = _name_clusters(clusters, classes)
    if table.attrs["unclaimed"]:
        log.warning("labels that are most common in no cluster: %s", ", ".join(table.attrs["unclaimed"]))
    order = np.empty(len(clusters.names), np.int64)
    order[pd.Index(clusters.names).get_indexer(pd.Index(table["cluster"]))] = np.arange(len(table))

    def compute() -> dict[str, Any]:
        codes = np.where(clusters.codes < 0, -1, order[clusters.codes])
        return {target: label_column(ds, target, codes, table["label"])}

    step = Step("relabel", 1, {"on": clusters.key, "by": classes.key}, (clusters.key, classes.key), (target,))
    ds.result(step, compute, store=key is not None)
    return table


def _name_clusters(clusters: Labels, classes: Labels) -> pd.DataFrame:
    """Make the table of clusters and their names, by label and then by size."""
    counts, sizes, n_classes = clusters.contingency(classes), clusters.sizes, len(classes.names)
    ranked = np.argsort(-counts, axis=1, kind="stable")[:, :2]  # of equal counts the first class wins
    known = counts.sum(axis=1)
    best = np.where(known > 0, ranked[:, 0] if n_classes else n_classes, n_classes)
    order = np.lexsort((np.arange(len(sizes)), -sizes, best))
    table = pd.DataFrame({"cluster": np.array(clusters.names, dtype=object)[order]})
    names = [*classes.names, UNKNOWN]
    found = [names[k] for k in best[order]]
    times, dash, made = Counter(found), "", found
    # where a letter makes another name, as 1a of the labels "1" and "1a", a dash is put between
    while made is found or len(set(made)) < len(made):
        letters = {name: count(1) for name in times}
        made = [name if times[name] == 1 else f"{name}{dash}{_letters(next(letters[name]))}" for name in found]
        dash += "-"
    table["label"] = made
    for rank, (label, fraction) in enumerate((("most_common", "share"), ("second", "second_share"))):
        most = counts[order, ranked[order, rank]] if rank < n_classes else np.zeros(len(order), int)
        won = [names[ranked[k, rank]] if most[i] else None for i, k in enumerate(order)]
        table[label] = pd.Series(won, dtype=object)
        table[fraction] = np.divide(most, known[order], out=np.full(len(order), np.nan), where=most > 0)
        if rank == 0:
            table["size"] = sizes[order]
    table.attrs["unclaimed"] = [name for k, name in enumerate(classes.names) if k not in set(best.tolist())]
    return table


def _letters(number: int) -> str:
    """Count as the columns of a spreadsheet do: a for 1, z for 26, aa for 27."""
    text = ""
    while number:
        number, digit = divmod(number - 1, 26)
        text = ascii_lowercase[digit] + text
    return text
