"""Nearest neighbours of every row, and the weighted graph that clustering and layout work on."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Blocks, as_blocks, even_ranges
from kithkin.core.errors import ParameterError, check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks, map_tasks
from kithkin.kernels.fuzzy import membership, transpose, union
from kithkin.models.blas import single_threaded
from kithkin.models.neighbor_search import search

EXACT_BELOW = 30_000  # rows; below, comparing all with all costs no more than the partitions do


class Neighbors:
    """Nearest neighbours of every row and UMAP's fuzzy graph of them.

    Exact search compares all rows with all rows. Partitioned search, for many rows, puts the rows into cells by
    k-means, compares each row with the rows of the 16 cells nearest to its own, and then with the neighbours of its
    neighbours, which mends the borders. Both are matrix products in single precision, taken around the center of the
    cell so that nothing is lost where groups lie far apart; the distances returned are computed anew from the rows.

    As in UMAP and scanpy, n_neighbors counts the row itself: n_neighbors=15 gives 14 others.

    Parameters
    ----------
    n_neighbors
        Neighbours of a row, itself included.
    method
        "exact", "partitioned", or "auto": exact below 30,000 rows.
    metric
        "euclidean", or "cosine" (1 - cosine of the angle).
    seed
        Of the cells.

    Attributes
    ----------
    indices_
        n x (n_neighbors - 1) int32, by distance, without the row itself; rows that are equal are listed.
    distances_
        n x (n_neighbors - 1) float32.
    distances_graph_
        n x n CSR float32: the same distances; between equal rows zeros are stored.
    connectivities_
        n x n CSR float32, symmetric, weights in 0..1: the fuzzy simplicial set (local connectivity 1, union).

    References
    ----------
    McInnes, Healy and Melville, UMAP (2018), doi:10.48550/arXiv.1802.03426.
    Jégou, Douze and Schmid, Product quantization for nearest neighbor search (2011), doi:10.1109/TPAMI.2010.57.
    Dong, Moses and Li, Efficient k-nearest neighbor graph construction (2011), doi:10.1145/1963405.1963487.

    Examples
    --------
    >>> model = Neighbors(3).fit(np.array([[0.0], [1.0], [3.0], [3.5]]))
    >>> model.indices_.tolist()
    [[1, 2], [0, 2], [3, 1], [2, 1]]
    >>> model.distances_[0].tolist(), model.connectivities_.shape
    ([1.0, 3.0], (4, 4))
    """

    indices_: Array
    distances_: Array
    distances_graph_: sparse.csr_matrix
    connectivities_: sparse.csr_matrix

    def __init__(
        self, n_neighbors: int = 15, *, method: str = "auto", metric: str = "euclidean", seed: int = 0
    ) -> None:
        self.n_neighbors, self.method, self.metric, self.seed = n_neighbors, method, metric, seed

    def fit(self, X: Any, execution: Execution | None = None) -> Self:
        """Find the neighbours of each row and weigh them.

        Parameters
        ----------
        X
            n x d dense array or dense row blocks. It is held in memory in single precision.
        execution
            Threads.

        Raises
        ------
        ParameterError
            If a parameter is out of range, there are fewer rows than n_neighbors, X is sparse, X holds NaN or
            infinity, or a row is zero and metric is "cosine".
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        check(not blocks.is_sparse, "X must be dense, got a sparse table: reduce it first, by PCA for example")
        check(
            blocks.shape[0] >= 2 and blocks.shape[1] >= 1,
            f"X must have at least 2 rows and a column, got {blocks.shape}",
        )
        check_range("n_neighbors", self.n_neighbors, 2, blocks.shape[0])
        check_choice("method", self.method, ("auto", "exact", "partitioned"))
        check_choice("metric", self.metric, ("euclidean", "cosine"))
        exact = self.method == "exact" or (self.method == "auto" and blocks.shape[0] < EXACT_BELOW)
        rows, unit = _load(blocks, self.metric, execution)
        with single_threaded():
            found, squares = search(rows, self.n_neighbors - 1, exact, self.seed, execution)
        # on the unit sphere the squared chord is twice the cosine distance
        self.distances_ = squares / 2 if self.metric == "cosine" else np.sqrt(squares) * np.float32(unit)
        self.indices_ = found
        self._graphs(execution)
        return self

    def _graphs(self, execution: Execution) -> None:
        n, k = self.indices_.shape
        pointers = np.arange(0, n * k + 1, k)
        parts = self.distances_.ravel(), self.indices_.ravel(), pointers
        self.distances_graph_ = sparse.csr_matrix(parts, shape=(n, n), copy=True)
        self.distances_graph_.sort_indices()
        self.connectivities_ = fuzzy_graph(self.indices_, self.distances_, execution)


