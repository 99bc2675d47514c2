"""Clusters put together, in the column where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.verbs.arguments.labels import Labels, change_labels, label_column


def merge_labels(
    ds: Dataset, on: str, *, groups: Mapping[str, Any] | Sequence[str], key: str | None = "auto"
) -> pd.Series[Any]:
    """Merge clusters, in place.

    A merged cluster takes the place of its first member in the order of the labels. Doing the same again is a look-up;
    computing the clusters again writes over it.

    Parameters
    ----------
    ds
        The dataset.
    on
        Column of obs with the clusters.
    groups
        New name and the clusters that it replaces, such as "T cells=1,3". In Python also a mapping such as
        {"T cells": ["1", "3"]}.
    key
        Key under which the result is stored; without one it is only returned. "auto": the column itself; another column
        leaves the first as it is.

    Returns
    -------
    Series
        n labels, categorical.

    Raises
    ------
    ParameterError
        If a cluster is unknown or in two groups, or a new name is that of a cluster outside its group.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> merge_labels(ds, "obs/group", groups={"both": ["0", "2"]}).cat.categories.tolist()
    ['both', '1']
    """
    wanted = _groups(groups)

    def change(labels: Labels) -> pd.Series[Any]:
        taken: dict[str, str] = {}
        for name, members in wanted.items():
            for member in labels.require(*members):
                check(member not in taken, f"{member} is in two groups: {taken.get(member)} and {name}")
                taken[member] = name
        for name in wanted:
            alone = name not in labels.names or taken.get(name) == name
            check(alone, f"{name} is a label of {labels.key} already: put it in the group, or choose another name")
        renamed = [taken.get(name, name) for name in labels.names]
        names = list(dict.fromkeys(renamed))
        position = pd.Index(names).get_indexer(pd.Index(renamed))
        return label_column(ds, labels.key, np.append(position, -1)[labels.codes], names)

    column = str(Key.parse(on, "obs", option="on"))
    return change_labels(ds, column, Step("merge_labels", 1, {"on": column, "groups": wanted}, (), ()), key, change)


def _groups(groups: Mapping[str, Any] | Sequence[str]) -> dict[str, list[str]]:
    """Read groups from a mapping, or from texts such as "T cells=1,3"."""
    if not isinstance(groups, Mapping):
        texts = [groups] if isinstance(groups, str) else list(groups)
        pairs = [str(text).partition("=") for text in texts]
        for text, (name, sign, members) in zip(texts, pairs, strict=True):
            check(bool(name.strip() and sign and members), f"groups must look like 'T cells=1,3', got {text!r}")
        names = [name.strip() for name, _, _ in pairs]
        twice = [name for name in names if names.count(name) > 1]
        check(not twice, f"groups name {twice[0] if twice else ''} twice")
        groups = {name.strip(): [member.strip() for member in members.split(",")] for name, _, members in pairs}
    listed = (str, int, float, bool, np.generic)
    wanted = {
        str(name): [str(member) for member in ([members] if isinstance(members, listed) else members)]
        for name, members in groups.items()
    }
    check(bool(wanted), "groups must hold one group at least")
    empty = [name for name, members in wanted.items() if not members]
    check(not empty, f"groups lists no cluster for {empty[0] if empty else ''}")
    return wanted
