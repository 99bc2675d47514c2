"""Columns of a table that the user chose, and those that name its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check_known

FEWEST_COUNTED = 10  # rows of a column that counts up: in a shorter table it may be a coincidence


@dataclass(frozen=True)
class Chosen:
    """Columns to take, columns to leave out and the column of the names, as the user gave them.

    Each list is names, or one text with commas between them.

    Examples
    --------
    >>> Chosen(columns="a,c", ignore=["c"]).mask(["a", "b", "c"], "a.csv").tolist()
    [True, False, False]
    """

    columns: str | Sequence[str] | None = None  # all by default
    ignore: str | Sequence[str] | None = None
    id: str | None = None

    def mask(self, names: Sequence[str], file: str) -> Array:
        """Tell for each column whether it is taken; raises ParameterError at a name that no column has."""
        taken = set(names) if self.columns is None else set(_resolve("columns", self.columns, names, file))
        left = set() if self.ignore is None else set(_resolve("ignore", self.ignore, names, file))
        return np.array([name in taken and name not in left for name in names], bool)

    def asked_for(self, name: str, names: Sequence[str], file: str) -> bool:
        """Tell whether a column is in the list of columns to take."""
        return self.columns is not None and name in _resolve("columns", self.columns, names, file)

    def position(self, names: Sequence[str], file: str) -> int | None:
        """Find the column with the names of the rows; None if none was chosen."""
        return None if self.id is None else list(names).index(_resolve("id", [self.id], names, file)[0])


def _resolve(what: str, given: str | Sequence[str], names: Sequence[str], file: str) -> list[str]:
    """Split lists at their commas, except within the name of a column, and refuse unknown names."""
    found: list[str] = []
    for item in [given] if isinstance(given, str) else given:
        found += [item] if item in names or what == "id" else [part.strip() for part in item.split(",")]
    check_known(found, names, f"{what}: {file} has no column")
    return found


def counts_up(numbers: Array, *, whole_table: bool = True) -> bool:
    """Tell whether a column only counts its rows, from 0 or 1 in steps of 1.

    Examples
    --------
    >>> counts_up(np.arange(1.0, 12)), counts_up(np.arange(2.0, 13))
    (True, False)
    """
    enough = len(numbers) >= (FEWEST_COUNTED if whole_table else 2)
    return enough and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())
