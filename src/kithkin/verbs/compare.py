"""Agreement of two columns of labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.metrics import partition
from kithkin.verbs.arguments.labels import labels_of


@dataclass(frozen=True, repr=False)
class Comparison:
    """Agreement of two partitions; printing it shows all numbers.

    Attributes
    ----------
    on, to
        Columns of the clusters, and of the classes that they are compared to.
    n
        Number of observations that have both labels.
    n_missing
        Number of observations left out, since one label is missing.
    ari, nmi, ami
        Adjusted Rand index; mutual information normalised by the mean of the entropies, and adjusted for chance.
    accuracy
        Fraction of observations that are right under the best one-to-one matching of clusters and classes (Hungarian).
    majority_accuracy
        Fraction that is right if each cluster stands for its most common class: the purity of the partition.
    homogeneity, completeness, v_measure
        Degree to which clusters hold one class, to which classes lie in one cluster, and their harmonic mean.
    purity
        Fraction of the most common class in each cluster, 0 to 1, by cluster.
    table
        Observations by cluster (rows) and class (columns).

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> result = kk.compare(ds, "obs/group", to="obs/group")
    >>> result.ari, bool(result.table.loc["0", "0"] == (ds.read("obs/group") == "0").sum()), result.table.loc["0", "1"]
    (1.0, True, np.int64(0))
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
        least = ", ".join(f"{name} {value:.3f}" for name, value in self.purity.dropna().nsmallest(5).items())
        return "\n".join([f"{head}{left_out}", *numbers, *([f"  least pure   {least}"] if least else [])])


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
    clusters, classes = labels_of(ds, on, "on"), labels_of(ds, to, "to")
    counts = clusters.contingency(classes)
    n = int(counts.sum())
    check(n > 0, f"{clusters.key} and {classes.key} have no observation in common that has a label in both")
    pure = pd.Series(partition.purity(counts), index=clusters.index, name="purity")
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
        table=pd.DataFrame(counts, index=clusters.index, columns=classes.index),
    )
