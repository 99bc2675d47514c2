"""Sums and means of the rows of each group, in one pass."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows, as_blocks
from kithkin.core.execute import Execution
from kithkin.core.own_rows import PerRow, RowValues
from kithkin.kernels.counts import dense_sums, sparse_sums
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory


def group_sums(X: Any, codes: Array, n_groups: int, execution: Execution | None = None, label: str = "") -> Array:
    """Sum the rows of each group; memory is a few tables of groups x columns, and a few blocks.

    Parameters
    ----------
    X
        n x p array, SciPy sparse matrix or row blocks; further dimensions of rows are made one.
    codes
        Group of each row: n integers from 0; a row of a negative group is left out.
    n_groups
        Number of groups, k.
    execution
        Memory and threads.
    label
        Text of the progress bar.

    Returns
    -------
    ndarray
        k x p; int64 of a table of integers, so that sums are exact, else float64.

    Examples
    --------
    >>> group_sums(np.array([[1, 0], [2, 5], [3, 1]], np.uint8), np.array([1, 0, 1]), 2).tolist()
    [[2, 5], [4, 1]]
    """
    blocks = as_blocks(X)
    shape = (n_groups, int(np.prod(blocks.shape[1:])))
    dtype = np.int64 if blocks.dtype.kind in "biu" else np.float64
    work = partial(sum_run, codes=RowValues(codes.astype(np.int64)), shape=shape, dtype=dtype)
    (sums,) = reduce_blocks(work, blocks, within_memory(execution, 8 * shape[0] * shape[1]), label)
    return sums


def sum_run(run: BlockRun, _start: int, codes: PerRow, shape: tuple[int, int], dtype: Any) -> tuple[Array]:
    """Sum the rows of each group of a run of blocks."""
    sums = np.zeros(shape, dtype)
    for start, block in run:
        some = codes[start : start + block.shape[0]]
        if isinstance(block, SparseRows):
            sparse_sums(block.data, block.indices, block.indptr, some, sums)
        else:
            dense_sums(block.reshape(len(block), -1), some, sums)
    return (sums,)


def group_means(
    X: Any,
    codes: Array,
    n_groups: int,
    inside: Array | None = None,
    execution: Execution | None = None,
    label: str = "means",
) -> tuple[Array, Array]:
    """Compute the mean of each column over the rows of each group, and the number of rows of each.

    Parameters
    ----------
    X
        n x p array, SciPy sparse matrix or row blocks; or images, n x ... x rows x columns.
    codes
        Group of each row: n integers from 0; a row of a negative group is left out.
    n_groups
        Number of groups, k.
    inside
        First and past-the-last row, first and past-the-last column of what is no padding of each image, n x 4: padding
        is 0, and is not counted. None: no image has any.
    execution
        Memory and threads.
    label
        Text of the progress bar.

    Returns
    -------
    tuple
        Means, k x the shape of a row, float64: NaN of a group without rows, of pixels that lie inside no image, and of
        columns in which a row of the group is NaN. Number of rows of each group, k, int64.

    Examples
    --------
    >>> means, sizes = group_means(np.array([[1, 0], [2, 5], [3, 1]]), np.array([1, 0, 1]), 3)
    >>> means.tolist(), sizes.tolist()
    ([[2.0, 5.0], [2.0, 0.5], [nan, nan]], [1, 2, 0])
    """
    blocks = as_blocks(X)
    row: tuple[int, ...] = tuple(blocks.shape[1:])
    sums = group_sums(blocks, codes, n_groups, execution, label)
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is the NaN of what was not seen
        if inside is None:
            return (sums / sizes[:, None]).reshape(n_groups, *row), sizes
        height, width = row[-2:]
        counts, whole = np.zeros((n_groups, 1, height, width)), (inside == [0, height, 0, width]).all(axis=1)
        counts += np.bincount(codes[whole & (codes >= 0)], minlength=n_groups)[:, None, None, None]
        for k in np.flatnonzero(~whole & (codes >= 0)):
            top, bottom, left, right = inside[k]
            counts[codes[k], 0, top:bottom, left:right] += 1
        return (sums.reshape(n_groups, -1, height, width) / counts).reshape(n_groups, *row), sizes
