"""k nearest neighbours, exact or by an inverted file, and UMAP's fuzzy graph of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, Blocks, as_blocks, even_ranges
from kithkin.core.errors import ParameterError, check, check_choice, check_range
from kithkin.core.execute import Execution, map_blocks, map_tasks
from kithkin.core.heap import return_memory
from kithkin.core.spill import Spill
from kithkin.kernels.fuzzy import count_sources, membership, transpose, union
from kithkin.models.estimator import Estimator
from kithkin.models.neighbors.search import search
from kithkin.models.neighbors.sparse_rows import cosine_neighbors
from kithkin.models.table.blas import single_threaded

PART = 1 << 19  # rows of the transposed graph that are made at a time
EXACT_BELOW = 40_000  # rows; below, comparing all with all takes at most a second or two more than partitions do


class Neighbors(Estimator):
    """Nearest neighbours of every row and UMAP's fuzzy graph of them.

    Exact search compares all rows with all. Partitioned search, for many rows, is an inverted file: k-means partitions
    the rows into lists of about 400, each row looks into the lists whose centers are nearest to it, and each pair that
    is met counts for both of its rows. Into how many lists rows look is chosen by the exact neighbours of 1,000 rows,
    drawn at random, of which 97 % must be met, up to a limit that grows with the logarithm of the number of rows. Where
    fewer are met, the neighbours of neighbours are tried, too. Scores of candidates are matrix products in single
    precision, taken around the center of a list so that nothing is lost where groups lie far apart; the distances
    returned are computed again from the rows.

    As in UMAP and scanpy, n_neighbors counts the row itself: n_neighbors=15 gives 14 others.

    Parameters
    ----------
    n_neighbors
        Neighbours of a row, itself included.
    method
        "exact", "partitioned", or "auto": exact below 40,000 rows.
    metric
        "euclidean", or "cosine" (1 - cosine of the angle).
    seed
        Seed of the partitions.

    Attributes
    ----------
    indices_
        n x (n_neighbors - 1) int32, by distance, without the row itself; rows that are equal are listed.
    distances_
        n x (n_neighbors - 1) float32.
    recall_
        Fraction of the nearest neighbours that were found: 1 of an exact search, and that of the 1,000 rows of a
        partitioned one.
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

    recall_: float
    distances_graph_: sparse.csr_matrix
    connectivities_: sparse.csr_matrix

    def __init__(
        self, n_neighbors: int = 15, *, method: str = "auto", metric: str = "euclidean", seed: int = 0
    ) -> None:
        self.n_neighbors, self.method, self.metric, self.seed = n_neighbors, method, metric, seed

    def fit(self, X: Any, execution: Execution | None = None, *, spill: Spill | None = None) -> Self:
        """Find the neighbours of each row and weigh them.

        Parameters
        ----------
        X
            n x d dense array or dense row blocks, held in memory in single precision. With metric "cosine" also a
            SciPy sparse matrix or sparse row blocks, such as counts, which stream: all rows are compared with all.
        execution
            Threads; for sparse rows also memory, of which more means fewer passes.
        spill
            Where the workers of an executor find dense rows, so that they search; without it, or without room there,
            this process does.

        Raises
        ------
        ParameterError
            If a parameter is out of range, there are fewer rows than n_neighbors, X is sparse and the metric is not
            "cosine", X has 40,000 sparse rows and the method is not "exact", X holds NaN or infinity, or a row is zero
            and the metric is "cosine".
        """
        blocks = as_blocks(X)
        execution = Execution() if execution is None else execution
        check(
            blocks.shape[0] >= 2 and blocks.shape[1] >= 1,
            f"X must have at least 2 rows and a column, got {blocks.shape}",
        )
        check_range("n_neighbors", self.n_neighbors, 2, blocks.shape[0])
        check_choice("method", self.method, ("auto", "exact", "partitioned"))
        check_choice("metric", self.metric, ("euclidean", "cosine"))
        exact = self.method == "exact" or (self.method == "auto" and blocks.shape[0] < EXACT_BELOW)
        if blocks.is_sparse:
            return self._fit_sparse(blocks, exact, execution)
        loaded, unit = _load(blocks, self.metric, execution)
        rows = [loaded]
        del loaded
        with single_threaded():  # the search orders the rows again: popped, these are held by nothing but it
            found = search(rows.pop(), self.n_neighbors - 1, exact, self.seed, execution, spill)
        indices, squares, self.recall_ = found
        del found
        return_memory()  # of the search, which takes as much as the graph will
        # on the unit sphere the squared chord is twice the cosine distance
        if self.metric == "cosine":
            squares /= 2
        else:
            np.sqrt(squares, out=squares)
            squares *= np.float32(unit)
        return self._link(indices, squares, execution)

    def _fit_sparse(self, blocks: Blocks, exact: bool, execution: Execution) -> Self:
        """Find exact cosine neighbours of sparse rows."""
        reduce = "reduce it first, by PCA for example"
        check(self.metric == "cosine", f"X must be dense, got a sparse table: {reduce}, or use metric='cosine'")
        n = blocks.shape[0]
        check(exact, f"of {n:,} sparse rows there is an exact search only: {reduce}, or wait for method='exact'")
        indices, distances = cosine_neighbors(blocks, self.n_neighbors - 1, execution)
        self.recall_ = 1.0
        return self._link(indices, distances, execution)

    def _link(self, indices: Array, distances: Array, execution: Execution) -> Self:
        """Make the graphs of the neighbours that were found, which are sorted by number in place."""
        n, k = indices.shape
        weights = memberships(distances, execution)
        for start, stop in even_ranges(n, 8192):
            by_number = np.argsort(indices[start:stop], axis=1)
            for values in (indices, distances, weights):
                values[start:stop] = np.take_along_axis(values[start:stop], by_number, 1)
        parts = distances.ravel(), indices.ravel(), np.arange(0, n * k + 1, k)
        self.distances_graph_ = sparse.csr_matrix(parts, shape=(n, n))
        self.connectivities_ = united(indices, weights)
        return self

    @property
    def indices_(self) -> Array:
        """Numbers of the neighbours by distance, of equally near ones by number."""
        return self._by_distance(self.distances_graph_.indices)

    @property
    def distances_(self) -> Array:
        """Distances of the neighbours, ascending."""
        return self._by_distance(self.distances_graph_.data)

    def _by_distance(self, values: Array) -> Array:
        shape = self.distances_graph_.shape[0], -1
        order = np.argsort(self.distances_graph_.data.reshape(shape), axis=1, kind="stable")
        return np.take_along_axis(values.reshape(shape), order, 1)


