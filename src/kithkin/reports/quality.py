"""Quality of a page: what was filtered and why, distributions with the cuts, variance of components, recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.plot.diagnostics.quality import NAMES, USUAL, cuts_of

BINS = 60
MOST = 8  # distributions
LONG_TAIL = 50.0  # ratio of the largest value to the median from which an axis is logarithmic
LOGGED = ("n_counts", "n_genes")


def quality_of(ds: Dataset, before: Dataset) -> dict[str, Any]:
    """Describe the quality of a dataset; `before` is the one that was filtered, or the same."""
    out: dict[str, Any] = {"filters": filters_of(ds), "distributions": distributions_of(before, cuts_of(ds))}
    components, graph = (current_record(ds, key) for key in ("uns/pca", "uns/neighbors"))
    shares = np.asarray(components.get("variance_ratio", []), float)
    if shares.size and np.isfinite(shares).all():  # not of rows that are all alike
        out["elbow"] = {"variance": shares.tolist()}
    if np.isfinite(float(graph.get("recall", np.nan))):
        out["recall"] = float(graph["recall"])
    return {name: value for name, value in out.items() if value != []}


def current_record(ds: Dataset, key: str) -> dict[str, Any]:
    """Read the record of a step; empty where there is none, it is out of date, or another program wrote it."""
    record = ds.read(key) if key in ds and not ds.lineage.is_stale_key(key) else None
    return record if isinstance(record, dict) else {}


def filters_of(ds: Dataset) -> list[dict[str, Any]]:
    """List what was removed from the rows and columns, and for which reasons."""
    subset, out = current_record(ds, "uns/subset"), []
    for axis in [one for one in ("cells", "genes") if isinstance(subset.get(one), dict)]:
        removed = subset[axis].get("removed", {})
        most_first = sorted(removed.items(), key=lambda item: -int(item[1]))
        reasons = [{"reason": str(reason), "removed": int(n)} for reason, n in most_first if int(n)]
        one = {"what": axis, "before": int(subset[axis]["before"]), "kept": int(subset[axis]["kept"])}
        out.append({**one, "reasons": reasons})
    return out


def distributions_of(ds: Dataset, cuts: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Count the values of the columns of quality in bins, with the cuts of the filters."""
    out = []
    for name in [one for one in (*USUAL, "doublet_score") if f"obs/{one}" in ds][:MOST]:
        values = np.asarray(ds.read(f"obs/{name}"), float)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        logged = name in LOGGED and bool(values.min() >= 0)
        edges = edges_of(values, logged=logged)
        counts, _ = np.histogram(values, edges)
        cut = sorted(value for value in cuts.get(name, []) if np.isfinite(value))
        entry = {"name": name, "label": NAMES.get(name, name), "edges": edges.tolist(), "counts": counts.tolist()}
        entry |= {"log": logged, "cuts": cut, "median": float(np.median(values))}
        out.append(entry)
    return out


def edges_of(values: Array, *, logged: bool) -> Array:
    """Choose the edges of bins: evenly, or by the logarithm of 1 + value."""
    low, high = float(values.min()), float(values.max())
    if logged:
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high if high > low else low + 1), BINS + 1))
        edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # which the exponential rounds
        return edges
    return np.linspace(low, high if high > low else low + 1, BINS + 1)
