"""Leiden communities of a neighbour graph, numbered by size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import numpy as np

from kithkin.core.blocks import Array, Blocks
from kithkin.core.errors import check, check_choice, check_range, check_seed
from kithkin.core.execute import Execution
from kithkin.kernels.leiden import (
    aggregate,
    merge_within,
    move_nodes,
    node_strengths,
    quality,
    shuffle,
    split_parts,
)
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.weighted_graph import GraphBlocks, checked_graph, links_of

Links: TypeAlias = tuple[Array, Array, Array]

THETA = 0.01  # randomness of the merges within communities, in the mean weight of a link
NO_GAIN = 1e-10  # of the weight of all links: less is rounding


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

    def fit(self, graph: Any, execution: Execution | None = None) -> Self:
        """Partition a graph.

        Parameters
        ----------
        graph
            n x n symmetric weights, sparse or dense, or row blocks: the connectivities. The diagonal is not looked at.
        execution
            Memory: a graph in blocks that takes more than a quarter of it is read again when it is needed, so that it
            is not held beside those of its communities.

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
        check_seed(self.seed)
        links, read_again = _opened(graph, Execution() if execution is None else execution)
        n_nodes = len(links[2]) - 1
        strengths, communities = np.zeros(n_nodes), np.arange(n_nodes, dtype=np.int32)
        n_links, total = node_strengths(*links, strengths), strengths.sum()
        unit = 1 / total if total > 0 else 0.0
        potts = self.objective == "cpm"
        mass, resolution = (np.ones(n_nodes), self.resolution) if potts else (strengths, self.resolution * unit)
        theta = THETA * total / max(n_links, 1)
        state, best, iteration = np.array([self.seed], np.uint64), -np.inf, 0
        while n_links and iteration != self.max_iter:
            changed, held = communities.copy(), [links]
            del links
            _improve(held, mass, resolution, theta, changed, state)
            links = read_again()
            count = split_parts(*links, changed, np.empty(n_nodes, np.int32))
            reached = quality(*links, mass, resolution, changed, count)
            if reached <= best + NO_GAIN * total:
                break
            communities, best, iteration = changed, reached, iteration + 1
        self.labels_ = by_size(communities)
        self.n_clusters_ = int(self.labels_.max(initial=-1)) + 1
        self.modularity_ = float(quality(*links, strengths, unit, self.labels_, self.n_clusters_) * unit)
        return self


def _opened(graph: Any, execution: Execution) -> tuple[Links, Callable[[], Links]]:
    """Return the links of a graph, and the function that gives them again: read again where they are many."""
    if not isinstance(graph, Blocks):
        matrix = checked_graph(graph)
        links = links_of(matrix, np.float32 if matrix.dtype == np.float32 else np.float64)
        return links, lambda: links
    source = GraphBlocks(graph)
    many = source.read_links()
    if sum(part.nbytes for part in many) > execution.memory // 4:
        return many, source.read_links
    return many, lambda: many


def _improve(held: list[Links], mass: Array, resolution: float, theta: float, communities: Array, state: Array) -> None:
    """Improve a partition once on every level: nodes, then the parts of communities that belong together most.

    held: the graph, taken out, so that it is not held on the levels above.
    communities: int32, n, changed: from 0.
    state: of the random numbers, changed.
    """
    member, part_of, links = communities, None, held.pop()
    while True:
        n_nodes = len(mass)
        order = np.empty(n_nodes, np.int32)
        shuffle(order, state)
        move_nodes(*links, mass, resolution, member, order)
        n_communities = int(member.max()) + 1
        if n_communities == n_nodes:
            break
        shuffle(order, state)
        part = np.empty(n_nodes, np.int32)
        count = merge_within(*links, mass, resolution, theta, member, order, state, part)
        if count == n_nodes:  # no two nodes belong together more than their community does: it moves as a whole
            part, count = member.copy(), n_communities
            order = np.argsort(part, kind="stable").astype(np.int32)
        weights, indices, indptr, mass = aggregate(*links, mass, part, order, count)
        links = weights, indices, indptr
        upper = np.empty(count, np.int32)
        upper[part] = member
        member, part_of = upper, part if part_of is None else part[part_of]
    if part_of is not None:
        communities[:] = member[part_of]


def by_size(labels: Array) -> Array:
    """Renumber labels 0, 1, ... by descending size, communities of one size by their first member."""
    _, first, codes, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    new = np.empty(len(counts), np.int32)
    new[np.lexsort((first, -counts))] = np.arange(len(counts))
    numbered: Array = new[codes]
    return numbered