def fuzzy_graph(indices: Array, distances: Array, execution: Execution | None = None) -> sparse.csr_matrix:
    """Build UMAP's fuzzy simplicial set of given neighbours.

    indices: n x k integers, without the row itself.
    distances: n x k float32, ascending in each row.
    Returns a symmetric n x n CSR matrix, float32, weights in 0..1.
    Source: McInnes, Healy and Melville, UMAP (2018), doi:10.48550/arXiv.1802.03426.
    """
    weights, by_number = memberships(distances, execution), np.argsort(indices, axis=1)
    ids = np.take_along_axis(indices, by_number, 1).astype(np.int32, copy=False)
    return united(ids, np.take_along_axis(weights, by_number, 1))


def memberships(distances: Array, execution: Execution | None) -> Array:
    """Weigh the neighbours of each row by their distances, n x k float32, ascending."""
    n, k = distances.shape
    weights = np.empty((n, k), np.float32)
    mean = float(distances.sum(dtype=np.float64) / (n * (k + 1)))
    for _ in map_tasks(lambda r: membership(distances, *r, mean, weights), even_ranges(n, 8192), execution):
        pass
    return weights


def united(ids: Array, weights: Array) -> sparse.csr_matrix:
    """Unite a directed graph with its transpose, of which a part is made at a time.

    ids, weights: n x k int32 and float32, by number in each row.
    """
    n, k = ids.shape
    pointers, indptr = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    count_sources(ids, pointers)
    # as many as there could be: the system gives memory for what is written
    columns, data = np.empty(2 * n * k, np.int32), np.empty(2 * n * k, np.float32)
    for start, stop in even_ranges(n, PART):
        size = pointers[stop] - pointers[start]
        rows, values = np.empty(size, np.int32), np.empty(size, np.float32)
        transpose(ids, weights, start, stop, pointers, rows, values)
        union(ids, weights, start, stop, pointers, rows, values, indptr, columns, data)
    columns.resize(indptr[-1], refcheck=False)
    data.resize(indptr[-1], refcheck=False)
    return sparse.csr_matrix((data, columns, indptr), shape=(n, n))


def _load(blocks: Blocks, metric: str, execution: Execution) -> tuple[Array, float]:
    """Load all rows in single precision: centered and scaled to about 1, or of length 1; also return the unit."""
    n, d = blocks.shape
    total, largest = np.zeros(d), 0.0
    for part, most in map_blocks(block_extent, blocks, execution, "neighbors"):
        total += part
        largest = max(largest, most)
    mean = total / n
    # a power of two, so that scaling rounds nothing; squares of any input stay within single precision
    unit = 2.0 ** np.ceil(np.log2(largest)) if largest > 0 else 1.0
    top = float(np.finfo(np.float32).max) / (2 * np.sqrt(d))
    check(
        metric == "cosine" or unit < top,
        f"X must fit single precision, but its largest value is {largest:.3g}: scale it",
    )
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


def block_extent(block: Any, start: int) -> tuple[Array, float]:
    """Sum the rows of a block, and return its largest absolute value."""
    values = np.asarray(block, np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise ParameterError(f"X must be finite, but row {start + int(bad[0])} holds NaN or infinity")
    return values.sum(0), float(np.abs(values).max())
