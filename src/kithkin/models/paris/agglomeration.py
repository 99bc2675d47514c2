"""Agglomeration of a graph by the Paris distance, in rounds of mutually nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.kernels.paris import ascending, contract, find_nearest, pair_up


def agglomerate(graph: sparse.csr_matrix) -> tuple[Array, Array, Array]:
    """Build the Paris dendrogram of a graph of n x n symmetric weights, canonical; self-loops count in the volumes.

    Distances of clusters shrink under no merge (the linkage is reducible), so all pairs that are each other's nearest
    may be joined at once. A round costs the edges that are left; the number of rounds is about the logarithm of the
    number of nodes, unless the graph is a star or a path, where it is their number. Memory is two graphs of the edges.

    Returns
    -------
    tuple
        children, int64 (n - 1) x 2, node n + t being the result of merge t; heights, float64, ascending, infinite where
        parts without an edge between them are joined, the smallest first; sizes, int64, nodes below each merge.
    """
    n = graph.shape[0]
    indptr, indices, weights = graph.indptr, graph.indices, graph.data
    volumes = np.asarray(graph.sum(axis=1, dtype=np.float64)).ravel()
    total = volumes.sum()
    node, height_of = np.arange(n), np.zeros(2 * n - 1)
    left, right = np.empty((2, n - 1), np.int64)
    heights = np.empty(n - 1)
    done = 0
    while len(node) > 1:
        k = len(node)
        nearest, distance = np.empty(k, np.int32), np.empty(k)
        find_nearest(indptr, indices, weights, volumes, nearest, distance)
        group, first, second = np.empty((3, k), np.int32)
        count = pair_up(nearest, group, first, second)
        if count == k:
            # Of exact distances the smallest is always mutual, the lowest id deciding among equals. Rounded ones may go
            # round in a circle, as each row adds up its own weights: so the nearest two are made each other's nearest.
            closest = int(np.argmin(distance))
            if nearest[closest] < 0:
                break  # no two are linked
            nearest[nearest[closest]] = closest
            count = pair_up(nearest, group, first, second)
        first, second = first[:count], second[:count]
        joined = np.flatnonzero(second >= 0)
        new = slice(done, done + len(joined))
        left[new], right[new] = node[first[joined]], node[second[joined]]
        # at least as high as both parts: equal up to rounding where it is not
        below = np.maximum(height_of[left[new]], height_of[right[new]])
        heights[new] = np.maximum(distance[first[joined]] / total, below)
        merged = n + np.arange(done, done + len(joined))
        height_of[merged] = heights[new]
        node, volumes = node[first], volumes[first] + np.where(second >= 0, volumes[second], 0.0)
        node[joined] = merged
        size = len(indices)
        after = np.empty(count + 1, np.int64), np.empty(size, np.int32), np.empty(size, np.float64)
        size = contract(indptr, indices, weights, group, first, second, *after)
        indptr, indices, weights = after[0], after[1][:size], after[2][:size]
        done += len(joined)
    _join_parts(node, left, right, heights, done, n)
    children, heights, sizes = ascending(left, right, heights, n)
    return children, heights, sizes


def _join_parts(node: Array, left: Array, right: Array, heights: Array, done: int, n: int) -> None:
    """Join unconnected parts from the smallest on, at infinite height; the lowest first member among equals."""
    if done == n - 1:
        return
    size = np.ones(2 * n - 1, np.int64)
    for t in range(done):
        size[n + t] = size[left[t]] + size[right[t]]
    order = node[np.argsort(size[node], kind="stable")]
    whole = order[0]
    for t, part in enumerate(order[1:], done):
        left[t], right[t], heights[t] = whole, part, np.inf
        whole = n + t
