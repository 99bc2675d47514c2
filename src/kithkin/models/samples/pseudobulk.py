"""Sums of the rows of each group: pseudobulks, the counts of a sample as if its cells had been sequenced together."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, SparseRows, as_blocks, as_numbers
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.kernels.counts import dense_sums, sparse_sums
from kithkin.models.estimator import Estimator
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory


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
        n, p = blocks.shape
        right = codes.shape == (n,) and codes.dtype.kind in "iu"
        check(right, f"groups must be {n} integers, got {codes.dtype} of shape {codes.shape}")
        k = int(codes.max(initial=-1)) + 1
        check(k > 0, "groups must hold a group of at least one row, got none")
        whole = blocks.dtype.kind in "biu"
        work = partial(sum_run, codes=codes.astype(np.int64), shape=(k, p), dtype=np.int64 if whole else np.float64)
        execution = within_memory(execution, 8 * k * p)
        (self.sums_,) = reduce_blocks(work, blocks, execution, "pseudobulk")
        check(whole or bool(np.isfinite(self.sums_).all()), "X must be finite, but it holds NaN or infinity")
        self.n_cells_ = np.bincount(codes[codes >= 0], minlength=k).astype(np.int64)
        return self


def sum_run(run: BlockRun, _start: int, codes: Array, shape: tuple[int, int], dtype: Any) -> tuple[Array]:
    """Sum the rows of each group of a run of blocks."""
    sums = np.zeros(shape, dtype)
    for start, block in run:
        some = codes[start : start + block.shape[0]]
        if isinstance(block, SparseRows):
            sparse_sums(block.data, block.indices, block.indptr, some, sums)
        else:
            dense_sums(block, some, sums)
    return (sums,)
