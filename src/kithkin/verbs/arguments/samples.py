"""Samples and the clusters within them, as columns of labels and their combinations."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.verbs.arguments.labels import Labels, labels_of, without_empty
from kithkin.verbs.arguments.normalization import OTHER

log = logging.getLogger("kithkin")


def check_sums(sums: Array, ds: Dataset, on: str, verb: str) -> None:
    """Refuse sums over cells that are not those of counts.

    Raises
    ------
    ParameterError
        If one is negative, or no whole number.
    """
    whole = sums.dtype.kind != "f" or bool((sums == np.floor(sums)).all())
    right = whole and not bool((sums < 0).any())
    check(right, f"{verb} needs counts, and {on} of {ds.name} holds other numbers: {OTHER}")


def groups_of(ds: Dataset, key: str, option: str) -> Labels:
    """Read a column of obs as labels; a text without letters is no label, and a note says how many rows have none.

    Raises
    ------
    MissingResultError
        If there is no such column.
    ParameterError
        If it holds measurements, or more than 8000 different values.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "sample", ["s2", "", "s1"])
    >>> groups_of(ds, "sample", "by").codes.tolist()
    [1, -1, 0]
    """
    labels = without_empty(labels_of(ds, key, option))
    missing = int((labels.codes < 0).sum())
    if missing:
        log.warning(
            "%s %s without a label in %s left out", f"{missing:,}", "row" if missing == 1 else "rows", labels.key
        )
    return labels


def combined(labels: Sequence[Labels]) -> tuple[Array, pd.DataFrame]:
    """Number the combinations of labels that occur, and tabulate them; a row without a label has the number -1.

    Examples
    --------
    >>> first = Labels("obs/a", np.array([0, 0, 1, -1]), ["x", "y"])
    >>> second = Labels("obs/b", np.array([1, 0, 1, 1]), ["u", "v"])
    >>> codes, table = combined([first, second])
    >>> codes.tolist(), table.index.tolist()
    ([1, 0, 2, -1], ['x_u', 'x_v', 'y_v'])
    """
    from anndata.utils import make_index_unique

    number = np.zeros(len(labels[0].codes), np.int64)
    for one in labels:
        number = np.where((number < 0) | (one.codes < 0), -1, number * len(one.names) + one.codes)
    there, codes = np.unique(number, return_inverse=True)
    codes = codes - int(there[0] < 0) if len(there) else codes
    rest, columns = there[there >= 0], dict[str, pd.Categorical]()
    for one in reversed(labels):
        rest, own = np.divmod(rest, len(one.names))
        columns[one.key.partition("/")[2]] = pd.Categorical.from_codes(own, pd.Index(one.names, dtype=object))
    names = ["_".join(row) for row in zip(*(columns[name].astype(str) for name in reversed(columns)), strict=True)]
    index = make_index_unique(pd.Index(names, dtype=object))
    return codes, pd.DataFrame({name: columns[name] for name in reversed(columns)}, index=index)
