"""Parts of row blocks, functions and arrays that a task on some rows is sent: nothing that belongs to other rows."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
B = TypeVar("B")


class RowValues:
    """One value for each row of a table, of which a task on some rows is sent only theirs.

    Examples
    --------
    >>> only_rows(RowValues(np.arange(10)), 4, 7)[5:7].tolist()
    [5, 6]
    """

    def __init__(self, values: Array, first: int = 0) -> None:
        self.values, self.first = values, first

    def __getitem__(self, rows: slice) -> Array:
        part: Array = self.values[rows.start - self.first : rows.stop - self.first]
        return part

    def only(self, start: int, stop: int) -> RowValues:
        """Return those of rows start to stop."""
        return RowValues(self[start:stop], start)


PerRow: TypeAlias = Array | RowValues


def only_rows(given: Any, start: int, stop: int) -> Any:
    """Return what a task on rows start to stop needs of row blocks, of a function, or of what belongs to each row.

    It is the thing itself, unless that has a method `only(start, stop)`, or is a partial of such things.
    """
    if isinstance(given, partial):
        values = {name: only_rows(value, start, stop) for name, value in given.keywords.items()}
        function, *given_first = (only_rows(value, start, stop) for value in (given.func, *given.args))
        return partial(function, *given_first, **values)
    narrow = getattr(given, "only", None)
    return given if narrow is None or isinstance(given, type) else narrow(start, stop)


def with_ranges(blocks: B, start: int, stop: int) -> B:
    """Return the same row blocks with rows start to stop as the one block, so that no list of all is sent to a task."""
    other: Any = object.__new__(type(blocks))
    other.__dict__.update(blocks.__dict__)
    other.ranges = [(start, stop)]
    same: B = other
    return same
