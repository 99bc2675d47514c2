"""Leiden communities of a neighbour graph, by igraph, numbered by size."""

from __future__ import annotations

import random
import threading
from typing import Any, Self

import numpy as np
from scipy.sparse.csgraph import reverse_cuthill_mckee

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice, check_range
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.weighted_graph import checked_graph

EDGES_AT_A_TIME = 500_000  # igraph takes edges as Python tuples, 130 bytes each: a few of these stay small
GENERATOR = threading.Lock()  # igraph has one random generator for the whole process


class Leiden(Estimator):
    r"""Communities of a weighted graph by the Leiden algorithm.

    By default modularity is maximised: with weights :math:`w_{ij}`, strengths :math:`k_i = \sum_j w_{ij}`,
    :math:`2m = \sum_i k_i` and resolution :math:`\gamma`, the partition :math:`c` that maximises
    :math:`\frac{1}{2m} \sum_{ij} (w_{ij} - \gamma k_i k_j / 2m) [c_i = c_j]`.

    Parameters
    ----------
    resolution
        Higher values give more and smaller communities.
    max_iter
        Iterations of the algorithm, each starting from the partition before it; -1: until nothing improves.
    objective
        "modularity", or "cpm" for the constant Potts model, in which the resolution is a density of links.
    seed
        Seed of the random order in which nodes are visited. The same graph and seed give the same labels.

    Attributes
    ----------
    labels_
        int32, n; 0 is the largest community. Communities of one size are numbered by their first member.
    n_clusters_
        Number of communities.
    modularity_
        Modularity of the partition at resolution 1, whatever the objective; 0 without links.

    References
    ----------
    Traag, Waltman, van Eck (2019), From Louvain to Leiden, Scientific Reports 9:5233, doi:10.1038/s41598-019-41695-z.

    Examples
    --------
    >>> two_triangles = np.kron(np.eye(2), np.ones((3, 3)))
    >>> Leiden().fit(two_triangles).labels_.tolist()
    [0, 0, 0, 1, 1, 1]
    """

    labels_: Array
    n_clusters_: int
    modularity_: float

    def __init__(
        self, resolution: float = 1.0, *, max_iter: int = 2, objective: str = "modularity", seed: int = 0
    ) -> None:
        self.resolution, self.max_iter, self.objective, self.seed = resolution, max_iter, objective, seed

    def fit(self, graph: Any) -> Self:
        """Partition a graph.

        Parameters
        ----------
        graph
            n x n symmetric weights, sparse or dense: the connectivities. The diagonal is not looked at.

        Raises
        ------
        ParameterError
            If a setting is out of range, or the graph is not square, not symmetric, or has weights that are negative
            or not finite.
        """
        check_range("resolution", self.resolution, 0.0, 1e12)
        check_choice("objective", self.objective, ("modularity", "cpm"))
        right = self.max_iter == -1 or self.max_iter >= 1
        check(right, f"max_iter must be at least 1, or -1, got {self.max_iter!r}")
        matrix = checked_graph(graph)
        order = reverse_cuthill_mckee(matrix, symmetric_mode=True)  # neighbours side by side: fewer cache misses
        matrix, n_nodes = matrix[order][:, order], matrix.shape[0]
        rows = np.repeat(np.arange(n_nodes, dtype=matrix.indices.dtype), np.diff(matrix.indptr))
        upper = (matrix.indices > rows) & (matrix.data > 0)
        edges, weights = (rows[upper], matrix.indices[upper]), matrix.data[upper].astype(np.float64)
        communities = np.empty(n_nodes, np.int64)
        communities[order] = self._communities(n_nodes, edges, weights)
        self.labels_ = by_size(communities)
        self.n_clusters_ = int(self.labels_.max(initial=-1)) + 1
        total, own = weights.sum(), self.labels_[order]
        ends, self.modularity_ = (own[edges[0]], own[edges[1]]), 0.0
        if total != 0:
            strength = sum(np.bincount(side, weights, self.n_clusters_) for side in ends)
            inside = weights[ends[0] == ends[1]].sum()
            self.modularity_ = float(inside / total - np.square(strength / (2 * total)).sum())
        return self

    def _communities(self, n_nodes: int, edges: tuple[Array, Array], weights: Array) -> Array:
        from igraph import GraphBase, set_random_number_generator

        graph = GraphBase(n_nodes, [], False)
        size = max(EDGES_AT_A_TIME, -(-len(weights) // 8))  # each call indexes the whole graph again
        for start in range(0, len(weights), size):
            ends = (side[start : start + size].tolist() for side in edges)
            graph.add_edges(list(zip(*ends, strict=True)))
        with GENERATOR:
            set_random_number_generator(random.Random(self.seed))  # noqa: S311 - nothing secret about it
            try:
                members, _ = graph.community_leiden(
                    edge_weights=weights,
                    resolution=self.resolution,
                    normalize_resolution=self.objective == "modularity",
                    n_iterations=self.max_iter,
                )
            finally:
                set_random_number_generator(random)  # what igraph starts with
        return np.asarray(members, np.int64)


def by_size(labels: Array) -> Array:
    """Renumber labels 0, 1, ... by descending size, communities of one size by their first member."""
    _, first, codes, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    new = np.empty(len(counts), np.int32)
    new[np.lexsort((first, -counts))] = np.arange(len(counts))
    numbered: Array = new[codes]
    return numbered
