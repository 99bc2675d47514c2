"""Chosen rows and columns of a table, block by block."""

from __future__ import annotations

from copy import copy

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import check
from kithkin.kernels.select import select_entries
from kithkin.models.estimator import Estimator


class Selection(Estimator):
    """Keep some rows and some columns of a table; call it with each block and its first row.

    Parameters
    ----------
    rows
        One boolean for each row of the table.
    columns
        One boolean for each column of the table.

    Raises
    ------
    ParameterError
        If nothing is kept.

    Examples
    --------
    >>> keep = Selection(np.array([False, True]), np.array([True, False, True]))
    >>> keep(np.array([[1, 2, 3], [4, 5, 6]]), 0).tolist()
    [[4, 6]]
    """

    _first = 0  # row of the table to which the first boolean belongs

    def __init__(self, rows: Array, columns: Array) -> None:
        self.rows, self.columns = rows, columns
        kept = self.shape
        check(kept[0] > 0, "no rows are left: the condition removes all of them")
        check(kept[1] > 0, "no columns are left: the condition removes all of them")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are kept."""
        return int(np.count_nonzero(self.rows)), int(np.count_nonzero(self.columns))

    def only(self, start: int, stop: int) -> Selection:
        """Return the same for rows start to stop of the table alone."""
        other = copy(self)
        other.rows, other._first = self.rows[start - self._first : stop - self._first], start
        return other

    def __call__(self, block: Block, start: int) -> Block:
        """Return the kept part of a block whose first row is `start`."""
        first = start - self._first
        keep = np.asarray(self.rows[first : first + block.shape[0]], bool)
        columns = np.asarray(self.columns, bool)
        if not isinstance(block, SparseRows):
            part: Array = block[keep][:, columns]
            return part
        position = np.where(columns, np.cumsum(columns) - 1, -1).astype(np.int32)
        size = len(block.data)
        data, indices = np.empty_like(block.data), np.empty(size, block.indices.dtype)
        indptr = np.empty(int(keep.sum()) + 1, np.int64)
        used = select_entries(block.data, block.indices, block.indptr, keep, position, data, indices, indptr)
        return SparseRows(data[:used], indices[:used], indptr, int(columns.sum()))
