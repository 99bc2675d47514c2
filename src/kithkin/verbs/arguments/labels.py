"""Columns of labels: read as codes, compared, and made from codes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from natsort import natsorted

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.keys import Key, column_key
from kithkin.metrics import partition

log = logging.getLogger("kithkin")
MOST = 8000  # labels of a column: the table of two such columns takes half a gigabyte


def few(names: Iterable[Any]) -> str:
    """List the first five names for a message.

    Examples
    --------
    >>> few("abcdefg")
    'a, b, c, d, e, ...'
    """
    listed = [str(name) for name in names]
    return ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")


@dataclass(frozen=True)
class Labels:
    """A column of obs as labels.

    Attributes
    ----------
    key
        Key of the column, such as "obs/leiden".
    codes
        Length n int32, positions of the labels in `names`; -1 where a label is missing.
    names
        Labels that occur: categories in their order, numbers ascending, texts in natural order.

    Examples
    --------
    >>> Labels("obs/a", np.array([0, -1, 0], np.int32), ["x"]).sizes.tolist()
    [2]
    """

    key: str
    codes: Array
    names: list[str]

    @property
    def sizes(self) -> Array:
        """Number of rows with each label."""
        sizes: Array = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        return sizes

    @property
    def index(self) -> pd.Index[str]:
        """Names as an index that is named by the key."""
        return pd.Index(self.names, dtype=object, name=self.key)

    def require(self, *labels: Any) -> list[str]:
        """Return labels as texts, after checking that they occur.

        Raises
        ------
        ParameterError
            If the column has no such label.
        """
        wanted = [str(label) for label in labels]
        unknown = [label for label in wanted if label not in self.names]
        listed = few(self.names[:20]) if len(self.names) > 20 else ", ".join(self.names)
        check(not unknown, f"{self.key} has no label {few(unknown)}: there are {listed}")
        return wanted

    def contingency(self, other: Labels) -> Array:
        """Count the rows of each pair of labels, also of labels that occur only where the other is missing."""
        counts = np.zeros((len(self.names), len(other.names)), np.int64)
        occurring = partition.contingency(self.codes, other.codes)
        counts[: occurring.shape[0], : occurring.shape[1]] = occurring
        return counts


def labels_of(ds: Dataset, key: str) -> Labels:
    """Read a column of obs of any type as labels.

    Parameters
    ----------
    ds
        The dataset.
    key
        Column to read; "obs/" may be left out.

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
    >>> _ = kk.annotate(ds, "known", [True, False, None])
    >>> labels = labels_of(ds, "known")
    >>> labels.codes.tolist(), labels.names
    ([1, 0, -1], ['False', 'True'])
    """
    key = column_key(key)
    column: pd.Series[Any] = ds.read(key)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        codes, values = column.cat.codes.to_numpy(np.int32), column.cat.categories
        names = [_name(value, key) for value in values]
    else:
        first_seen, values = pd.factorize(column)
        check(len(values) <= MOST, f"{key} has {len(values):,} different values: labels may have {MOST:,}")
        unsorted = [_name(value, key) for value in values]
        numeric = pd.api.types.is_numeric_dtype(values)  # also true of booleans
        names = [_name(value, key) for value in sorted(values)] if numeric else natsorted(unsorted)
        rank = np.append(pd.Index(names).get_indexer(pd.Index(unsorted)), -1)  # the code -1 is that of the last
        codes = rank[first_seen].astype(np.int32)
    check(len(names) <= MOST, f"{key} has {len(names):,} different values: labels may have {MOST:,}")
    return Labels(key, codes, names)


def _name(value: Any, key: str) -> str:
    if isinstance(value, float):
        check(value.is_integer(), f"{key} holds measurements such as {value:g}, not labels")
        return str(int(value))
    return str(value)


def label_column(ds: Dataset, key: str, codes: Array, names: Iterable[Any] | None = None) -> pd.Series[Any]:
    """Make a categorical column of obs from codes.

    Parameters
    ----------
    ds
        The dataset.
    key
        Key of the column.
    codes
        Length n, position of each label; -1 where it is missing.
    names
        Labels in the order of the categories; by default "0", "1", ...

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> label_column(ds, "obs/a", np.array([1, 0, -1]), ["x", "y"]).tolist()
    ['y', 'x', nan]
    """
    listed = [str(name) for name in (range(int(codes.max()) + 1) if names is None else names)]
    values = pd.Categorical.from_codes(codes, pd.Index(listed, dtype=object))
    return pd.Series(values, index=ds.obs_names, name=Key.parse(key, "obs").name)
