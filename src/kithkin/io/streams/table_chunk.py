"""Chunks of a table whose columns are numbers and other things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError


@dataclass(frozen=True)
class TableChunk:
    """Consecutive rows of a table.

    Attributes
    ----------
    names
        Names of the rows; None if the table has none.
    values
        Array of rows x columns of numbers.
    others
        Columns that do not hold numbers.

    Examples
    --------
    >>> TableChunk(None, np.eye(2), pd.DataFrame(index=range(2))).values.shape
    (2, 2)
    """

    names: list[str] | None
    values: Array
    others: pd.DataFrame


def stack_columns(columns: Sequence[Any], name: str) -> Array:
    """Stack columns of numbers into one table, exactly.

    Parameters
    ----------
    columns
        Arrays of any numeric type and equal length, or a table.
    name
        File name, for messages.

    Raises
    ------
    FormatError
        If no one type holds all of them.

    Examples
    --------
    >>> stack_columns([np.array([1, 2]), np.array([0.5, 1])], "a.csv").tolist()
    [[1.0, 0.5], [2.0, 1.0]]
    """
    kinds = {column.dtype for column in columns}
    joint = np.result_type(*kinds)
    if joint.kind == "f" and all(kind.kind in "iu" for kind in kinds):  # uint64 beside signed integers
        if max(int(column.max(initial=0)) for column in columns) >= 2**63:
            raise FormatError(f"{name}: whole numbers of 2**63 and more beside signed ones cannot be kept exactly")
        joint = np.dtype(np.int64)
    out = np.empty((len(columns[0]), len(columns)), joint)
    for k, column in enumerate(columns):
        out[:, k] = column
        if (
            joint.kind == "f"
            and column.dtype.kind in "iu"
            and len(column)
            and max(-int(column.min()), int(column.max())) > 2**53
        ):
            raise FormatError(f"{name}: whole numbers beyond 2**53 beside fractions cannot be kept exactly")
    return out
