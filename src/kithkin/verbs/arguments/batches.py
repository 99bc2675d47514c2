"""Columns of batches, held against what is to be kept of them."""

from __future__ import annotations

import logging

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.metrics.mixing import cramers_v
from kithkin.verbs.arguments.labels import Labels, few, labels_of, without_empty

log = logging.getLogger("kithkin")
SAME, CLOSE = 0.9999, 0.9  # Cramér's V


def batches_of(ds: Dataset, batch: str, option: str = "batch", *, least: int = 1, alone: bool = False) -> Labels:
    """Read a column of batches: every row has one, and there are two at least.

    Parameters
    ----------
    ds
        The dataset.
    batch
        Column of obs.
    option
        Parameter that names the column, with which messages begin.
    least
        Fewest rows of a batch.
    alone
        Take a single batch, too.

    Raises
    ------
    MissingResultError
        If there is no such column.
    ParameterError
        If a row has no batch, all have the same, or a batch has too few rows.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/donor"] = ["x", "y", "x"]
    >>> batches_of(ds, "donor").codes.tolist()
    [0, 1, 0]
    >>> ds["obs/run"] = ["r1"] * 3
    >>> batches_of(ds, "run")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: batch must name two batches or more, but all rows of obs/run are 'r1'
    """
    labels = without_empty(labels_of(ds, batch, option))
    missing = int((labels.codes < 0).sum())
    said = f"{option} must give each row a label, but {missing:,} of {len(labels.codes):,} in {labels.key} have none"
    check(not missing, f"{said}: leave them out with kithkin.subset, or name them with kithkin.annotate")
    one = f"{option} must name two batches or more, but all rows of {labels.key} are {labels.names[0]!r}"
    check(alone or len(labels.names) > 1, one)
    small = [name for name, size in zip(labels.names, labels.sizes, strict=True) if size < least]
    has = f"{few(small)} of {labels.key} {'has' if len(small) == 1 else 'have'} fewer"
    advice = "leave such batches out with kithkin.subset, or join them with others"
    check(not small, f"{option} must name batches of {least} rows or more, but {has}: {advice}")
    return labels


def check_kept(batches: Labels, rows: Array, cells: str, least: int) -> None:
    """Refuse a filter of cells that leaves one batch, or too few cells of one; note batches that it removes.

    Parameters
    ----------
    batches
        Batches of all cells.
    rows
        Whether each cell is kept.
    cells
        The filter.
    least
        Fewest cells of a batch.

    Raises
    ------
    ParameterError
        If fewer than two batches are left, or one has too few cells.
    """
    sizes = dict(zip(batches.names, np.bincount(batches.codes[rows], minlength=len(batches.names)), strict=True))
    left, said = [name for name, size in sizes.items() if size], f"the filter of cells ({cells}) keeps"
    advice = "choose another filter, or leave out batch"
    one = f"batch must name two batches or more, but of {batches.key} {said} only {left[0]!r}"
    check(len(left) > 1, f"{one}: {advice}")
    small = few(name for name in left if sizes[name] < least)
    check(
        not small,
        f"batch must name batches of {least} cells or more, but {said} fewer of {batches.key} {small}: {advice}",
    )
    if len(left) < len(sizes):
        log.warning("%s no cell of %s %s", said, batches.key, few(name for name in sizes if not sizes[name]))


def check_condition(batches: Labels, condition: Labels) -> None:
    """Refuse batches that tell the condition, and warn where they nearly do: what differs by batch is taken out.

    Raises
    ------
    ParameterError
        If Cramér's V of the two is 1, or there is one condition.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(4), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/sample"], ds["obs/donor"], ds["obs/drug"] = list("abcd"), list("xyxy"), list("nnss")
    >>> check_condition(labels_of(ds, "donor"), labels_of(ds, "drug"))
    >>> check_condition(labels_of(ds, "sample"), labels_of(ds, "drug"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: obs/sample tells obs/drug (Cramér's V = 1), ...
    """
    n = "one" if condition.names else "none"
    check(len(condition.names) > 1, f"condition must have two labels or more, but {condition.key} has {n}")
    v = cramers_v(batches.codes, condition.codes)
    advice = "name batches that hold several conditions each, such as donors, or leave out condition= to mix both"
    told = f"{batches.key} tells {condition.key} (Cramér's V = 1), so that taking out the one takes out the other"
    check(v < SAME, f"{told}: {advice}")
    if v > CLOSE:
        log.warning(
            "%s nearly tells %s (Cramér's V = %.2f): most of what differs between the conditions is taken out",
            batches.key, condition.key, v,
        )  # fmt: skip
