"""A quick first guess at groups of cells, for models that need somewhere to begin."""

from __future__ import annotations

from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, Blocks, Mapped, SparseRows
from kithkin.core.execute import Execution
from kithkin.models.kmeans import KMeans
from kithkin.models.normalize import row_scale
from kithkin.models.pca import PCA

COMPONENTS = 30


def rough_groups(
    blocks: Blocks, n_groups: int, totals: Array, seed: int = 0, execution: Execution | None = None
) -> Array:
    """k-means on principal components of square roots of shares, which evens out the variance of counts.

    Parameters
    ----------
    blocks
        Counts, n x p.
    n_groups
        How many.
    totals
        Counts of each row, n.
    seed
        Of k-means and the components.
    execution
        Memory and threads.

    Returns
    -------
    ndarray
        n int32, 0 to n_groups - 1.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.repeat([[9, 1, 0], [0, 2, 8]], 4, axis=0)
    >>> labels = rough_groups(InMemory(X), 2, X.sum(axis=1))
    >>> bool(np.all(labels[:4] != labels[4]))
    True
    """
    roots = Mapped(blocks, partial(_roots, row_scale(totals, 1.0)), dtype=np.dtype(np.float32))
    n_components = min(COMPONENTS, n_groups + 5, *(size - 1 for size in blocks.shape))
    if n_components < 1 or n_groups == 1:
        return np.zeros(blocks.shape[0], np.int32)
    method = "covariance" if blocks.shape[1] <= 1000 else "truncated"
    scores = PCA(n_components, normalize=None, method=method, seed=seed).fit_transform(roots, execution=execution)
    return KMeans(n_groups, n_starts=10, seed=seed).fit(scores, execution).labels_


def _roots(scale: Array, block: Block, start: int) -> Block:
    factor = scale[start : start + block.shape[0]]
    if isinstance(block, SparseRows):
        roots = np.sqrt(block.data * np.repeat(factor, np.diff(block.indptr)))
        return SparseRows(roots.astype(np.float32), block.indices, block.indptr, block.n_columns)
    out: Array = np.sqrt(block * factor[:, None]).astype(np.float32)
    return out
