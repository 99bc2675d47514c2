"""Dendrogram of a hierarchical clustering, and its cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.kernels.tree import largest_within, links_across, mark_uncovered, most_persistent, spread_labels
from kithkin.models.leiden import by_size

UNCONNECTED = 20.0  # height from which two parts count as unconnected: a twentieth of the links expected by chance
LINKED = 0.55  # links across a split, of those expected by chance, from which it is none
SMALLEST_SHARE, SMALLEST = 1 / 200, 5  # of the observations, and observations: clusters of an automatic cut at least


@dataclass(frozen=True)
class Dendrogram:
    r"""A binary tree over n observations.

    Attributes
    ----------
    children
        int64 (n - 1) x 2: the two that merge t joins, observations 0 to n - 1 or n + an earlier merge.
    heights
        float64 n - 1, ascending; infinite where nothing connects the two parts.
    sizes
        int64 n - 1: observations below each merge.

    Examples
    --------
    >>> tree = Dendrogram(np.array([[0, 1], [2, 3], [4, 5]]), np.array([0.1, 0.2, 9.0]), np.array([2, 2, 4]))
    >>> tree.cut(3).tolist()
    [0, 0, 1, 2]
    """

    children: Array
    heights: Array
    sizes: Array

    @property
    def n_leaves(self) -> int:
        """Number of observations."""
        return len(self.children) + 1

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Self:
        """Build from the arrays that `arrays` returned, in whatever integer type they were kept."""
        children, sizes = (np.asarray(arrays[name], np.int64) for name in ("children", "sizes"))
        return cls(children, np.asarray(arrays["heights"], np.float64), sizes)

    def arrays(self) -> dict[str, Array]:
        """Return children, heights and sizes by name, with the smallest integer types."""
        small = np.int32 if 2 * self.n_leaves < 2**31 else np.int64
        return {
            "children": self.children.astype(small),
            "heights": self.heights,
            "sizes": self.sizes.astype(small),
        }

    @cached_property
    def linkage(self) -> Array:
        """Linkage matrix in SciPy's form, (n - 1) x 4 float64: children, height, size."""
        return np.column_stack([self.children.astype(np.float64), self.heights, self.sizes])

    def cut(self, n_clusters: int) -> Array:
        """Undo the last n_clusters - 1 merges; among merges of one height the last in the order of the tree.

        Returns
        -------
        ndarray
            n int32 labels, exactly n_clusters, 0 for the largest; equal ones in the order of their first member.

        Raises
        ------
        ParameterError
            If n_clusters is not in 1..n.
        """
        n = self.n_leaves
        check_range("n_clusters", n_clusters, 1, n)
        undone = self.children[n - n_clusters :].ravel()
        top = undone[undone < 2 * n - n_clusters] if n_clusters > 1 else np.array([2 * n - 2])
        return by_size(self._labels(top))

    def cut_persistent(self, graph: sparse.csr_matrix, min_size: int | None = None) -> Array:
        r"""Take the most persistent disjoint subtrees, as many as there are.

        The set :math:`C` of disjoint clusters is chosen that maximises

        .. math:: \sum_{c \in C} \sum_{u \in c} |u| \left( s(\mathrm{parent}(u)) - s(u) \right),
                  \qquad s(u) = -\log \left( 1 / h(u) + 1 / h_0 \right),

        where a cluster :math:`c` is a way down the tree: the nodes :math:`u` from where it is split off to where it
        splits itself into two parts of min_size at least, |u| their sizes and h(u) their heights. This is the excess
        of mass of Campello et al. on the logarithm of the height: the observed share of the links expected by chance is
        1 / h, and with :math:`h_0` = 20 two parts that have less than a twentieth of it count as unconnected, however
        much less. A split into a and b is allowed only where it raises the modularity of the graph at resolution
        :math:`\gamma = 0.55`, that is where :math:`\gamma \, \mathrm{vol}(a) \mathrm{vol}(b) > W w(a, b)`: where there
        are about half of the links that chance would give, or fewer. Parts smaller than min_size that leave a cluster
        before it is split go where they have most links, for the volume of the cluster; parts that nothing connects
        remain clusters by themselves.

        Parameters
        ----------
        graph
            n x n symmetric weights, in which modularity is measured.
        min_size
            Smallest cluster; one two-hundredth of the observations, and at least 5, when None.

        Returns
        -------
        ndarray
            n int32 labels, 0 for the largest.

        Raises
        ------
        ParameterError
            If min_size is not in 1..n.

        References
        ----------
        Campello, Moulavi, Zimek and Sander, Hierarchical density estimates for data clustering, visualization, and
        outlier detection (2015), doi:10.1145/2733381.
        """
        n = self.n_leaves
        min_size = max(SMALLEST, round(SMALLEST_SHARE * n)) if min_size is None else min_size
        check(min_size >= 1, f"min_size must be at least 1, got {min_size!r}")
        chosen = np.zeros(2 * n - 1, bool)
        with np.errstate(divide="ignore"):
            scale = -np.log(1 / self.heights + 1 / UNCONNECTED)
        # of whole multiples of a power of two sums are exact: what ties is told by no last bit of a processor
        scale = np.rint(scale * 2**20) / 2**20
        allowed = self._raises_modularity(graph, min_size)
        most_persistent(self.children, self.heights, scale, self.sizes, min_size, allowed, chosen)
        loose = np.zeros(2 * n - 1, bool)
        mark_uncovered(self.children, self.heights, chosen, loose)
        n_clusters = int(chosen.sum())
        labels = self._labels(np.concatenate([np.flatnonzero(chosen), np.flatnonzero(loose)]))
        if loose.any():
            labels = _follow_links(*_links(graph, labels), n_clusters)[labels]
        return by_size(labels)

    def cut_balanced(self, graph: sparse.csr_matrix, largest: int, min_size: int | None = None) -> Array:
        """Take the largest subtrees of bounded size.

        Parameters
        ----------
        graph
            n x n symmetric weights that the tree was made from.
        largest
            Observations in a cluster at most: no larger one is made.
        min_size
            Subtrees smaller than this go to the cluster that they have most links with, for its volume, of those with
            room for them; where there is none they remain. A twentieth of the largest when None.

        Returns
        -------
        ndarray
            n int32 labels, 0 for the largest.

        Raises
        ------
        ParameterError
            If largest is not in 1..n, or min_size not in 1..largest.
        """
        n = self.n_leaves
        check_range("balanced", largest, 1, n)
        min_size = max(1, largest // 20) if min_size is None else min_size
        check_range("min_size", min_size, 1, largest)
        chosen = np.zeros(2 * n - 1, bool)
        largest_within(self.children, self.sizes, largest, chosen)
        top = np.flatnonzero(chosen)
        labels = self._labels(top)
        sizes = np.bincount(labels, minlength=len(top))
        small = np.flatnonzero(sizes < min_size)
        if len(small) == len(top):
            return by_size(labels)
        volumes, weights = _links(graph, labels)
        room = largest - sizes
        room[small] = 0
        target = np.arange(len(top))
        for part in small[np.argsort(-sizes[small], kind="stable")]:
            row = slice(weights.indptr[part], weights.indptr[part + 1])
            others, weight = weights.indices[row], weights.data[row]
            fits = (room[others] >= sizes[part]) & (weight > 0) & (others != part)
            if fits.any():
                best = others[fits][np.argmax(weight[fits] / volumes[others[fits]])]
                target[part] = best
                room[best] -= sizes[part]
        return by_size(target[labels])

    def _raises_modularity(self, graph: sparse.csr_matrix, min_size: int) -> Array:
        """Mark the merges of two parts of min_size at least that have few links between them."""
        n = self.n_leaves
        sizes = np.concatenate([np.ones(n, np.int64), self.sizes])
        forks = np.flatnonzero((sizes[self.children] >= min_size).all(axis=1) & (self.children >= n).all(axis=1))
        nodes = np.append(np.sort(self.children[forks].ravel()), 2 * n - 2)  # of the coarse tree: parts, and the whole
        label = np.full(2 * n - 1, -1, np.int64)
        label[nodes] = np.arange(len(nodes))
        spread_labels(self.children, label)
        owner = label[n + forks]
        parts = np.searchsorted(nodes, self.children[forks])
        parent = np.full(len(nodes), len(nodes) - 1)
        parent[parts] = owner[:, None]
        volumes = np.bincount(label[:n], np.asarray(graph.sum(axis=1, dtype=np.float64)).ravel(), len(nodes))
        for node in range(len(nodes) - 1):  # from below: a part comes before what it is a part of
            volumes[parent[node]] += volumes[node]
        across = np.zeros(len(nodes))
        links_across(graph.indptr, graph.indices, graph.data, label[:n], parent, across)
        allowed = np.zeros(n - 1, bool)
        allowed[forks] = LINKED * volumes[parts].prod(axis=1) > volumes[-1] * across[owner]
        return allowed

    def _labels(self, top: Array) -> Array:
        """Number the leaves below disjoint nodes that cover the tree."""
        labels = np.full(2 * self.n_leaves - 1, -1, np.int64)
        labels[top] = np.arange(len(top))
        spread_labels(self.children, labels)
        return labels[: self.n_leaves]


def _links(graph: sparse.csr_matrix, labels: Array) -> tuple[Array, sparse.csr_matrix]:
    """Return the volume of each group, and the sum of the weights between each two."""
    groups = sparse.csr_matrix((np.ones(len(labels)), labels, np.arange(len(labels) + 1)))
    weights = (groups.T @ (graph @ groups)).tocsr()
    return np.asarray(weights.sum(axis=1)).ravel(), weights


def _follow_links(volumes: Array, weights: sparse.csr_matrix, n_clusters: int) -> Array:
    """Return the cluster of each group: the first ones are clusters; the others go where their links do, if any."""
    target = np.arange(len(volumes))
    waiting = target[n_clusters:]
    while len(waiting):
        placed = np.flatnonzero(target < n_clusters)
        member = sparse.csr_matrix((np.ones(len(placed)), (placed, target[placed])), (len(target), n_clusters))
        links = (weights[waiting] @ member).toarray()
        linked = links.any(axis=1)
        if not linked.any():
            break
        target[waiting[linked]] = (links[linked] / volumes[:n_clusters]).argmax(axis=1)
        waiting = waiting[~linked]
    return target