def fuzzy_graph(indices: Array, distances: Array, execution: Execution | None = None) -> sparse.csr_matrix:
    """UMAP's fuzzy simplicial set of given neighbours.

    Parameters
    ----------
    indices
        n x k integers, without the row itself.
    distances
        n x k float32, ascending in each row.
    execution
        Threads.

    Returns
    -------
    Symmetric n x n CSR matrix, float32, weights in 0..1.

    References
    ----------
    McInnes, Healy and Melville, UMAP (2018), doi:10.48550/arXiv.1802.03426.

    Examples
    --------
    >>> fuzzy_graph(np.array([[1], [0]]), np.ones((2, 1), np.float32)).toarray().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    n, k = indices.shape
    weights = np.empty((n, k), np.float32)
    mean = float(distances.sum(dtype=np.float64) / (n * (k + 1)))
    for _ in map_tasks(lambda r: membership(distances, *r, mean, weights), even_ranges(n, 8192), execution):
        pass
    by_column = np.argsort(indices, axis=1)
    ids = np.take_along_axis(indices, by_column, 1).astype(np.int32, copy=False)
    weights = np.take_along_axis(weights, by_column, 1)
    del by_column
    pointers, rows, values = np.zeros(n + 1, np.int64), np.empty(n * k, np.int32), np.empty(n * k, np.float32)
    transpose(ids, weights, pointers, rows, values)
    indptr, columns, data = np.zeros(n + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
    union(ids, weights, pointers, rows, values, False, indptr, columns, data)
    columns, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    union(ids, weights, pointers, rows, values, True, indptr, columns, data)
    return sparse.csr_matrix((data, columns, indptr), shape=(n, n))


def _load(blocks: Blocks, metric: str, execution: Execution) -> tuple[Array, float]:
    """All rows in single precision: centered and scaled to about 1, or of length 1; and the unit that was taken out."""
    n, d = blocks.shape
    total, largest = np.zeros(d), 0.0
    for part, most in map_blocks(_extent, blocks, execution, "neighbors"):
        total += part
        largest = max(largest, most)
    mean = total / n
    # a power of two, so that scaling rounds nothing; squares of any input stay within single precision
    unit = 2.0 ** np.ceil(np.log2(largest)) if largest > 0 else 1.0
    rows = np.empty((n, d), np.float32)
    for start, stop in blocks.ranges:
        block = np.asarray(blocks.read(start, stop), np.float64)
        if metric == "cosine":
            block = block / unit
            lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
            if not lengths.all():
                raise ParameterError(f"row {start + int(lengths.argmin())} of X is zero: it has no angle to others")
            np.divide(block, lengths[:, None], out=rows[start:stop], casting="same_kind")
        else:
            np.divide(block - mean, unit, out=rows[start:stop], casting="same_kind")
    return rows, unit


def _extent(block: Any, start: int) -> tuple[Array, float]:
    values = np.asarray(block, np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise ParameterError(f"X must be finite, but row {start + int(bad[0])} holds NaN or infinity")
    return values.sum(0), float(np.abs(values).max())
