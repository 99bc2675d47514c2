"""Stored tests between conditions, as lines that a person reads: which samples, which clusters, which genes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kithkin.core.group_tests import SIGNIFICANT, percent

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

MOST_SAMPLES = 12  # lines of samples
SAMPLE = "obs/sample"


def current_results(ds: Dataset, verb: str) -> list[str]:
    """List the keys of the results of a verb that are there and not stale, in the order in which they were made."""
    lineage = ds.lineage
    made = [entry for entry in lineage.entries if entry.verb == verb and entry.outputs]
    return [entry.outputs[0] for entry in made if entry.outputs[0] in ds and not lineage.is_stale(entry)]


def sample_lines(ds: Dataset, symbols: Mapping[str, str], n_genes: int) -> list[str]:
    """Tell the samples of a dataset, the clusters that change their share, and the genes that differ within clusters.

    Only tests that are current are told. No lines where the dataset has no samples.

    symbols: names to write in place of those of the genes.
    n_genes: most genes to name in each cluster.
    """
    shares, genes = ([ds.read(key) for key in current_results(ds, verb)] for verb in ("composition", "contrast"))
    lines = samples_of(ds, [*genes, *shares])
    for stored in shares:
        lines += ["", *lines_of_shares(stored)]
    for stored in genes:
        lines += ["", *lines_of_genes(stored, symbols, n_genes)]
    return lines


def samples_of(ds: Dataset, tests: list[Any]) -> list[str]:
    """List the samples with their cells, and what the tests knew of them."""
    key = str(tests[0]["params"]["sample"]) if tests else SAMPLE
    if key not in ds:
        return []
    sizes = ds.read(key).astype(object).map(str, na_action="ignore").value_counts(sort=False)
    known = pd.DataFrame(index=pd.Index(sizes.index))
    for stored in tests:
        if str(stored["params"]["sample"]) == key:
            table = stored["samples"].set_axis(stored["samples"].index.astype(str))
            known = known.join(table[table.columns.difference(known.columns, sort=False)])
    names = [str(name) for name in sizes.index[:MOST_SAMPLES]]
    width = max(len("sample"), *(len(name) for name in names))
    about = [" ".join(f"{column}={known[column].iloc[k]}" for column in known.columns) for k in range(len(names))]
    lines = [f"{'sample':<{width}}  {'cells':>9}"]
    lines += [
        f"{name:<{width}}  {size:>9,}  {text}".rstrip() for name, size, text in zip(names, sizes, about, strict=False)
    ]
    more = len(sizes) - len(names)
    return [*lines, *([f"and {more:,} more samples"] if more else [])]


def compared(stored: Mapping[str, Any], level: str) -> str:
    """Say which conditions a test compares, over how many samples and with which design.

    >>> table = pd.DataFrame({"drug": ["no", "no", "yes", "yes"]})
    >>> params = {"reference": "no", "design": "~ drug", "by": "obs/drug"}
    >>> compared({"samples": table, "params": params}, "yes")
    'yes against no (~ drug, 2 against 2 samples)'
    """
    reference, by = str(stored["params"]["reference"]), str(stored["params"]["by"]).partition("/")[2]
    condition = stored["samples"][by].astype(str)
    n, m = (int((condition == name).sum()) for name in (level, reference))
    return f"{level} against {reference} ({stored['params']['design']}, {n} against {m} samples)"


def lines_of_shares(stored: Mapping[str, Any]) -> list[str]:
    """Tell the clusters that change their share."""
    on, lines = str(stored["params"]["on"]).partition("/")[2], list[str]()
    table = pd.DataFrame({name: stored[name] for name in ("group", "level", "share", "share_reference", "pval_adj")})
    for level, part in table.groupby("level", observed=True, sort=False):
        found = part[part["pval_adj"] <= SIGNIFICANT]
        none = "" if len(found) else " none"
        lines.append(f"clusters of {on} that change their share, {compared(stored, str(level))}:{none}")
        for row in found.itertuples():
            change = f"{percent(float(row.share_reference))} to {percent(float(row.share))}"  # type: ignore[arg-type]
            lines.append(f"  {row.group}: {change} (adjusted p {row.pval_adj:.2g})")
    return lines


def lines_of_genes(stored: Mapping[str, Any], symbols: Mapping[str, str], n_genes: int) -> list[str]:
    """Tell how many genes differ in each cluster, and name the first."""
    table = pd.DataFrame({name: stored[name] for name in ("group", "level", "gene", "logfoldchange", "pval_adj")})
    lines = list[str]()
    for level, of_level in table.groupby("level", observed=True, sort=False):
        lines.append(f"genes that differ, {compared(stored, str(level))}:")
        for group, part in of_level.groupby("group", observed=True):
            found = part[part["pval_adj"] <= SIGNIFICANT]
            up = int((found["logfoldchange"] > 0).sum())
            names = ", ".join(symbols.get(str(gene), str(gene)) for gene in found["gene"].iloc[:n_genes])
            lines.append(f"  {group}: {up:,} up, {len(found) - up:,} down{f': {names}' if names else ''}")
    skipped = zip(np.asarray(stored["skipped"]).astype(str), np.asarray(stored["reasons"]).astype(str), strict=True)
    return [*lines, *(f"  {group}: not tested, {reason}" for group, reason in skipped)]
