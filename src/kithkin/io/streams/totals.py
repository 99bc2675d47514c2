"""Totals of a table, to check what was written against what was read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import FormatError, KithkinError
from kithkin.core.layout import SHARD

CLOSE = 1e-9  # relative; sums of floats depend on the order of the terms


class Totals:
    """Running number, sum and range of the values of a table.

    `stored` counts the values other than zero. `total` is the sum of the values, exact for integers, and `magnitude`
    that of their absolute values. `low` is the smallest value, 0 where there is no negative one; `high` is the largest,
    or 0. `least` is the smallest, which may be positive in a dense table. `real` is True if a value is not whole.
    Missing values (NaN) count as stored, and for nothing else.
    """

    def __init__(self) -> None:
        self.rows, self.stored, self.real = 0, 0, False
        self.low: float = 0
        self.high: float = 0
        self.least: float = math.inf
        self.total: float = 0
        self.magnitude: float = 0

    def add(self, block: Block) -> None:
        """Add a block."""
        self.rows += block.shape[0]
        self.add_values(block.data if isinstance(block, SparseRows) else block.ravel())
        if isinstance(block, SparseRows):
            self.least = min(0, self.least)

    def merge(self, other: Totals) -> None:
        """Add the totals of the next block, as `add` does the block itself.

        Examples
        --------
        >>> both, next_block = Totals(), Totals()
        >>> both.add(np.array([[1, 0]]))
        >>> next_block.add(np.array([[-3, 2]]))
        >>> both.merge(next_block)
        >>> both.rows, both.stored, both.total, both.low, both.high
        (2, 3, 0, -3, 2)
        """
        self.rows, self.stored, self.total = (
            self.rows + other.rows,
            self.stored + other.stored,
            self.total + other.total,
        )
        whole = isinstance(other.total, int)
        self.magnitude = max(self.magnitude, abs(self.total)) if whole else self.magnitude + other.magnitude
        self.least, self.high = min(self.least, other.least), max(self.high, other.high)
        self.low, self.real = min(self.low, other.low), self.real or other.real

    def add_values(self, values: Array) -> None:
        """Add values."""
        self.stored += int(np.count_nonzero(values))
        kind = values.dtype.kind
        if kind == "f":
            missing = np.isnan(values)
            if missing.any():
                values = values[~missing]
                self.real = self.real or bool((values != np.floor(values)).any())
            else:
                self.real = True
            self.total += float(values.sum(dtype=np.float64))
            self.magnitude += float(np.abs(values).sum(dtype=np.float64))
        else:
            self.total += int(values.sum(dtype=np.uint64 if kind == "u" else np.int64))
            self.magnitude = max(self.magnitude, abs(self.total))
        if values.size:
            self.least, self.high = min(self.least, values.min().item()), max(self.high, values.max().item())
            self.low = min(self.low, self.least)

    def agrees(self, total: float) -> bool:
        """Tell whether another sum of the same values is equal, up to rounding if they are not whole."""
        return self.total == total or math.isclose(self.total, total, rel_tol=CLOSE, abs_tol=CLOSE * self.magnitude)


def check_promise(totals: Totals, name: str, stored: int | None, total: float | None) -> list[str]:
    """Check what was read against the promises of the file; return notes for the user.

    Raises FormatError if they differ.
    """
    if stored is not None and totals.stored > stored:
        raise FormatError(f"{name}: {totals.stored} values were read, but {stored} are promised")
    if total is not None and not totals.agrees(total):
        raise FormatError(f"{name}: the values add up to {totals.total}, but {total} is promised")
    dropped = 0 if stored is None else stored - totals.stored
    return [f"{dropped:,} stored zeros of {name} were dropped"] if dropped else []


def check_written(table: Any, totals: Totals, name: str, first: int = 0) -> None:
    """Read a written table again, from a row of its values on, and check it against what went in.

    The table is a Zarr array, or a group with data, indices and indptr. Raises KithkinError if it holds other values,
    or holds in floats what floats cannot hold exactly.
    """
    values = table if hasattr(table, "dtype") else table["data"]
    width = int(np.prod(values.shape[1:]))
    step = max(1, SHARD // max(width, 1))
    written = Totals()
    for start in range(first, values.shape[0], step):
        written.add_values(np.asarray(values[start : start + step]).ravel())
    if written.stored != totals.stored or not totals.agrees(written.total):
        raise KithkinError(
            f"{name} was not written correctly: it holds {written.stored} values that add up to {written.total}, "
            f"but {totals.stored} that add up to {totals.total} were read"
        )
