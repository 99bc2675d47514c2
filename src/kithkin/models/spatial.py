"""Which cells lie beside each other in the tissue, and which clusters do so more often than by chance."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from scipy.spatial import Delaunay, QhullError, cKDTree

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_tasks
from kithkin.models.estimator import Estimator

METHODS = ("delaunay", "radius", "knn")
PLANE = 2  # dimensions that Delaunay's triangles have
BATCH = 1 << 22  # labels that are shuffled in one task


class SpatialNeighbors(Estimator):
    """The graph of cells that lie beside each other.

    Parameters
    ----------
    method
        "delaunay": cells whose regions (all that is nearer to them than to any other) touch. "radius": all within a
        distance. "knn": the nearest, joined if either is among the nearest of the other.
    n_neighbors
        For "knn".
    radius
        Largest distance, in the units of the coordinates; for "delaunay" and "knn" longer edges are left out.

    Attributes
    ----------
    connectivities_
        CSR, n x n, float32: 1 for each pair of neighbours; symmetric.
    distances_
        CSR with the same pairs, float32: how far apart they are. Cells at one place are 0 apart, which is stored.

    Raises
    ------
    ParameterError
        If a setting is not possible, or coordinates are missing.

    Examples
    --------
    >>> points = np.array([[0, 0], [1, 0], [0, 1], [1, 1.5], [9, 9]])
    >>> SpatialNeighbors("radius", radius=1.2).fit(points).connectivities_.toarray().astype(int).tolist()[0]
    [0, 1, 1, 0, 0]
    """

    def __init__(
        self,
        method: Literal["delaunay", "radius", "knn"] = "delaunay",
        *,
        n_neighbors: int = 6,
        radius: float | None = None,
    ) -> None:
        self.method, self.n_neighbors, self.radius = method, n_neighbors, radius

    def fit(self, X: Any, groups: Any = None) -> Self:
        """Join cells.

        Parameters
        ----------
        X
            n x 2 or 3 coordinates; "delaunay" takes 2.
        groups
            n labels, such as the image of each cell: cells of different groups are never joined. None: one group.
        """
        points = np.asarray(X, dtype=np.float64)
        check_choice("method", self.method, METHODS)
        check(points.ndim == 2 and points.shape[1] in (PLANE, 3), f"X must be n x 2 or 3, got {points.shape}")
        check(self.method != "delaunay" or points.shape[1] == PLANE, "X must have two columns for 'delaunay'")
        lost = int((~np.isfinite(points).all(axis=1)).sum())
        check(lost == 0, f"X must hold numbers, but {lost:,} cells have no coordinates")
        check(self.radius is None or self.radius > 0, f"radius must be above 0, got {self.radius}")
        check(self.method != "radius" or self.radius is not None, "radius must be given for 'radius'")
        check_range("n_neighbors", self.n_neighbors, 1, 1 << 20)
        codes = np.zeros(len(points), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
        check(len(codes) == len(points), f"groups must have {len(points)} labels, got {len(codes)}")
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(int(codes.max(initial=-1)) + 2))
        members = np.split(order, bounds[1:-1])
        joined = np.concatenate([some[self._pairs(points[some])] for some in members])
        apart = np.linalg.norm(points[joined[:, 0]] - points[joined[:, 1]], axis=1)
        near = np.ones(len(joined), bool) if self.radius is None else apart <= self.radius
        self.distances_ = _symmetric(joined[near], apart[near], len(points))
        ones = np.ones(self.distances_.nnz, np.float32)
        parts = ones, self.distances_.indices.copy(), self.distances_.indptr.copy()
        self.connectivities_ = sparse.csr_matrix(parts, self.distances_.shape)
        return self

    def _pairs(self, points: Array) -> Array:
        """Each pair of neighbours once, the lower number first: pairs x 2."""
        n = len(points)
        if n < PLANE:
            return np.empty((0, PLANE), np.int64)
        if self.method == "radius":
            found: Array = cKDTree(points).query_pairs(self.radius or 0.0, output_type="ndarray").astype(np.int64)
            return found
        if self.method == "delaunay":
            return _unique_pairs(_triangulated(points))
        k = min(self.n_neighbors, n - 1)
        _, near = cKDTree(points).query(points, k + 1)
        rows, near = np.repeat(np.arange(n), k + 1), near.ravel()
        # of cells at one place a cell itself may come late, or not at all: it is one too many then
        other = near != rows
        counts = np.bincount(rows[other], minlength=n)
        rank = np.arange(other.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return _unique_pairs(np.column_stack([rows[other], near[other]])[rank < k])


def _triangulated(points: Array) -> Array:
    """Edges of Delaunay's triangles; along a line, or of two points, the next one."""
    try:
        triangles = Delaunay(points)
    except (QhullError, ValueError):
        centred = points - points.mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        order = np.argsort(along, kind="stable")
        return np.column_stack([order[:-1], order[1:]])
    sides = triangles.simplices[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, PLANE)
    same_place = triangles.coplanar[:, [0, 2]]  # left out of the triangles: it is joined to the one that is in
    return np.concatenate([sides, same_place]).astype(np.int64)


def _unique_pairs(pairs: Array) -> Array:
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    width = int(high.max(initial=0)) + 1
    return np.column_stack(np.divmod(np.unique(low * width + high), width))


