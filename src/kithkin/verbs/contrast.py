"""Genes that differ between conditions, tested over samples: within each cluster, or in all cells."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_range
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.samples.deseq import DESeq
from kithkin.models.samples.pseudobulk import Pseudobulk
from kithkin.verbs.arguments.design import SampleDesign, design_of, listed_tests
from kithkin.verbs.arguments.labels import Labels
from kithkin.verbs.arguments.normalization import check_counts, check_table
from kithkin.verbs.arguments.samples import check_sums, groups_of

log = logging.getLogger("kithkin")
SHARE = 0.3  # of the budget, for the counts of the samples
ALL = "all"  # name of the group of all cells
COLUMNS = {  # of the table -> attribute of the test
    "logfoldchange": "logfoldchanges",
    "logfoldchange_se": "deviations",
    "logfoldchange_shrunk": "shrunk",
    "score": "scores",
    "pval": "pvals",
    "pval_adj": "pvals_adj",
}


def contrast(
    ds: Dataset,
    by: str,
    *,
    sample: str,
    within: str | None = None,
    design: str | None = None,
    reference: str | None = None,
    min_cells: int = 10,
    on: str = "X",
    key: str | None = "uns/contrast",
) -> pd.DataFrame:
    """Genes that differ between conditions, by DESeq2 over samples: within each cluster, or in all cells.

    The counts of the cells of a sample are summed, so that a sample counts once, however many cells it has: p-values
    say whether another donor would differ in the same way. Results are those of pydeseq2 with its defaults; where no
    gene has a count in every sample, as in small clusters, those with its size factors "poscounts".

    Parameters
    ----------
    ds
        The dataset, with counts.
    by
        Column of obs with the conditions.
    sample
        Column of obs with the samples, each of one condition; two samples or more of each condition are needed.
    within
        Column of obs with clusters, each of which is tested by itself; all cells together without it.
    design
        Columns of obs to take into account, such as "~ donor + condition". Numbers are covariates, whole or not; texts,
        categories and booleans are labels, so that a categorical column takes whole numbers as labels. Only the
        condition by default.
    reference
        Condition to compare the others to; the first label by default.
    min_cells
        Fewest cells of a cluster that a sample needs to be counted in its test.
    on
        Table of counts: X or a layer.
    key
        Key under which the result is stored; without one it is only returned. The samples and the clusters that were
        not tested are stored with it.

    Returns
    -------
    DataFrame
        One row per cluster, condition and gene with counts, by ascending p: group, level and reference (the
        conditions), gene, base_mean (mean of the counts over samples, by their depth), logfoldchange (log2 of level
        over reference), logfoldchange_se, logfoldchange_shrunk (moved to 0 where the counts say little: for ranking and
        figures), score (Wald statistic), pval (NaN where one count decides), pval_adj (Benjamini and Hochberg; NaN
        where the gene has too few counts to be found).

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If there are fewer than two samples of each condition, the condition cannot be told from a covariate, a sample
        has several conditions, or the table does not hold counts.

    References
    ----------
    Love, Huber and Anders 2014, doi:10.1186/s13059-014-0550-8. Zhu, Ibrahim and Love 2019,
    doi:10.1093/bioinformatics/bty895. Squair et al. 2021, doi:10.1038/s41467-021-25960-2.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> cells = kk.datasets.simulate_counts(400, 200, 2)
    >>> sample = np.arange(400) % 6
    >>> cells.X = cells.X.toarray()
    >>> cells.X[sample >= 3, 60] += 5
    >>> cells.obs["sample"], cells.obs["drug"] = [f"s{k}" for k in sample], np.where(sample >= 3, "yes", "no")
    >>> ds = kk.read(cells, to=tempfile.mkdtemp() + "/a.zarr")
    >>> table = kk.contrast(ds, "obs/drug", sample="obs/sample", within="obs/group")
    >>> table.groupby("group", observed=True)["gene"].first().tolist() == [cells.var_names[60]] * 2
    True
    >>> table.loc[0, ["level", "reference"]].tolist()
    ['yes', 'no']
    """
    check_table(on)
    ds.need(on)
    check_counts(ds, on, "contrast")
    check_range("min_cells", min_cells, 1, 10**9)
    samples = design_of(ds, by, sample, design, reference)
    groups = None if within is None else groups_of(ds, within, "within")
    apart = groups is None or groups.key not in (samples.by, samples.samples.key)
    check(apart, f"within must name clusters, and {'' if groups is None else groups.key} is compared itself")
    uns = str(Key.of(key, "uns/contrast"))
    parameters = samples.parameters | {"within": None if groups is None else groups.key}
    parameters |= {"on": on, "min_cells": min_cells}
    inputs = [on, samples.by, samples.samples.key, *samples.terms, *([] if groups is None else [groups.key])]
    step = Step("contrast", 2, parameters, tuple(inputs), (uns,))
    stored = ds.result(step, lambda: {uns: contrasted(ds, samples, groups, parameters)}, store=key is not None)
    return listed_tests(stored, ("group", "level", "gene", "base_mean", *COLUMNS))


def contrasted(
    ds: Dataset, samples: SampleDesign, groups: Labels | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Test every cluster, and lay out the tests as they are stored."""
    parts, sizes, skipped = list[dict[str, Any]](), dict[str, Array](), dict[str, str]()
    for name, counts, n_cells in bulks(ds, samples, groups, parameters["on"]):
        sizes[name] = n_cells
        enough = (n_cells >= parameters["min_cells"]) & counts.any(axis=1)
        used, reason = samples.testable(enough)
        if reason:
            skipped[name] = reason
            continue
        columns, levels = samples.columns(used), samples.compared(used)
        model = DESeq().fit(counts[used], columns, ds.execution)
        there = np.flatnonzero(counts[used].any(axis=0))
        for number, level in enumerate(levels):
            found = model.test(columns.shape[1] - len(levels) + number)
            order = there[np.argsort(found.pvals[there], kind="stable")]
            part = {"group": name, "level": level, "gene": order, "base_mean": model.base_mean_[order]}
            parts.append(part | {title: getattr(found, values)[order] for title, values in COLUMNS.items()})
    names = [ALL] if groups is None else groups.names
    where = "" if groups is None else f" of {groups.key}"
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
    at_least = f"with {parameters['min_cells']} cells or more of a cluster"
    check(bool(parts), f"no cluster{where} can be tested over samples {at_least}: {reasons}")
    if skipped:
        what = f"{len(skipped)} of {len(names)} clusters{where} are not tested over samples"
        log.warning("%s with %s cells or more: %s", what, parameters["min_cells"], reasons)
    lengths = [len(part["gene"]) for part in parts]
    stored: dict[str, Any] = {
        "group": categorical([part["group"] for part in parts], lengths, names),
        "level": categorical([part["level"] for part in parts], lengths, samples.levels),
        "gene": pd.Categorical.from_codes(np.concatenate([part["gene"] for part in parts]), ds.var_names),
    }
    stored |= {name: np.concatenate([part[name] for part in parts]) for name in ("base_mean", *COLUMNS)}
    stored["samples"] = samples.named_table()
    stored["n_cells"] = np.stack(list(sizes.values()), axis=1)
    stored["groups"] = np.array(list(sizes), dtype=object)
    stored["skipped"], stored["reasons"] = (np.array(list(one), dtype=object) for one in (skipped, skipped.values()))
    stored["params"] = {name: value for name, value in parameters.items() if value is not None}
    return stored


