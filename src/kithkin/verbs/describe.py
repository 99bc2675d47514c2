"""Describe clusters in sentences: the columns, genes and categories in which each differs from the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.group_tests import Trait, traits
from kithkin.core.keys import Key
from kithkin.core.words import THINGS
from kithkin.models.markers.markers import Markers
from kithkin.verbs.arguments.labels import Labels, labels_of
from kithkin.verbs.markers import against_rest, as_stored

MOST = 200  # categories of a column that is described; beyond, it holds texts or ids


def describe(
    ds: Dataset, by: str = "obs/leiden", n_markers: int = 5, *, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Sentences that say in what each cluster differs: high and low columns, or the genes that most of its cells have.

    Only differences with an adjusted p of at most 0.05 are named. Stored markers of the clusters are used where they
    are current; else Wilcoxon's tests are computed, and not stored.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    n_markers
        Most columns or genes to name for each cluster, and most categories of each column of obs.
    columns
        Columns of obs to describe the clusters by as well: categories that are more frequent in a cluster than
        elsewhere, and numbers that are higher or lower.

    Returns
    -------
    DataFrame
        One row per cluster and column: group, column, direction ("high" or "low"), mean and elsewhere (mean in the
        cluster and in all other rows; of genes and categories the share of rows, 0 to 1), effect (of values and
        categories the difference in pooled standard deviations, of genes the log2 fold change), pval_adj and sentence.
        Its attrs["text"] has one sentence for each cluster.

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If there are fewer than two clusters, or a column of obs has more than 200 categories.

    References
    ----------
    Mann and Whitney 1947, doi:10.1214/aoms/1177730491. Cohen 1988, doi:10.4324/9780203771587.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> rng = np.random.default_rng(0)
    >>> table = rng.normal([[20.0, 1.0]] * 30 + [[10.0, 1.0]] * 50, 0.5)
    >>> ds = kk.read(pd.DataFrame(table, columns=["length", "width"]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "kind", ["a"] * 30 + ["b"] * 50)
    >>> print(kk.describe(ds, "kind").attrs["text"]["a"])
    cluster a (30 rows): high length (19.9, elsewhere 9.97)
    """
    labels = labels_of(ds, by)
    tests = against_rest(ds, labels.key)
    unit = THINGS[ds.kind][0] if "means" in tests else "cells"
    every = [(tests, dict(zip(ds.var_names, ds.var_labels, strict=True)))]
    every += [(_tests_of_column(ds, labels, name), {}) for name in columns or ()]
    rows, text = list[dict[str, Any]](), dict[str, str]()
    for group, size in zip(labels.names, labels.sizes, strict=True):
        if group == "":  # a missing label
            continue
        found: list[Trait] = [trait for one, symbols in every for trait in traits(one, group, n_markers, symbols)]
        rows += [{"group": group} | asdict(trait) for trait in found]
        said = ", ".join(trait.sentence for trait in found) or "it differs in nothing (adjusted p <= 0.05)"
        text[group] = f"cluster {group} ({size:,} {unit}): {said}"
    order = ["group", "column", "direction", "mean", "elsewhere", "effect", "pval_adj", "sentence"]
    table = pd.DataFrame(rows, columns=order).astype({"group": pd.CategoricalDtype(labels.names)})
    table.attrs["text"] = text
    return table


def _tests_of_column(ds: Dataset, labels: Labels, name: str) -> dict[str, Any]:
    """Test the categories of a column of obs as columns of zeros and ones, or its numbers as they are."""
    key = Key.parse(name, "obs", option="columns")
    column = ds.read(str(key))
    numbers = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numbers:
        table, names = column.to_numpy(np.float64, na_value=np.nan)[:, None], [key.name]
    else:
        values = column.astype("category").cat.remove_unused_categories()
        many = f"{key} has {len(values.cat.categories):,} different values, and {MOST} are possible"
        check(len(values.cat.categories) <= MOST, f"columns must name categories or numbers, but {many}")
        codes = values.cat.codes.to_numpy()
        row = np.flatnonzero(codes >= 0)
        shape = (len(codes), len(values.cat.categories))
        table = sparse.csr_matrix((np.ones(len(row), np.uint8), (row, codes[row])), shape)
        names = [f"{key.name} {value}" for value in values.cat.categories]
    model = Markers(kind="values").fit(table, labels.codes, execution=ds.execution)
    parameters = {"by": labels.key, "method": "wilcoxon", "reference": "rest"}
    tests = as_stored(model, pd.Index(names, dtype=object), labels.names, parameters)
    tests["params"]["kind"] = "values" if numbers else "categories"
    return tests
