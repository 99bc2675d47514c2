"""Paris: hierarchical clustering of a neighbour graph."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.shared_neighbors import jaccard_of_links
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.weighted_graph import checked_graph
from kithkin.models.paris.agglomeration import agglomerate
from kithkin.models.paris.dendrogram import Dendrogram

ROWS = 20_000  # whose shared neighbours are counted by one task


class Paris(Estimator):
    r"""Hierarchical clustering of a weighted graph.

    Clusters a and b are at distance :math:`d(a, b) = \mathrm{vol}(a) \mathrm{vol}(b) / (W w(a, b))`, with w(a, b) the
    weight of the links between them, vol(a) that of all links of a, and W that of all: the links expected by chance for
    each that is there. Time and again the nearest two are joined. The distance is reducible, so all pairs that are each
    other's nearest may be joined at once, and the tree does not depend on the order. Parts that no link connects are
    joined last, the smallest first, at infinite height. Memory is two graphs of the links.

    Parameters
    ----------
    n_clusters
        Number of clusters in `labels_`, or "auto": the most persistent ones.
    min_size
        Smallest cluster of an automatic or balanced cut; None as in Dendrogram.
    balanced
        Largest cluster; the number of clusters follows from it. None: no bound.
    weights
        "graph": as they are. "shared": times the square of the Jaccard index of the neighbourhoods of the two ends,
        so that links between groups, whose ends have few neighbours in common, weigh less.

    Attributes
    ----------
    children_
        int64 (n - 1) x 2: the two that each merge joins, observations or n + an earlier merge.
    heights_
        float64 n - 1: distance of each merge, ascending.
    sizes_
        int64 n - 1: observations below each merge.
    dendrogram_
        Dendrogram of all three, with its cuts.
    linkage_
        Linkage matrix in SciPy's form, (n - 1) x 4.
    labels_
        int32 n, 0 is the largest cluster.
    n_clusters_
        Number of clusters.

    References
    ----------
    Bonald, Charpentier, Galland and Hollocou, Hierarchical graph clustering using node pair sampling (2018),
    arXiv:1806.01664.
    Jarvis and Patrick, Clustering using a similarity measure based on shared near neighbors (1973),
    doi:10.1109/T-C.1973.223640.

    Examples
    --------
    >>> two_triangles = np.kron(np.eye(2), np.ones((3, 3)))
    >>> two_triangles[0, 3] = two_triangles[3, 0] = 0.1
    >>> model = Paris(2).fit(two_triangles)
    >>> model.labels_.tolist(), round(float(model.heights_[-1]), 1)
    ([0, 0, 0, 1, 1, 1], 45.5)
    """

    dendrogram_: Dendrogram
    labels_: Array
    n_clusters_: int

    def __init__(
        self,
        n_clusters: int | str = "auto",
        *,
        min_size: int | None = None,
        balanced: int | None = None,
        weights: str = "graph",
    ) -> None:
        self.n_clusters, self.min_size, self.balanced, self.weights = n_clusters, min_size, balanced, weights

    def fit(self, graph: Any, execution: Execution | None = None) -> Self:
        """Build the tree and cut it.

        Parameters
        ----------
        graph
            n x n symmetric weights, sparse or dense, such as the connectivities. Self-loops count in the volumes.
        execution
            Threads, for the shared neighbours.

        Raises
        ------
        ParameterError
            If a setting is out of range, or the graph is not square, not symmetric, or has weights that are negative
            or not finite.
        """
        matrix = checked_graph(graph)
        check_cut(self.n_clusters, self.min_size, self.balanced, matrix.shape[0])
        self.dendrogram_ = grow(matrix, self.weights, execution)
        self.labels_ = cut(self.dendrogram_, matrix, self.n_clusters, self.min_size, self.balanced)
        self.n_clusters_ = int(self.labels_.max()) + 1
        return self

    @property
    def children_(self) -> Array:
        """Return the two that each merge joins."""
        return self.dendrogram_.children

    @property
    def heights_(self) -> Array:
        """Return the distance of each merge."""
        return self.dendrogram_.heights

    @property
    def sizes_(self) -> Array:
        """Return the observations below each merge."""
        return self.dendrogram_.sizes

    @property
    def linkage_(self) -> Array:
        """Return the linkage matrix in SciPy's form."""
        return self.dendrogram_.linkage


def grow(graph: Any, weights: str, execution: Execution | None = None) -> Dendrogram:
    """Build the tree of a graph, without a cut; weights, threads and errors as in Paris."""
    check_choice("weights", weights, ("graph", "shared"))
    matrix = checked_graph(graph)
    check(matrix.shape[0] >= 1, "graph must have a node")
    return Dendrogram(*agglomerate(shared_weights(matrix, execution) if weights == "shared" else matrix))


def check_cut(n_clusters: int | str, min_size: int | None, balanced: int | None, n: int) -> None:
    """Check the settings of a cut of n observations.

    One that is out of range, or has no effect beside another, raises ParameterError.
    """
    if isinstance(n_clusters, str):
        check(n_clusters == "auto", f"n_clusters must be a number or 'auto', got {n_clusters!r}")
    else:
        check_range("n_clusters", n_clusters, 1, n)
        check(balanced is None, "balanced and n_clusters cannot both be given: the sizes decide how many there are")
        check(min_size is None, "min_size has no effect with a number of clusters: it is for 'auto' and balanced")
    if balanced is not None:
        check_range("balanced", balanced, 1, n)
    if min_size is not None:
        check_range("min_size", min_size, 1, n)


def cut(
    tree: Dendrogram, graph: sparse.csr_matrix | None, n_clusters: int | str, min_size: int | None, balanced: int | None
) -> Array:
    """Cut a tree as Paris does, n int32 labels, 0 for the largest; a cut into a number of clusters needs no graph."""
    check_cut(n_clusters, min_size, balanced, tree.n_leaves)
    if not isinstance(n_clusters, str):
        return tree.cut(n_clusters)
    matrix = sparse.csr_matrix(graph)
    return tree.cut_persistent(matrix, min_size) if balanced is None else tree.cut_balanced(matrix, balanced, min_size)


def shared_weights(graph: sparse.csr_matrix, execution: Execution | None = None) -> sparse.csr_matrix:
    """Multiply weights by the square of the Jaccard index of the neighbourhoods of the two ends."""

    def jaccard(rows: tuple[int, int]) -> Array:
        start, stop = rows
        out = np.empty(graph.indptr[stop] - graph.indptr[start], np.float32)
        jaccard_of_links(graph.indptr, graph.indices, start, stop, out)
        return out

    parts = map_tasks(jaccard, even_ranges(graph.shape[0], ROWS), execution, "shared neighbours")
    factor = np.concatenate(list(parts))
    return sparse.csr_matrix((graph.data * factor**2, graph.indices, graph.indptr), graph.shape)
