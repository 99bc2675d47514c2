"""Which few features make a cluster, and a row, what it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.history import Step
from kithkin.core.keys import column_key
from kithkin.metrics.open_gates import CLUSTER_OPEN, OPEN
from kithkin.models.gates_table import gates_table, open_of_rows

log = logging.getLogger("kithkin")
MANY, ALWAYS_FEW = 0.1, 50  # a cluster with more open features than this share of all, or this number, is not explained


def explain(
    ds: Dataset,
    by: str = "obs/deep",
    *,
    names: Sequence[str] | None = None,
    threshold: float | None = None,
    normalize: Literal["log1p"] | None = "log1p",
    on: str = "X",
    key: str | None = "",
) -> pd.DataFrame:
    """Features that make each cluster, by its gates, with their values inside and outside; or those of a few rows.

    The gates are those in varm that came with the clusters, such as varm/deep_gates: clusters of a method that has no
    gates cannot be explained in this way.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    names
        Names of observations: the open features of these are listed instead of those of the clusters, and nothing is
        stored.
    threshold
        A gate is open above it, 0 to 1. None: 0.55 for clusters, whose gates rest at one half where nothing was
        learned, and 0.1 for observations.
    normalize
        "log1p": values are log1p(count / total * 10,000). None: as they are.
    on
        X or a layer.
    key
        Where the table goes in uns; "": under the name of the clusters, such as uns/deep_explanation. None: only
        return.

    Returns
    -------
    DataFrame
        One row per cluster and open feature, by descending gate and then by the size of the effect: group, feature,
        gate (0 to 1), mean and mean_rest (inside and outside), pct and pct_rest (share of observations where the
        feature is not zero, 0 to 1), effect (difference of the means in standard deviations). With names: one row per
        observation and open feature: observation, group, feature, gate, value.

    Raises
    ------
    MissingResultError
        If the clusters, the totals of the cells, or (with names) the gates of observations are not there.
    ParameterError
        If the clusters have no gates, the gates belong to other clusters, or a setting is not possible.

    References
    ----------
    Svirsky and Lindenbaum 2024, arXiv:2306.04785.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.array([[4, 0], [3, 1], [0, 5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "deep", ["0", "0", "1"])
    >>> ds.write({"varm/deep_gates": np.array([[0.9, 0.0], [0.0, 1.0]], np.float32)})
    >>> explain(ds, "deep", normalize=None)[["group", "feature", "mean", "mean_rest"]].to_numpy().tolist()
    [['0', '0', 3.5, 0.0], ['1', '1', 5.0, 0.5]]
    """
    by = column_key(by)
    check(on == "X" or on.startswith("layers/"), f"on must be X or a layer, got {on!r}")
    check_choice("normalize", normalize, ("log1p", None))
    threshold = (CLUSTER_OPEN if names is None else OPEN) if threshold is None else threshold
    check_range("threshold", threshold, 0, 1)
    name = by.removeprefix("obs/")
    counts = ("obs/n_counts",) if normalize else ()
    if names is not None:
        return _of_rows(ds, by, names, threshold, on, counts)
    gates = _gates(ds, by)
    uns = key if key is not None and key.startswith("uns/") else f"uns/{key or f'{name}_explanation'}"
    parameters = {"by": by, "threshold": threshold, "normalize": normalize, "on": on}
    inputs = (on, by, *counts, f"varm/{name}_gates")

    def compute() -> dict[str, Any]:
        groups, codes = _codes(ds, by, gates)
        totals = ds.read("obs/n_counts").to_numpy() if counts else None
        values = ds.blocks(on)
        table = gates_table(values, codes, gates, threshold=threshold, totals=totals, execution=ds.execution)
        _warn(table, groups, codes, ds.n_vars)
        table["group"] = pd.Categorical.from_codes(table["group"].to_numpy(), pd.Index(groups, dtype=object))
        table["feature"] = ds.var_names.to_numpy()[table["feature"].to_numpy()]
        return {uns: table.astype({"feature": "category"})}

    step = Step("explain", 1, parameters, inputs, (uns,))
    table: pd.DataFrame = ds.result(step, compute, store=key is not None)
    return table.reset_index(drop=True)


def _gates(ds: Dataset, by: str) -> Array:
    """Gates that came with the clusters, p x K; of features that were left out, closed."""
    key = f"varm/{by[4:]}_gates"
    ds.need(by)
    check(key in ds, f"{key} is not in {ds.name}: only clusters that have gates, such as obs/deep, can be explained")
    gates: Array = np.asarray(ds.read(key))
    check(not np.isnan(gates).all(), f"{key} were not trained: run deep_clusters with its classifier")
    closed: Array = np.nan_to_num(gates)
    return closed


def _codes(ds: Dataset, by: str, gates: Array) -> tuple[list[str], Array]:
    """Names of the clusters, one for each column of the gates, and the number of the cluster of each row."""
    column = ds.read(by).astype("category")
    found, codes = [str(category) for category in column.cat.categories], column.cat.codes.to_numpy()
    n_groups = gates.shape[1]
    if len(found) < n_groups and all(label.isdecimal() and int(label) < n_groups for label in found):
        place = np.append([int(label) for label in found], -1)  # clusters without rows may have no label
        return [str(k) for k in range(n_groups)], place[codes]
    key = f"varm/{by[4:]}_gates"
    check(len(found) == n_groups, f"{key} has {n_groups} clusters, but {by} has {len(found)}: it has changed since")
    return found, codes


def _warn(table: pd.DataFrame, groups: list[str], codes: Array, n_features: int) -> None:
    each = np.bincount(table["group"], minlength=len(groups))
    sizes = np.bincount(codes[codes >= 0], minlength=len(groups))
    none = [label for label, n, size in zip(groups, each, sizes, strict=True) if n == 0 and size]
    most = int(max(MANY * n_features, min(ALWAYS_FEW, n_features / 2)))
    many = [label for label, n in zip(groups, each, strict=True) if n > most]
    if none:
        log.warning("no gate is open in %s", ", ".join(none))
    if many and n_features > 4:
        log.warning("more than %s of the %s features are open in %s", f"{most:,}", f"{n_features:,}", ", ".join(many))


def _of_rows(
    ds: Dataset, by: str, names: Sequence[str], threshold: float, on: str, counts: tuple[str, ...]
) -> pd.DataFrame:
    """Open features of a few observations."""
    local = "layers/gates" if by == "obs/deep" else f"layers/{by[4:]}_gates"
    ds.need(by, on, local, *counts)
    wanted = [names] if isinstance(names, str) else [str(name) for name in names]
    places = ds.obs_names.get_indexer(pd.Index(wanted, dtype=object))
    unknown = [name for name, place in zip(wanted, places, strict=True) if place < 0]
    check(not unknown, f"names: {', '.join(unknown[:5])} not in obs of {ds.name}")
    gates, values = ds.rows(places, local), ds.rows(places, on)
    totals = ds.read(counts[0]).to_numpy()[places] if counts else None
    row, feature, gate, value = open_of_rows(gates, values, threshold, totals)
    return pd.DataFrame(
        {
            "observation": np.array(wanted, dtype=object)[row],
            "group": ds.read(by).astype(str).to_numpy()[places[row]],
            "feature": ds.var_names.to_numpy()[feature],
            "gate": gate,
            "value": value,
        }
    )
