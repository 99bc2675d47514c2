"""A labelled dataset as a small file, onto which other cells are mapped."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_range, check_seed
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.harmony.label_classifier import Landmarks, draw_landmarks
from kithkin.models.harmony.label_map import HeldOut, WholeReference, learn
from kithkin.models.harmony.symphony import SoftClusters
from kithkin.models.neighbors.surroundings import chosen_rows
from kithkin.models.table.normalize import Normalized
from kithkin.verbs.arguments.labels import Labels, labels_of
from kithkin.verbs.arguments.reference_file import LARGEST, Reference

BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)  # of probabilities


def reference(
    ds: Dataset,
    labels: str,
    *,
    to: str | Path,
    layout: str | None = "auto",
    n_sample: int = 10_000,
    on: str = "obsm/X_harmony",
    overwrite: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Make a reference of a labelled dataset: a file of at most 5 MB, without counts, onto which others are mapped.

    It holds the loadings and means of the genes, the sums of Harmony's clusters, a classifier of the labels, the mean
    expression of each label, and some cells as landmarks of the map: their components and places, and no names.
    How well labels will be told is measured on the way: each batch is mapped onto a reference made of the others.

    Parameters
    ----------
    ds
        The dataset, with principal components, which are harmonised where there are batches.
    labels
        Column of obs with the labels; cells without one are left out.
    to
        Path of the file, such as "pbmc.kin".
    layout
        Table with a map in two dimensions; "auto": obsm/X_umap, if it is there. Without one no places are told.
    n_sample
        Cells of which labels are learned, as equally many of each label as there are; as many of them as fit the file
        become landmarks.
    on
        Components: those of `kithkin.harmonize`, or "obsm/X_pca" for cells of one batch.
    overwrite
        Replace the file, once the new one is whole.
    seed
        Seed of the landmarks and of the clusters.

    Returns
    -------
    DataFrame
        What to expect, a row for each label: n_cells, recall and precision in batches that were left out (0 to 1, NaN
        where none was), and the mean probability that its cells were given there.

    Raises
    ------
    MissingResultError
        If components or labels are not there.
    ParameterError
        If there are fewer than two labels, or the components are out of date or cannot be made from other cells.
    KithkinError
        If the file exists.

    References
    ----------
    Kang et al., Efficient and precise single-cell reference atlas mapping with Symphony (2021),
    doi:10.1038/s41467-021-25957-x.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.read(kk.datasets.simulate_counts(300, 200, 3), to=folder + "/a.zarr")
    >>> _ = kk.pca(ds, 5)
    >>> expected = reference(ds, "group", to=folder + "/a.kin", on="obsm/X_pca")
    >>> bool(expected["recall"].min() > 0.9), Path(folder + "/a.kin").stat().st_size < 100_000
    (True, True)
    """
    check_seed(seed)
    check_range("n_sample", n_sample, 10, 10**6)
    ds.need(on)
    kinds = labels_of(ds, labels, "labels")
    check(len(kinds.names) > 1, f"labels must be two or more, but {kinds.key} has {len(kinds.names)}")
    made, plan = _Components(ds, on), read_layout(ds, layout)
    batches = np.zeros(ds.n_obs, np.int32) if made.batch is None else labels_of(ds, made.batch, "batch").codes
    rows, weights = draw_landmarks(kinds.codes, n_sample, seed)
    given, placed = (chosen_rows(ds.blocks(key), rows, ds.execution)[1] for key in (made.given, on))
    marks = Landmarks(given, placed, kinds.codes[rows], weights, np.unique(batches[rows], return_inverse=True)[1])
    source = made.source()
    whole = WholeReference(kinds.codes, batches, source, made.components, made.scaled, rows)
    learned, held_out = learn(made.clusters(seed), marks, whole, seed, ds.execution)
    names, symbols = ds.var_names[source.columns], ds.var_labels[source.columns]
    expected = expected_labels(kinds, marks, held_out)
    about = {"dataset": ds.name, "n_cells": ds.n_obs, "labels": kinds.key, "batch": made.batch, "on": on, "seed": seed}
    about |= {"expected": expected.to_dict("index"), "reliability": reliability(marks, held_out)}
    found = Reference(
        list(names), [] if names.equals(symbols) else list(symbols), made.target_sum, kinds.names, learned, about
    )
    if plan is not None:
        fit = max(0, (LARGEST - found.size) // (2 * placed.shape[1] + 8))
        kept = np.sort(np.random.default_rng(seed).permutation(len(rows))[:fit])
        learned.places, learned.layout = placed[kept], plan[rows[kept]]
    too_large = f"{to} would take {found.size / 1e6:.1f} MB: mark fewer variable genes before the components"
    check(found.size <= LARGEST, too_large)
    found.write(to, overwrite=overwrite)
    return expected


def read_layout(ds: Dataset, layout: str | None) -> Array | None:
    """Read a map in two dimensions, n x 2 float32; None if there is none."""
    if layout is None or (layout == "auto" and "obsm/X_umap" not in ds):
        return None
    key = "obsm/X_umap" if layout == "auto" else str(Key.parse(layout, "obsm", option="layout"))
    plan = np.asarray(ds.read(key), np.float32)
    two = plan.ndim == 2 and plan.shape[1] == 2 and bool(np.isfinite(plan).all())
    check(two, f"layout must have two columns of finite numbers, but {key} has the shape {plan.shape}")
    return plan


def expected_labels(kinds: Labels, marks: Landmarks, held_out: HeldOut) -> pd.DataFrame:
    """Tabulate how each label did in batches that were left out, by the rows that landmarks stand for."""
    tried, right = held_out.codes >= 0, held_out.codes == marks.codes

    def share(of: Array) -> Array:
        """Return the share of right ones among the landmarks with each code, NaN where there is none."""
        total, hit = (np.bincount(of[at], marks.weights[at], len(kinds.names)) for at in (tried, tried & right))
        found: Array = np.divide(hit, total, out=np.full(len(total), np.nan), where=total > 0)
        return found

    own = [tried & (marks.codes == code) for code in range(len(kinds.names))]
    sure = [np.average(held_out.probability[at], weights=marks.weights[at]) if at.any() else np.nan for at in own]
    columns = {"n_cells": kinds.sizes, "recall": share(marks.codes), "precision": share(held_out.codes)}
    return pd.DataFrame(columns | {"probability": sure}, index=kinds.index)


def reliability(marks: Landmarks, held_out: HeldOut) -> list[dict[str, float]]:
    """List bins of the probability in batches that were left out, with how often the label was right."""
    tried = held_out.codes >= 0
    found = []
    for low, high in pairwise(BINS):
        own = tried & (held_out.probability > low) & (held_out.probability <= high)
        if own.any():
            mean = {"probability": held_out.probability[own], "right": (held_out.codes == marks.codes)[own]}
            shares = {name: float(np.average(values, weights=marks.weights[own])) for name, values in mean.items()}
            found.append({"above": low, "to": high, "n": int(own.sum()), **shares})
    return found


class _Components:
    """Components of a dataset, and how they are made of counts.

    given: key of the components before the integration.
    batch: column of the batches; None where nothing was integrated.
    """

    def __init__(self, ds: Dataset, on: str) -> None:
        key = Key.parse(on, option="on")
        record = str(key.beside("uns"))
        about = ds.read(record) if key.place == "obsm" and record in ds else {}
        harmonized = isinstance(about, dict) and {"sizes", "sums", "params"} <= set(about)
        self.ds, self.on = ds, on
        self._sums = SimpleNamespace(sizes_=about["sizes"], sums_=about["sums"]) if harmonized else None
        self.given = str(about["params"]["on"]) if harmonized else on
        self.batch = str(about["params"]["batch"]) if harmonized else None
        base, usual = Key.parse(self.given), self.given == "obsm/X_pca"
        record = "uns/pca" if usual else str(base.beside("uns"))
        loadings = "varm/PCs" if usual else str(base.beside("varm", "_PCs"))
        ds.need(self.given)
        made = base.place == "obsm" and record in ds and loadings in ds
        check(made, f"on must be components that kithkin.pca made of genes, or harmonised ones of these, got {on!r}")
        self.params = dict(ds.read(record)["params"])
        plain = self.params.get("method") == "covariance" and self.params.get("normalize") in ("log1p", None)
        check(plain, f"{self.given} was made by {self.params}: references need method='covariance' of counts or values")
        components = np.asarray(ds.read(loadings))
        self.columns = np.flatnonzero(components.any(axis=1))
        self.components: Array = components[self.columns]
        lineage = ds.lineage
        old = [name for name in dict.fromkeys((loadings, self.given, on)) if lineage.is_stale_key(name)]
        said = (
            f"{old[0] if old else on} of {ds.name} is out of date, as it was computed from something that has changed"
        )
        check(not old, f"{said}: compute it again first")

    @property
    def scaled(self) -> bool:
        """True if genes were brought to unit variance."""
        return bool(self.params.get("scale", False))

    @property
    def target_sum(self) -> float | None:
        """Counts of a cell after normalisation; None where values are taken as they are."""
        return float(self.params["target_sum"]) if self.params.get("normalize") == "log1p" else None

    def source(self) -> Normalized:
        """Open the values of which the components are made."""
        on, target = str(self.params.get("on", "X")), self.target_sum
        if target is None:
            return Normalized(self.ds.blocks(on), columns=self.columns)
        totals = totals_of(self.ds, on)
        return Normalized(self.ds.blocks(on), "log1p", totals=totals, target_sum=target, columns=self.columns)

    def clusters(self, seed: int) -> Any:
        """Return sizes and sums of Harmony's clusters, or of clusters of the components where there are none."""
        if self._sums is not None:
            return self._sums
        return SoftClusters(seed=seed).fit(self.ds.blocks(self.on), self.ds.execution)
