"""What two columns of labels say about each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import column_key
from kithkin.metrics import partition
from kithkin.verbs.labels import Labels, column_of, labels_of

log = logging.getLogger("kithkin")
UNKNOWN = "unknown"


@dataclass(frozen=True, repr=False)
class Comparison:
    """How far two partitions agree; printing it shows all numbers.

    Attributes
    ----------
    on, to
        Columns: the clusters that are judged, and the classes that they are compared to.
    n
        Observations that have both labels.
    n_missing
        Observations left out, since one label is missing.
    ari, nmi, ami
        Adjusted Rand index; mutual information normalised by the mean of the entropies, and adjusted for chance.
    accuracy
        Share of observations that are right under the best one-to-one matching of clusters and classes (Hungarian).
    majority_accuracy
        Share that is right if each cluster stands for its most common class; this is the purity of the partition.
    homogeneity, completeness, v_measure
        Whether clusters hold one class; whether classes lie in one cluster; their harmonic mean.
    purity
        Share of the most common class in each cluster, 0..1, by cluster.
    table
        Observations by cluster (rows) and class (columns).

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> from kithkin.verbs.compare import compare
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> compare(ds, "obs/group", to="obs/group").table.shape
    (2, 2)
    """

    on: str
    to: str
    n: int
    n_missing: int
    ari: float
    nmi: float
    ami: float
    accuracy: float
    majority_accuracy: float
    homogeneity: float
    completeness: float
    v_measure: float
    purity: pd.Series[float] = field(compare=False)
    table: pd.DataFrame = field(compare=False)

    def __repr__(self) -> str:
        n_clusters, n_classes = self.table.shape
        left_out = f", {self.n_missing:,} without a label left out" if self.n_missing else ""
        head = f"{self.on} ({n_clusters} labels) compared to {self.to} ({n_classes}): {self.n:,} observations"
        rows = [
            ("ARI", self.ari, "adjusted Rand index"),
            ("NMI", self.nmi, "normalised mutual information"),
            ("AMI", self.ami, "adjusted mutual information"),
            ("accuracy", self.accuracy, "best one-to-one matching"),
            ("majority", self.majority_accuracy, "each cluster as its most common label"),
            ("homogeneity", self.homogeneity, "clusters of one label"),
            ("completeness", self.completeness, "labels in one cluster"),
            ("V-measure", self.v_measure, "mean of these two"),
        ]
        numbers = [f"  {name:<13}{value:6.3f}  {text}" for name, value, text in rows]
        return "\n".join([f"{head}{left_out}", *numbers, *_purity_lines(self.purity)])


def _purity_lines(purity: pd.Series[float]) -> list[str]:
    """The least pure clusters, a line."""
    known = purity.dropna()
    least = known.nsmallest(5, keep="first")
    listed = ", ".join(f"{name} {share:.3f}" for name, share in least.items())
    return [f"  least pure   {listed}"] if len(known) else []


def compare(ds: Dataset, on: str, *, to: str) -> Comparison:
    """How far two partitions of the observations agree: ARI, NMI, AMI, accuracy, homogeneity, purity and their table.

    Observations without a label in one of the two are left out. Nothing is stored.

    Parameters
    ----------
    ds
        The dataset.
    on
        Column of obs with the clusters.
    to
        Column of obs with the labels that are known, or other clusters.

    Returns
    -------
    Comparison
        ari, nmi, ami, accuracy, majority_accuracy, homogeneity, completeness, v_measure, purity, table.

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If a column holds measurements, or no observation has both labels.

    References
    ----------
    Hubert and Arabie 1985, doi:10.1007/BF01908075. Vinh, Epps and Bailey 2010, JMLR 11:2837-2854.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> compare(ds, "obs/group", to="obs/group").ari
    1.0
    """
    clusters, classes = labels_of(ds, on), labels_of(ds, to)
    counts = _counts(clusters, classes)
    n = int(counts.sum())
    check(n > 0, f"{clusters.key} and {classes.key} have no observation in common that has a label in both")
    pure = pd.Series(partition.purity(counts), index=_index(clusters), name="purity")
    return Comparison(
        on=clusters.key,
        to=classes.key,
        n=n,
        n_missing=ds.n_obs - n,
        ari=partition.adjusted_rand(counts),
        nmi=partition.normalized_mutual_information(counts),
        ami=partition.adjusted_mutual_information(counts),
        accuracy=partition.accuracy(counts),
        majority_accuracy=partition.majority_accuracy(counts),
        homogeneity=partition.homogeneity(counts),
        completeness=partition.completeness(counts),
        v_measure=partition.v_measure(counts),
        purity=pure,
        table=pd.DataFrame(counts, index=_index(clusters), columns=_index(classes)),
    )


def _index(labels: Labels) -> pd.Index[str]:
    return pd.Index(labels.names, dtype=object, name=labels.key)


def _counts(clusters: Labels, classes: Labels) -> Array:
    """Contingency table over all names, also of labels that occur only where the other is missing."""
    counts = np.zeros((len(clusters.names), len(classes.names)), np.int64)
    found = partition.contingency(clusters.codes, classes.codes)
    counts[: found.shape[0], : found.shape[1]] = found
    return counts


def relabel(ds: Dataset, on: str, *, by: str, key: str | None = "obs/cluster_label") -> pd.DataFrame:
    """Name each cluster by the label that is most common in it.

    Clusters that share a label are told apart by a letter in order of size: 1a is the largest of the ones, then 1b (aa
    follows z). Of two labels that are equally common the first wins. A cluster without any label is "unknown".

    Parameters
    ----------
    ds
        The dataset.
    on
        Column of obs with the clusters.
    by
        Column of obs with the labels.
    key
        Column of obs for the new names; None: only return.

    Returns
    -------
    DataFrame
        One row per cluster, in the order of the new names: cluster, label (the new name), most_common, share (of the
        observations with a label, 0 to 1), size, second and second_share (the next label, or missing).
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
    >>> relabel(ds, "obs/kmeans", by="obs/group").columns.tolist()[:4]
    ['cluster', 'label', 'most_common', 'share']
    """
    clusters, classes = labels_of(ds, on), labels_of(ds, by)
    target = column_key(key or "cluster_label")
    check(target not in (clusters.key, classes.key), f"key must be another column than {target}, which is read")
    table = _named(clusters, classes)
    if table.attrs["unclaimed"]:
        log.warning("labels that are most common in no cluster: %s", ", ".join(table.attrs["unclaimed"]))
    order = np.empty(len(clusters.names), np.int64)
    order[pd.Index(clusters.names).get_indexer(pd.Index(table["cluster"]))] = np.arange(len(table))

    def compute() -> dict[str, Any]:
        codes = np.where(clusters.codes < 0, -1, order[clusters.codes])
        return {target: column_of(ds, target, codes, table["label"])}

    step = Step("relabel", 1, {"on": clusters.key, "by": classes.key}, (clusters.key, classes.key), (target,))
    ds.result(step, compute, store=key is not None)
    return table


def _named(clusters: Labels, classes: Labels) -> pd.DataFrame:
    """The table of clusters and their names, by label and then by size."""
    counts, sizes, n_classes = _counts(clusters, classes), clusters.sizes, len(classes.names)
    ranked = np.argsort(-counts, axis=1, kind="stable")[:, :2]  # of equal counts the first class wins
    known = counts.sum(axis=1)
    best = np.where(known > 0, ranked[:, 0] if n_classes else n_classes, n_classes)
    order = np.lexsort((np.arange(len(sizes)), -sizes, best))
    table = pd.DataFrame({"cluster": np.array(clusters.names, dtype=object)[order]})
    names = [*classes.names, UNKNOWN]
    table["label"] = _told_apart([names[k] for k in best[order]])
    for rank, (label, share) in enumerate((("most_common", "share"), ("second", "second_share"))):
        there = counts[order, ranked[order, rank]] if rank < n_classes else np.zeros(len(order), int)
        won = [names[ranked[k, rank]] if there[i] else None for i, k in enumerate(order)]
        table[label] = np.array(won, dtype=object)
        table[share] = np.divide(there, known[order], out=np.full(len(order), np.nan), where=there > 0)
        if rank == 0:
            table["size"] = sizes[order]
    table.attrs["unclaimed"] = [name for k, name in enumerate(classes.names) if k not in set(best.tolist())]
    return table


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names with a, b, ... behind those that occur more than once, in their order.

    Where that makes another name, as 1a of the labels "1" and "1a", a dash is put between.
    """
    times, dash = pd.Series(names, dtype=object).value_counts(), ""
    while True:
        letters = {name: count(1) for name in times.index}
        made = [name if times[name] == 1 else f"{name}{dash}{_letters(next(letters[name]))}" for name in names]
        if len(set(made)) == len(made):
            return made
        dash += "-"


def _letters(number: int) -> str:
    """Count as the columns of a spreadsheet do: a for 1, z for 26, aa for 27."""
    text = ""
    while number:
        number, place = divmod(number - 1, 26)
        text = ascii_lowercase[place] + text
    return text
