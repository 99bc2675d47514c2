"""Samples and the clusters within them, as columns of labels and their combinations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.verbs.arguments.labels import Labels, labels_of

log = logging.getLogger("kithkin")


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
    labels = labels_of(ds, key, option)
    if "" in labels.names:
        empty = labels.names.index("")
        codes = np.where(labels.codes == empty, -1, labels.codes - (labels.codes > empty)).astype(np.int32)
        labels = replace(labels, codes=codes, names=[name for name in labels.names if name])
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
