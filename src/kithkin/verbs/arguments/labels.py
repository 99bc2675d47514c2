"""Columns of labels: read as codes, compared, made from codes, and changed in place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from natsort import natsorted

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_known
from kithkin.core.history import Step, plain
from kithkin.core.keys import Key
from kithkin.metrics import partition

log = logging.getLogger("kithkin")
MOST = 8000  # labels of a column: the table of two such columns takes half a gigabyte
# of a column of numbers that may be labels; beyond, or where most rows have another one, they are measurements
MOST_NUMBERS, FEW = 1000, 20
PAST = ("after", "found")  # of a change in place: what was done to the column before, and what was in it
STALE = "what it was computed from has changed. Compute it again first, or give key another name"


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
        check_known(wanted, self.names, f"{self.key} has no label")
        return wanted

    def contingency(self, other: Labels) -> Array:
        """Count the rows of each pair of labels, also of labels that occur only where the other is missing."""
        counts = np.zeros((len(self.names), len(other.names)), np.int64)
        occurring = partition.contingency(self.codes, other.codes)
        counts[: occurring.shape[0], : occurring.shape[1]] = occurring
        return counts


def label_texts(column: pd.Series[Any]) -> list[Any]:
    """Return the labels of a column as texts, 1.0 as "1", and None where one is missing.

    Examples
    --------
    >>> label_texts(pd.Series([1.0, None, 2.5])), label_texts(pd.Series(["a", "b"]))
    (['1', None, '2.5'], ['a', 'b'])
    """
    whole = [int(one) if isinstance(one, float) and one.is_integer() else one for one in column.astype(object)]
    return [None if absent else str(one) for one, absent in zip(whole, column.isna(), strict=True)]


def as_labels(column: pd.Series[Any], key: str, option: str) -> pd.Series[Any]:
    """Take a column of obs as categories, after checking that it holds labels and not measurements.

    Messages begin with `option`, the parameter that names the column.

    Raises
    ------
    ParameterError
        If it holds measurements, or more than 8000 different values.

    Examples
    --------
    >>> as_labels(pd.Series([0.5, 1.0]), "obs/age", "by")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: by must name labels such as obs/leiden, but obs/age holds numbers such as 0.5
    """
    labels, wanted = column.astype("category"), f"{option} must name labels such as obs/leiden, but {key} holds"
    broken = [value for value in labels.cat.categories if isinstance(value, float) and not value.is_integer()]
    check(not broken, f"{wanted} numbers such as {broken[0] if broken else 0:g}")
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    n, most = labels.nunique(), min(MOST_NUMBERS, max(FEW, len(column) // 2)) if numeric else MOST
    check(n <= most, f"{wanted} {n:,} different {'numbers' if numeric else 'values'}, and {most:,} are possible")
    return labels


def note_missing(labels: pd.Series[Any], key: str) -> None:
    """Note how many rows have no label, and are therefore left out; a text without letters is none."""
    missing = int((labels.isna() | (labels == "")).sum())
    if missing:
        rows = "row without a label in %s was" if missing == 1 else "rows without a label in %s were"
        log.warning(f"%s {rows} left out", f"{missing:,}", key)


def labels_of(ds: Dataset, key: str, option: str = "by") -> Labels:
    """Read a column of obs of any type as labels.

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
    key = str(Key.parse(key, "obs", option=option))
    column = ds.read(key)
    labels = as_labels(column, key, option).cat.remove_unused_categories()
    codes, values = labels.cat.codes.to_numpy(np.int32), labels.cat.categories
    names = [str(int(value)) if isinstance(value, float) else str(value) for value in values]
    if not isinstance(column.dtype, pd.CategoricalDtype) and not pd.api.types.is_numeric_dtype(values):
        order = natsorted(names)  # of texts; numbers and booleans are in order already
        codes = np.append(pd.Index(order).get_indexer(pd.Index(names)), -1)[codes].astype(np.int32)  # -1: the last
        names = order
    return Labels(key, codes, names)


def without_empty(labels: Labels) -> Labels:
    """Take a text without letters as a label that is missing.

    Examples
    --------
    >>> without_empty(Labels("obs/a", np.array([2, 0, 1]), ["", "s1", "s2"])).codes.tolist()
    [1, -1, 0]
    """
    if "" not in labels.names:
        return labels
    empty = labels.names.index("")
    codes = np.where(labels.codes == empty, -1, labels.codes - (labels.codes > empty)).astype(np.int32)
    return replace(labels, codes=codes, names=[name for name in labels.names if name])


def label_column(ds: Dataset, key: str, codes: Array, names: Iterable[Any] | None = None) -> pd.Series[Any]:
    """Make a categorical column of obs from codes, -1 where a label is missing; named "0", "1", ... by default.

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


def change_labels(
    ds: Dataset, column: str, step: Step, key: str | None, change: Callable[[Labels], pd.Series[Any]]
) -> pd.Series[Any]:
    """Carry out a change of a column: in place, or into another column.

    A step whose output is its own input would be stale as soon as it is done. So what was in the column before, with
    all that had been done to it, is a parameter of the change in place; and its inputs are those from which the column
    was computed, so that it becomes stale when they change.
    """
    target = Key.of(None if key == "auto" else key, column)
    if str(target) != column:
        step = replace(step, inputs=(column, *step.inputs), outputs=(str(target),))
    else:
        ds.need(column)
        entry = next((entry for entry in reversed(ds.lineage.entries) if column in entry.outputs), None)
        # the step as a change in place; if it was the last thing done to the column, that very step again
        inputs, past = tuple[str, ...](), dict.fromkeys(PAST)
        earlier = list[str]()
        if entry is not None:
            inputs = tuple(name for name in entry.inputs if not name.startswith("file:"))
            past = {name: entry.parameters.get(name) for name in PAST}
            settings = (f"{name}={value!r}" for name, value in entry.parameters.items() if name not in PAST)
            earlier = [*(past["after"] or []), f"{entry.verb}({', '.join(settings)})"]
        parameters = {**step.parameters, **past}
        if entry is None or entry.verb != step.verb or entry.parameters != plain(parameters):
            parameters = {**step.parameters, "after": earlier, "found": ds.lineage.identity(column)}
            inputs = tuple(dict.fromkeys((*inputs, *step.inputs)))
        step = replace(step, parameters=parameters, inputs=inputs, outputs=(column,))
        if ds.lineage.is_current(step):
            return ds.read(column)  # type: ignore[no-any-return]
        check(key is None or entry is None or not ds.lineage.is_stale(entry), f"{column} is stale: {STALE}")
    return ds.result(  # type: ignore[no-any-return]
        step, lambda: {str(target): change(labels_of(ds, column)).rename(target.name)}, store=key is not None
    )
