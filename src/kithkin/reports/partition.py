"""The partition that figures, summary and page show where none is named."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kithkin.core.dataset import Dataset

USUAL = ("obs/leiden", "obs/deep", "obs/mixture", "obs/latent", "obs/paris", "obs/kmeans", "obs/topics")


def usual_partition(ds: Dataset) -> str | None:
    """Choose the first of leiden, deep, mixture, latent, paris, kmeans and topics that is there and has members.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(4), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/kmeans"] = ["0", "1", "0", "1"]
    >>> usual_partition(ds)
    'obs/kmeans'
    """
    return next((key for key in USUAL if key in ds and _is_partition(ds.read(key))), None)


def _is_partition(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds groups, and at least one of them has members."""
    numbers = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    return not numbers and bool(column.notna().any())