def bulks(ds: Dataset, samples: SampleDesign, groups: Labels | None, on: str) -> Iterator[tuple[str, Array, Array]]:
    """Yield the counts of the samples in each cluster, samples x genes, and their numbers of cells.

    As many clusters are summed in one pass as fit the budget.
    """
    of_sample, n = samples.samples.codes.astype(np.int64), len(samples.table)
    of_group = np.zeros(len(of_sample), np.int64) if groups is None else groups.codes.astype(np.int64)
    names = [ALL] if groups is None else groups.names
    at_a_time = max(1, int(SHARE * ds.execution.memory) // (8 * n * ds.n_vars))
    for first in range(0, len(names), at_a_time):
        some = names[first : first + at_a_time]
        chosen = (of_sample >= 0) & (of_group >= first) & (of_group < first + len(some))
        codes = np.where(chosen, (of_group - first) * n + of_sample, -1)
        if not chosen.any():
            continue
        bulk = Pseudobulk().fit(ds.blocks(on), codes, ds.execution)
        check_sums(bulk.sums_, ds, on, "contrast")
        sums = np.zeros((len(some) * n, ds.n_vars), bulk.sums_.dtype)
        sums[: len(bulk.sums_)] = bulk.sums_  # the last clusters may have no cells
        n_cells = np.bincount(codes[chosen], minlength=len(sums))
        for k, name in enumerate(some):
            rows = slice(k * n, (k + 1) * n)
            yield name, sums[rows], n_cells[rows]


def categorical(labels: list[str], lengths: list[int], names: list[str]) -> pd.Categorical:
    """Repeat the label of each part, as categories in the order of the names."""
    codes = np.repeat([names.index(label) for label in labels], lengths)
    return pd.Categorical.from_codes(codes, pd.Index(names, dtype=object))
