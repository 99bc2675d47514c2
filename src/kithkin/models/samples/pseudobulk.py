"""Sums of the rows of each group: pseudobulks, the counts of a sample as if its cells had been sequenced together."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, as_blocks, as_numbers
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.models.estimator import Estimator
from kithkin.models.table.group_means import group_sums


class Pseudobulk(Estimator):
    """Sums of the rows of each group of a table, in one pass.

    Memory is a few tables of groups x columns, and a few blocks. Sums of integers are exact.

    Attributes
    ----------
    sums_
        Sums of the rows of each group, k x p; int64 of a table of integers, else float64.
    n_cells_
        Number of rows of each group, k, int64.

    Examples
    --------
    >>> X = np.array([[1, 0], [2, 5], [3, 1], [9, 9]], np.uint8)
    >>> bulk = Pseudobulk().fit(X, np.array([1, 0, 1, -1]))
    >>> bulk.sums_.tolist(), bulk.n_cells_.tolist()
    ([[2, 5], [4, 1]], [1, 2])
    """

    sums_: Array
    n_cells_: Array

    def __init__(self) -> None:
        pass

    def fit(self, X: Any, groups: Any, execution: Execution | None = None) -> Self:
        """Sum the rows of each group.

        Parameters
        ----------
        X
            n x p array, SciPy sparse matrix or row blocks.
        groups
            Group of each row: n integers from 0; a row of a negative group is left out.
        execution
            Memory and threads.

        Raises
        ------
        ParameterError
            If there is not one group for each row, no row is in a group, or a value is NaN or infinite.
        """
        blocks, codes = as_blocks(X), as_numbers(groups, "groups")
        n = blocks.shape[0]
        right = codes.shape == (n,) and codes.dtype.kind in "iu"
        check(right, f"groups must be {n} integers, got {codes.dtype} of shape {codes.shape}")
        k = int(codes.max(initial=-1)) + 1
        check(k > 0, "groups must hold a group of at least one row, got none")
        self.sums_ = group_sums(blocks, codes, k, execution, "pseudobulk")
        finite = self.sums_.dtype.kind == "i" or bool(np.isfinite(self.sums_).all())
        check(finite, "X must be finite, but it holds NaN or infinity")
        self.n_cells_ = np.bincount(codes[codes >= 0], minlength=k).astype(np.int64)
        return self
