"""Spatial neighbour graphs of cells, and enrichment of neighbourhoods between clusters."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from scipy.spatial import Delaunay, QhullError, cKDTree

from kithkin.core.blocks import Array, as_csr, as_numbers
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_tasks
from kithkin.models.estimator import Estimator

METHODS = ("delaunay", "radius", "knn")
PLANE = 2  # dimensions of a Delaunay triangulation
BATCH = 1 << 22  # labels that one task permutes


class SpatialNeighbors(Estimator):
    """Graph of spatial neighbours.

    Parameters
    ----------
    method
        "delaunay": cells whose Voronoi regions touch. "radius": all cells within a distance. "knn": the nearest cells,
        joined if either is among the nearest of the other.
    n_neighbors
        Number of neighbours for "knn".
    radius
        Largest distance, in the units of the coordinates; for "delaunay" and "knn" longer edges are left out.

    Attributes
    ----------
    connectivities_
        CSR, n x n, float32: 1 for each pair of neighbours; symmetric.
    distances_
        CSR with the same pairs, float32: their distance. Cells at one place have the distance 0, which is stored.

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
        """Build the graph.

        Parameters
        ----------
        X
            n x 2 or 3 coordinates; "delaunay" takes 2.
        groups
            n labels, such as the image of each cell: cells of different groups are never neighbours. One group by
            default.
        """
        points = as_numbers(X, "X").astype(np.float64)
        check_choice("method", self.method, METHODS)
        check(points.ndim == 2 and points.shape[1] in (PLANE, 3), f"X must be n x 2 or 3, got {points.shape}")
        check(self.method != "delaunay" or points.shape[1] == PLANE, "X must have two columns for 'delaunay'")
        missing = int((~np.isfinite(points).all(axis=1)).sum())
        check(missing == 0, f"X must hold numbers, but {missing:,} cells have no coordinates")
        check(self.radius is None or self.radius > 0, f"radius must be above 0, got {self.radius}")
        check(self.method != "radius" or self.radius is not None, "radius must be given for 'radius'")
        check_range("n_neighbors", self.n_neighbors, 1, 1 << 20)
        codes = np.zeros(len(points), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
        check(len(codes) == len(points), f"groups must have {len(points)} labels, got {len(codes)}")
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(int(codes.max(initial=-1)) + 2))
        members = np.split(order, bounds[1:-1])
        pairs = np.concatenate([some[self._pairs(points[some])] for some in members])
        distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
        near = np.ones(len(pairs), bool) if self.radius is None else distances <= self.radius
        pairs, distances, n = pairs[near], distances[near], len(points)
        rows, columns = np.concatenate([pairs, pairs[:, ::-1]]).T
        order = np.lexsort((columns, rows))
        indptr = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=n), out=indptr[1:])
        wide = np.int32 if len(rows) < 2**31 else np.int64
        data = np.concatenate([distances, distances])[order].astype(np.float32)
        # built from its arrays, so that a distance of 0 stays stored
        self.distances_ = sparse.csr_matrix((data, columns[order].astype(wide), indptr.astype(wide)), (n, n))
        ones = np.ones(self.distances_.nnz, np.float32)
        parts = ones, self.distances_.indices.copy(), self.distances_.indptr.copy()
        self.connectivities_ = sparse.csr_matrix(parts, self.distances_.shape)
        return self

    def _pairs(self, points: Array) -> Array:
        """Return each pair of neighbours once, the lower number first: pairs x 2."""
        n = len(points)
        if n < PLANE:
            return np.empty((0, PLANE), np.int64)
        if self.method == "radius":
            pairs: Array = cKDTree(points).query_pairs(self.radius or 0.0, output_type="ndarray").astype(np.int64)
            return pairs
        if self.method == "delaunay":
            return _unique_pairs(delaunay_edges(points))
        k = min(self.n_neighbors, n - 1)
        _, near = cKDTree(points).query(points, k + 1)
        rows, near = np.repeat(np.arange(n), k + 1), near.ravel()
        # where several cells lie at one place a cell may be found late, or not at all: one neighbour is too many then
        other = near != rows
        counts = np.bincount(rows[other], minlength=n)
        rank = np.arange(other.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return _unique_pairs(np.column_stack([rows[other], near[other]])[rank < k])


def delaunay_edges(points: Array) -> Array:
    """Return the edges of the Delaunay triangulation; points on a line are joined to the next one."""
    try:
        triangles = Delaunay(points)
    except (QhullError, ValueError):
        centred = points - points.mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        order = np.argsort(along, kind="stable")
        return np.column_stack([order[:-1], order[1:]])
    sides = triangles.simplices[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, PLANE)
    same_place = triangles.coplanar[:, [0, 2]]  # a point left out of the triangulation is joined to its twin
    return np.concatenate([sides, same_place]).astype(np.int64)


def _unique_pairs(pairs: Array) -> Array:
    """Sort each pair, and drop duplicates."""
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    width = int(high.max(initial=0)) + 1
    return np.column_stack(np.divmod(np.unique(low * width + high), width))


class NeighborhoodEnrichment(Estimator):
    """Neighbourhood enrichment: how often cells of two clusters are neighbours, against permuted labels.

    Parameters
    ----------
    n_permutations
        Number of permutations, at least 2.
    seed
        Seed of the permutations.

    Attributes
    ----------
    counts_
        Number of stored edges from a cell of one cluster to one of another, k x k int64; in a symmetric graph each pair
        counts both ways.
    zscores_
        Counts standardised by their mean and standard deviation over the permutations, k x k; 0 where that is 0.

    References
    ----------
    Palla et al. 2022, doi:10.1038/s41592-021-01358-2. Schapiro et al. 2017, doi:10.1038/nmeth.4391.

    Examples
    --------
    >>> line = sparse.diags([np.ones(9), np.ones(9)], [-1, 1]).tocsr()
    >>> model = NeighborhoodEnrichment(200).fit(line, np.repeat([0, 1], 5))
    >>> model.counts_.tolist(), bool(model.zscores_[0, 1] < 0)
    ([[8, 1], [1, 8]], True)
    """

    def __init__(self, n_permutations: int = 1000, *, seed: int = 0) -> None:
        self.n_permutations, self.seed = n_permutations, seed

    def fit(self, graph: Any, labels: Array, groups: Any = None, execution: Execution | None = None) -> Self:
        """Count the edges between clusters, and again for every permutation of the labels.

        Parameters
        ----------
        graph
            n x n; each stored value is an edge.
        labels
            Number of the cluster of each cell from 0, n; cells with -1 do not count.
        groups
            n labels, such as the image of each cell: labels are permuted within groups. One group by default.
        execution
            Threads.

        Raises
        ------
        ParameterError
            If sizes do not fit, or there are no labels or too few permutations.
        """
        graph, labels = as_csr(graph, "graph"), as_numbers(labels, "labels")
        check_range("n_permutations", self.n_permutations, 2, 10**7)
        check(labels.ndim == 1 and labels.dtype.kind in "iu", f"labels must be whole numbers, got {labels.dtype}")
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
        members = np.split(known, np.flatnonzero(np.diff(codes[known])) + 1)
        shifted = (labels + 1).astype(dtype)

        def count(order: Array) -> Array:
            """Count the edges when cell i gets the label of cell order[i]; labels begin at 1, and 0 is none."""
            dealt = shifted[order]
            pairs = dealt[rows] * dealt.dtype.type(k + 1) + dealt[columns]
            table: Array = np.bincount(pairs, minlength=(k + 1) ** 2).reshape(k + 1, k + 1)[1:, 1:].astype(np.int64)
            return table + table.T if same else table

        def count_permuted(numbers: range) -> list[Array]:
            order, tables = np.arange(len(labels)), []
            for number in numbers:
                rng = np.random.default_rng([self.seed, number])
                for group in members:
                    order[group] = rng.permutation(group)
                tables.append(count(order))
            return tables

        self.counts_: Array = count(np.arange(len(labels)))
        step = max(1, BATCH // len(labels))
        batches = [range(i, min(i + step, self.n_permutations)) for i in range(0, self.n_permutations, step)]
        total, squares = np.zeros((k, k)), np.zeros((k, k))
        for tables in map_tasks(count_permuted, batches, execution, "permutations"):
            for table in tables:  # relative to the counts: sums of squares of large numbers would lose digits
                difference = (table - self.counts_).astype(np.float64)
                total, squares = total + difference, squares + difference * difference
        mean = total / self.n_permutations
        spread = np.sqrt(np.maximum(squares / self.n_permutations - mean * mean, 0))
        self.zscores_ = np.divide(-mean, spread, out=np.zeros((k, k)), where=spread > 0)
        return self
