"""Alignment of tables and columns with the names of a dataset."""

from __future__ import annotations

from typing import Any

import pandas as pd

from kithkin.core.errors import ParameterError


def align(values: Any, names: pd.Index[str], what: str) -> Any:
    """Bring a Series or DataFrame into the order of names; anything else, and what is only numbered, stays as it is.

    Parameters
    ----------
    values
        Anything.
    names
        Names of the observations or variables.
    what
        Word for the values in messages.

    Raises
    ------
    ParameterError
        If there are as many rows as names, but under other names.

    Examples
    --------
    >>> align(pd.Series([1, 2], index=["b", "a"]), pd.Index(["a", "b"]), "cells").tolist()
    [2, 1]
    """
    if not isinstance(values, (pd.Series, pd.DataFrame)) or len(values) != len(names):
        return values
    own = pd.Index(values.index.astype(str).to_numpy(object), dtype=object)
    if own.equals(pd.Index(names, dtype=object)):
        return values
    if own.is_unique and own.isin(names).all():
        return values.set_axis(own).reindex(names)
    if isinstance(values.index, pd.RangeIndex):
        return values
    unknown = own[~own.isin(names)]
    which = ", ".join(unknown[:5]) if len(unknown) else "some of them twice"
    raise ParameterError(f"{what} is indexed by other names than the dataset: {which}. Give an array to go by position")
