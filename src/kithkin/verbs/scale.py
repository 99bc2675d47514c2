"""Columns of values on one scale, for distances: units, missing values and categories."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.table.scaler import Scaler
from kithkin.verbs.arguments.columns import column_names
from kithkin.verbs.arguments.labels import few, labels_of

log = logging.getLogger("kithkin")
MOST_CATEGORIES = 50  # of a column that takes part: each is a column of the scaled table


def scale(
    ds: Dataset,
    method: Literal["auto", "robust", "standard", "none"] = "auto",
    *,
    missing: Literal["median", "error"] = "median",
    categories: str | Iterable[str] | None = None,
    on: str = "X",
    key: str | None = "obsm/X_scaled",
) -> Array:
    """Scale the columns of a table of values, fill in missing values, and add categories as columns of 0 and 1.

    Components and neighbours are then computed from obsm/X_scaled, which `kithkin.pca` takes as its `on`.

    Parameters
    ----------
    ds
        The dataset.
    method
        "robust": minus the median, divided by the spread, which is that of the quartiles or of the values between the
        1st and 99th percentiles, whichever is larger; skewed columns are first brought to a logarithm (or an inverse
        hyperbolic sine, where values are negative); values beyond 5 are clipped. "standard": minus the mean, divided by
        the standard deviation. "none": as they are. "auto": "none" where the columns seem to be in one unit, since the
        ranges of nine in ten are within a factor of 4 of the median range; else "robust".
    missing
        "median": a missing value becomes the median of its column. "error": it is refused.
    categories
        Columns of obs whose labels take part: each label becomes a column of 0 and 1, and a row without a label has
        zeros only. Different labels are as far apart as two values that differ by 1.4 standard deviations.
    on
        Table to read: X, a layer, or a table in obsm.
    key
        Key under which the result is stored; without one it is only returned.

    Returns
    -------
    ndarray
        n x q float32, first the columns of the table, then those of the categories. Also stored: uns/scaled, with the
        columns and the transform, centre and spread of each.

    Raises
    ------
    ParameterError
        If a column has no value, a value is infinite, one is missing and `missing` is "error", or a column of obs has
        more than 50 labels.

    References
    ----------
    Hinkley 1975, doi:10.1093/biomet/62.1.101, on skewness by quantiles.

    Examples
    --------
    >>> import kithkin as kk, pandas as pd, tempfile
    >>> table = pd.DataFrame({"gram": [1.0, 2.0, 3.0, 4.0], "metre": [0.001, 0.003, 0.002, 0.004]})
    >>> ds = kk.read(table, to=tempfile.mkdtemp() + "/a.zarr")
    >>> print(kk.scale(ds, "standard")[:2].round(2))
    [[-1.34 -1.34]
     [-0.45  0.45]]
    """
    check_choice("method", method, ("auto", "robust", "standard", "none"))
    columns = [categories] if isinstance(categories, str) else list(categories or ())
    columns = [str(Key.parse(column, "obs", option="categories")) for column in columns]
    target = Key.of(key, "obsm/X_scaled")
    outputs = (str(target), str(Key("uns", target.name.removeprefix("X_"))))
    parameters: dict[str, Any] = {"method": method, "missing": missing, "categories": columns, "on": on}

    def compute() -> dict[str, Any]:
        size, budget = 4 * int(np.prod(ds.blocks(on).shape)), ds.execution.memory
        advice = "take fewer columns, or open the dataset with more memory"
        check(size <= budget, f"{on} scaled takes {size / 1e9:.1f} GB, and memory is {budget / 1e9:.1f} GB: {advice}")
        model = Scaler(method, missing=missing)
        parts, names = [model.fit_transform(ds.blocks(on), ds.execution)], column_names(ds, on, len(model.fill_))
        for column in columns:
            labels = labels_of(ds, column)
            n_labels = len(labels.names)
            check(n_labels <= MOST_CATEGORIES, f"{column} has {n_labels:,} labels: at most {MOST_CATEGORIES} take part")
            parts.append((labels.codes[:, None] == np.arange(n_labels)).astype(np.float32))
            names += [f"{Key.parse(column).name}={label}" for label in labels.names]
        _say(model, names, method)
        about = {
            "params": {**{name: value for name, value in parameters.items() if value}, "method": model.method_},
            "columns": np.asarray(names, object),
            "transform": model.transform_,
            "center": model.center_,
            "scale": model.scale_,
            "inner_center": model.inner_center_,
            "inner_scale": model.inner_scale_,
            "fill": model.fill_,
            "n_missing": model.n_missing_,
        }
        return dict(zip(outputs, (np.hstack(parts) if len(parts) > 1 else parts[0], about), strict=True))

    result: Array = ds.result(Step("scale", 1, parameters, (on, *columns), outputs), compute, store=key is not None)
    return result


def _say(model: Scaler, names: list[str], method: str) -> None:
    """Log which method was chosen, and what was transformed and filled in."""
    if method == "auto" and model.method_ == "none":
        log.info("the columns seem to be in one unit, so they stay as they are; method='robust' would scale each")
    elif method == "auto":
        log.info("the columns are in different units, so each is divided by its spread around the median")
    for kind in ("log1p", "asinh"):
        chosen = [names[j] for j in np.flatnonzero(model.transform_ == kind)]
        if chosen:
            verb = " is" if len(chosen) == 1 else "s are"
            log.info("%d skewed column%s brought to a logarithm first (%s): %s", len(chosen), verb, kind, few(chosen))
    gaps = np.flatnonzero(model.n_missing_)
    if len(gaps):
        listed = few(f"{names[j]} ({model.n_missing_[j]:,})" for j in gaps)
        log.warning("%s missing values are filled in with the median: %s", f"{model.n_missing_.sum():,}", listed)
