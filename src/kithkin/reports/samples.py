"""Tables of samples on a page: what differs between conditions, and how well samples mix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.sample_tests import current_results

MOST_ROWS = 2_000  # of a table on the page: those with the smallest p
COMPOSITION = ("group", "level", "share_reference", "share", "effect", "pval", "pval_adj")
CONTRAST = ("group", "level", "gene", "mean", "logfoldchange", "stat", "pval", "pval_adj")


def samples_of(ds: Dataset) -> dict[str, Any]:
    """Tabulate the samples, and the tests between conditions that are current; empty where there is nothing."""
    out: dict[str, Any] = {}
    if "uns/samples" in ds:
        out["samples"] = table_of("Samples", ds.read("uns/samples").reset_index())
    symbols = dict(zip(ds.var_names, ds.var_labels, strict=True))
    for verb, columns, title in (
        ("composition", COMPOSITION, "Shares of clusters between conditions"),
        ("contrast", CONTRAST, "Genes that differ between conditions, within clusters"),
    ):
        keys = current_results(ds, verb)
        if not keys:
            continue
        stored = ds.read(keys[-1])
        there = {name: np.asarray(stored[name]) for name in columns if name in stored}
        table = (
            pd.DataFrame(there).sort_values("pval_adj", kind="stable") if "pval_adj" in there else pd.DataFrame(there)
        )
        if "gene" in table:
            table["gene"] = [symbols.get(str(gene), str(gene)) for gene in table["gene"]]
        design = str(stored["params"].get("design", ""))
        out[verb] = table_of(f"{title} ({design})" if design else title, table)
        out[verb]["within"] = str(stored["params"].get("on" if verb == "composition" else "within", ""))
    if "uns/mixing" in ds and not ds.lineage.is_stale_key("uns/mixing"):
        scores = ds.read("uns/mixing").get("table")
        if isinstance(scores, pd.DataFrame):
            out["mixing"] = table_of("How well batches mix", scores.rename_axis("integration").reset_index())
    return out


def table_of(title: str, table: pd.DataFrame) -> dict[str, Any]:
    """Write a table as lists, at most so many rows; numbers that are missing become null."""
    shown = table.head(MOST_ROWS)
    rows = [[to_json(value) for value in row] for row in shown.itertuples(index=False)]
    said = {"of": len(table)} if len(table) > len(shown) else {}
    return {"title": title, "columns": [str(name) for name in shown.columns], "rows": rows, **said}


def to_json(value: Any) -> Any:
    """Turn a value into what JSON can hold."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.6g}") if np.isfinite(value) else None
    return None if value is None or value is pd.NA else str(value)
