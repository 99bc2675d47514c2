"""Difference of two results in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kithkin.metrics.partition import adjusted_rand, contingency

MOST_NAMED = 3  # parts of a result that differ


def difference(before: Any, after: Any) -> str:
    """Say in what two results differ: by how much numbers do at most, and how far labels agree.

    Parameters
    ----------
    before, after
        Arrays, sparse matrices, columns, tables, or mappings of these.

    Returns
    -------
    str
        Empty where they are equal.

    Examples
    --------
    >>> difference(["a", "a", "b", "b"], ["x", "x", "x", "y"])
    'ARI 0.000'
    >>> difference(np.array([1.0, 4.0]), np.array([1.0, 4.5]))
    'by 0.5 at most, of values up to 4'
    """
    if hasattr(before, "columns") or isinstance(before, Mapping):
        names = [str(name) for name in before]
        parts = [name for name in names if name in after and difference(before[name], after[name])]
        gone = [f"{name} is not there" for name in names if name not in after]
        more = f" and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
        shown = [f"{name} ({difference(before[name], after[name])})" for name in parts[:MOST_NAMED]]
        return ", ".join([*gone[:MOST_NAMED], *shown]) + more
    if hasattr(before, "indptr"):
        if before.nnz == after.nnz and np.array_equal(before.indices, after.indices):
            return difference(before.data, after.data)
        return f"{after.nnz:,} values at other places, {before.nnz:,} before"
    old, new = np.asarray(before), np.asarray(after)
    if old.shape != new.shape or old.dtype.names != new.dtype.names:
        return f"shape {new.shape}, {old.shape} before"
    if old.dtype.names is not None:
        fields = old.dtype.names
        return difference(*({name: table[name] for name in fields} for table in (old, new)))
    if old.dtype.kind in "fiu" and new.dtype.kind in "fiu":
        with np.errstate(invalid="ignore"):  # infinite in both
            apart = np.where(old == new, 0.0, np.abs(old.astype(np.float64) - new.astype(np.float64)))
        size = np.nanmax(np.abs(old), initial=0)
        unknown, most = int(np.sum(np.isnan(old) != np.isnan(new))), float(np.nanmax(apart, initial=0.0))
        said = [f"by {most:.3g} at most, of values up to {size:.3g}"] if most > 0 else []
        return ", ".join([*said, *([f"{unknown:,} missing in one of both"] if unknown else [])])
    old, new = old.astype(str), new.astype(str)
    changed = int(np.sum(old != new))
    if old.ndim == 1 and len(np.unique(old)) < len(old) and changed:  # labels
        codes = (np.unique(one, return_inverse=True)[1] for one in (new, old))
        return f"ARI {adjusted_rand(contingency(*codes)):.3f}"
    return f"{changed:,} of {old.size:,} texts" if changed else ""
