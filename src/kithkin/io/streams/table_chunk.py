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
    """Consecutive rows of a table."""

    names: list[str] | None  # of the rows; None if the table has none
    values: Array  # rows x columns of numbers
    others: pd.DataFrame  # columns that do not hold numbers


def stack_columns(columns: Sequence[Any], name: str) -> Array:
    """Stack columns of numbers into one table, exactly.

    The columns are arrays of any numeric type and equal length. Raises FormatError if no one type holds all of them.
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
