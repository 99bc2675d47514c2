"""Subtrees of a dendrogram: choice of clusters, and labels of what is below them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def spread_labels(children, labels):
    """Spread the label of a node to all nodes below it that have no label of their own.

    children: int64 (n - 1) x 2, as of a SciPy linkage.
    labels (in and out): int64 of 2 n - 1 nodes: -1 where a node has none.
    """
    n = len(children) + 1
    for t in range(n - 2, -1, -1):
        label = labels[n + t]
        if label >= 0:
            for side in range(2):
                if labels[children[t, side]] < 0:
                    labels[children[t, side]] = label


@njit(cache=True, nogil=True)
def most_persistent(children, heights, scale, sizes, min_size, allowed, chosen):
    """Mark the disjoint clusters with the largest sum of persistences.

    A cluster begins where it is split off from another that is as large as min_size at least, and lives down to where
    it splits into two such itself; smaller parts that leave it on the way do not end it. Its persistence is the sum,
    over the way, of its size times the drop of the scale.

    children, heights, sizes: arrays of n - 1 merges, heights ascending.
    scale: float64 per merge: the scale on which lifetimes are measured, ascending and finite.
    min_size: smallest cluster.
    allowed: bool per merge: clusters may be split there; at infinite heights they always are.
    chosen (out): bool per node of 2 n - 1: the chosen clusters begin there.
    """
    n = len(children) + 1
    top = 2 * n - 2
    whole = np.zeros(2 * n - 1)  # persistence of the cluster that a node belongs to, below the node
    parts = np.full(2 * n - 1, -np.inf)  # best sum of clusters that it splits into
    fork = np.full(2 * n - 1, -1, np.int64)  # the merge at which it splits
    begin = np.arange(2 * n - 1)  # where it begins, below what nothing connects to it; -1 for what is no cluster
    split = np.zeros(2 * n - 1, np.bool_)  # whether a cluster that begins here is better split
    for t in range(n - 1):
        node = n + t
        big = np.zeros(2, np.bool_)
        for side in range(2):
            child = children[t, side]
            big[side] = child >= n and sizes[child - n] >= min_size
            if big[side]:
                whole[child] += sizes[child - n] * (scale[t] - scale[child - n])
                split[child] = parts[child] > whole[child]
        if big[0] and big[1]:
            fork[node] = t
            if allowed[t] or np.isinf(heights[t]):
                parts[node] = max(whole[children[t, 0]], parts[children[t, 0]])
                parts[node] += max(whole[children[t, 1]], parts[children[t, 1]])
            if np.isinf(heights[t]):
                whole[node] = -np.inf
        elif big[0] or big[1]:
            child = children[t, 0] if big[0] else children[t, 1]
            whole[node], parts[node], fork[node] = whole[child], parts[child], fork[child]
            if np.isinf(heights[t]):
                begin[node] = begin[child]
        elif np.isinf(heights[t]):
            begin[node] = -1
    split[top] = parts[top] > whole[top]
    # down from the top through clusters that are better split, to where the others begin
    chosen[:] = False
    stack = np.empty(n, np.int64)
    stack[0] = top
    count = 1
    while count > 0:
        count -= 1
        node = stack[count]
        if split[node]:
            for side in range(2):
                stack[count] = children[fork[node], side]
                count += 1
        elif begin[node] >= 0:
            chosen[begin[node]] = True


@njit(cache=True, nogil=True)
def links_across(indptr, indices, weights, group, parent, across):
    """Add the weight of each link to the node of a coarse tree at which its two ends part.

    Links within a group, and those between a group and one above it, are left out.

    indptr, indices, weights: symmetric graph in compressed rows.
    group: int64 per row: its node in the coarse tree.
    parent: int64 per node of the coarse tree, higher than the node; of the top, the top itself.
    across (added to): float64 per node of the coarse tree.
    """
    for i in range(len(indptr) - 1):
        for t in range(indptr[i], indptr[i + 1]):
            j = indices[t]
            if j < i:
                a, b = group[i], group[j]
                while a != b:
                    if a < b:
                        a = parent[a]
                    else:
                        b = parent[b]
                if a != group[i] and a != group[j]:
                    across[a] += weights[t]


@njit(cache=True, nogil=True)
def largest_within(children, sizes, largest, chosen):
    """Mark the highest nodes that have no more than so many leaves; they cover the tree.

    children, sizes: arrays of n - 1 merges.
    largest: leaves of a subtree at most.
    chosen (out): bool per node of 2 n - 1.
    """
    n = len(children) + 1
    chosen[:] = False
    chosen[2 * n - 2] = True
    for t in range(n - 2, -1, -1):
        if chosen[n + t] and sizes[t] > largest:
            chosen[n + t] = False
            chosen[children[t, 0]] = True
            chosen[children[t, 1]] = True


@njit(cache=True, nogil=True)
def mark_uncovered(children, heights, chosen, loose):
    """Mark the highest connected nodes that are neither above nor below a chosen one, nor chosen.

    children, heights: arrays of n - 1 merges; at infinite height two parts are joined that nothing connects.
    chosen: bool per node of 2 n - 1: disjoint nodes.
    loose (out): bool per node of 2 n - 1.
    """
    n = len(children) + 1
    above = chosen.copy()
    for t in range(n - 1):
        if above[children[t, 0]] or above[children[t, 1]] or np.isinf(heights[t]):
            above[n + t] = True
    loose[:] = False
    inside = chosen.copy()
    for t in range(n - 2, -1, -1):
        for side in range(2):
            child = children[t, side]
            if inside[n + t]:
                inside[child] = True
            elif above[n + t] and not above[child]:
                loose[child] = True
