"""What two columns of labels say about each other."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.metrics import partition
from kithkin.verbs.arguments.labels import Labels, labels_of

log = logging.getLogger("kithkin")


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
    """Agreement of two partitions of the observations: ARI, NMI, AMI, accuracy, homogeneity, purity and their table.

    Observations without a label in one of the two are left out. Nothing is stored.

    Parameters
    ----------
    ds
        The dataset.
    on
        Column of obs with the clusters.
    to
        Column of obs with known labels, or with other clusters.

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