def _symmetric(pairs: Array, values: Array, n: int) -> sparse.csr_matrix:
    """CSR with each pair both ways; 0 is kept as a value."""
    rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
    order = np.lexsort((columns, rows))
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=n), out=indptr[1:])
    wide = np.int32 if len(rows) < 2**31 else np.int64
    data = np.concatenate([values, values])[order].astype(np.float32)
    return sparse.csr_matrix((data, columns[order].astype(wide), indptr.astype(wide)), (n, n))


class NeighborhoodEnrichment(Estimator):
    """How often cells of each two clusters are neighbours, against clusters dealt out at random to the same cells.

    Parameters
    ----------
    n_permutations
        How often labels are dealt out, at least 2.
    seed
        Of the permutations.

    Attributes
    ----------
    counts_
        k x k, int64: stored edges from a cell of one cluster to one of another; of a symmetric graph each pair counts
        both ways.
    zscores_
        k x k: counts less their mean over the permutations, over their standard deviation; 0 where that is 0.

    References
    ----------
    Palla et al. 2022, doi:10.1038/s41592-021-01358-2. Schapiro et al. 2017, doi:10.1038/nmeth.4391.

    Examples
    --------
    >>> line = sparse.diags([np.ones(9), np.ones(9)], [-1, 1]).tocsr()
    >>> found = NeighborhoodEnrichment(200).fit(line, np.repeat([0, 1], 5))
    >>> found.counts_.tolist(), bool(found.zscores_[0, 1] < 0)
    ([[8, 1], [1, 8]], True)
    """

    def __init__(self, n_permutations: int = 1000, *, seed: int = 0) -> None:
        self.n_permutations, self.seed = n_permutations, seed

    def fit(
        self,
        graph: sparse.csr_matrix,
        labels: Array,
        groups: Any = None,
        execution: Execution | None = None,
    ) -> Self:
        """Count, and count again for every permutation.

        Parameters
        ----------
        graph
            n x n; what is stored is an edge.
        labels
            n numbers of clusters from 0; -1: none, and such cells do not count.
        groups
            n labels, such as the image of each cell: labels are dealt out within a group. None: among all.
        execution
            Threads.

        Raises
        ------
        ParameterError
            If sizes do not fit, or there are no labels or too few permutations.
        """
        labels = np.asarray(labels)
        check_range("n_permutations", self.n_permutations, 2, 10**7)
        check(graph.shape == (len(labels),) * 2, f"labels must be {graph.shape[0]}, one for each row of the graph")
        check(bool((labels >= 0).any()), "labels must name at least one cluster")
        codes = np.zeros(len(labels), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
        upper, lower = sparse.triu(graph, format="coo"), sparse.tril(graph, -1, format="coo")
        same = (upper.nnz == lower.nnz) and (sparse.triu(graph, 1) != sparse.tril(graph, -1).T).nnz == 0
        edges = [upper] if same else [upper, lower]
        rows, columns = (np.concatenate([getattr(part, end) for part in edges]) for end in ("row", "col"))
        k = int(labels.max()) + 1
        dtype = np.int32 if (k + 1) ** 2 < 2**31 else np.int64
        known = np.flatnonzero(labels >= 0)
        known = known[np.argsort(codes[known], kind="stable")]
        places = np.split(known, np.flatnonzero(np.diff(codes[known])) + 1)
        count = partial(_count, (labels + 1).astype(dtype), (rows, columns), k, both=same)
        self.counts_: Array = count()
        step = max(1, BATCH // len(labels))
        batches = [range(i, min(i + step, self.n_permutations)) for i in range(0, self.n_permutations, step)]
        total, squares = np.zeros((k, k)), np.zeros((k, k))
        for found in map_tasks(partial(_permuted, count, places, self.seed), batches, execution, "permutations"):
            for counts in found:  # about the counts themselves: sums of squares of large numbers would lose digits
                off = (counts - self.counts_).astype(np.float64)
                total, squares = total + off, squares + off * off
        mean = total / self.n_permutations
        spread = np.sqrt(np.maximum(squares / self.n_permutations - mean * mean, 0))
        self.zscores_ = np.divide(-mean, spread, out=np.zeros((k, k)), where=spread > 0)
        return self


def _count(labels: Array, edges: tuple[Array, Array], k: int, *, both: bool, order: Array | None = None) -> Array:
    """Edges between clusters, k x k; labels begin at 1, and 0 is none. order: which label each cell gets."""
    labels = labels if order is None else labels[order]
    pairs = labels[edges[0]] * labels.dtype.type(k + 1) + labels[edges[1]]
    counts: Array = np.bincount(pairs, minlength=(k + 1) ** 2).reshape(k + 1, k + 1)[1:, 1:].astype(np.int64)
    return counts + counts.T if both else counts


def _permuted(count: Any, places: list[Array], seed: int, numbers: range) -> list[Array]:
    return list(_deal(count, places, seed, numbers))


def _deal(count: Any, places: list[Array], seed: int, numbers: range) -> Iterator[Array]:
    order = np.arange(len(count.args[0]))
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        for place in places:
            order[place] = rng.permutation(place)
        yield count(order=order)
