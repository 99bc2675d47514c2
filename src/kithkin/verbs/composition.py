"""Clusters that change their share between conditions, tested over samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_range
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.samples.composition import Composition
from kithkin.verbs.arguments.design import SampleDesign, design_of, listed_tests
from kithkin.verbs.arguments.labels import Labels
from kithkin.verbs.arguments.samples import groups_of

COLUMNS = {  # of the table -> attribute of the test
    "log2_odds_ratio": "odds_ratios",
    "log2_odds_ratio_se": "deviations",
    "score": "scores",
    "pval": "pvals",
    "pval_adj": "pvals_adj",
}


def composition(
    ds: Dataset,
    by: str,
    *,
    sample: str,
    design: str | None = None,
    reference: str | None = None,
    min_cells: int = 10,
    on: str = "obs/leiden",
    key: str | None = "uns/composition",
) -> pd.DataFrame:
    """Clusters that change their share of cells between conditions, tested over samples by propeller.

    A sample counts once, however many cells it has. Shares add up to 1: where one cluster grows, others shrink.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the conditions.
    sample
        Column of obs with the samples, each of one condition; two samples or more of each condition are needed.
    design
        Columns of obs to take into account, such as "~ donor + condition". Numbers are covariates, whole or not; texts,
        categories and booleans are labels, so that a categorical column takes whole numbers as labels. Only the
        condition by default.
    reference
        Condition to compare the others to; the first label by default.
    min_cells
        Fewest cells of a sample; others are left out.
    on
        Column of obs with the clusters.
    key
        Key under which the result is stored; without one it is only returned. The cells of each sample in each cluster
        are stored with it.

    Returns
    -------
    DataFrame
        One row per condition and cluster, by ascending p: group (the cluster), level and reference (the conditions),
        share and share_reference (means over samples, 0 to 1), log2_odds_ratio (of level over reference),
        log2_odds_ratio_se, score (moderated t), pval, pval_adj (Benjamini and Hochberg).

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If there are fewer than two samples of each condition or two clusters, the condition cannot be told from a
        covariate, or a sample has several conditions.

    References
    ----------
    Phipson et al. 2022, doi:10.1093/bioinformatics/btac582. Smyth 2004, doi:10.2202/1544-6115.1027.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(600), to=tempfile.mkdtemp() + "/a.zarr")
    >>> sample, rng = np.repeat(np.arange(6), 100), np.random.default_rng(0)
    >>> of_t_cells = rng.random(600) < np.where(sample >= 3, 0.7, 0.2)
    >>> ds["obs/sample"], ds["obs/drug"] = [f"s{k}" for k in sample], np.where(sample >= 3, "yes", "no")
    >>> ds["obs/kind"] = np.where(of_t_cells, "T", rng.choice(["B", "NK"], 600))
    >>> table = kk.composition(ds, "obs/drug", sample="obs/sample", on="obs/kind")
    >>> table.loc[0, ["group", "level"]].tolist(), bool(table.loc[0, "log2_odds_ratio"] > 2)
    (['T', 'yes'], True)
    """
    check_range("min_cells", min_cells, 1, 10**9)
    samples = design_of(ds, by, sample, design, reference, "composition")
    clusters = groups_of(ds, on, "on")
    apart = clusters.key not in (samples.by, samples.samples.key)
    check(apart, f"on must name clusters, and {clusters.key} is compared itself")
    uns = str(Key.of(key, "uns/composition"))
    parameters = samples.parameters | {"on": clusters.key, "min_cells": min_cells}
    inputs = (samples.by, samples.samples.key, *samples.terms, clusters.key)
    step = Step("composition", 2, parameters, inputs, (uns,))
    stored = ds.result(step, lambda: {uns: compared_shares(samples, clusters, parameters)}, store=key is not None)
    return listed_tests(stored, ("group", "level", "share", "share_reference", *COLUMNS))


def compared_shares(samples: SampleDesign, clusters: Labels, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Count cells, test the shares, and lay out the tests as they are stored."""
    counts = samples.samples.contingency(clusters)
    there = np.asarray(counts.any(axis=0))
    names = [name for name, known in zip(clusters.names, there, strict=True) if known]
    counts = counts[:, there]
    check(len(names) >= 2, f"{clusters.key} must have two clusters or more in the samples, got {', '.join(names)}")
    least = parameters["min_cells"]
    used, reason = samples.testable(counts.sum(axis=1) >= least)
    check(not reason, f"of samples with {least} cells or more, {samples.by} has {reason}")
    columns, levels = samples.columns(used), samples.compared(used)
    model = Composition().fit(counts[used], columns)
    condition, parts = samples.table[samples.by][used].to_numpy(), list[pd.DataFrame]()
    shares = {level: model.shares_[condition == level].mean(axis=0) for level in (samples.levels[0], *levels)}
    for number, level in enumerate(levels):
        found = model.test(columns.shape[1] - len(levels) + number)
        part = {"group": np.arange(len(names)), "level": samples.levels.index(level), "share": shares[level]}
        part |= {"share_reference": shares[samples.levels[0]]}
        table = pd.DataFrame(part | {title: getattr(found, values) for title, values in COLUMNS.items()})
        parts.append(table.sort_values("pval", kind="stable"))
    table = pd.concat(parts, ignore_index=True)
    stored: dict[str, Any] = {str(name): table[name].to_numpy() for name in table.columns}
    for name, labels in (("group", names), ("level", samples.levels)):
        stored[name] = pd.Categorical.from_codes(stored[name], pd.Index(labels, dtype=object))
    stored["samples"] = samples.named_table()
    stored |= {"counts": counts, "groups": np.array(names, dtype=object), "used": used, "params": dict(parameters)}
    return stored
