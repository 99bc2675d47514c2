"""Agglomeration of the nodes of a graph by the Paris distance, in rounds of mutually nearest neighbours."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def find_nearest(indptr, indices, weights, volumes, nearest, heights):
    """Find the neighbour of each node at the smallest distance vol(a) vol(b) / w(a, b); the lowest id among equals.

    indptr, indices, weights: symmetric graph in compressed rows; zero weights are no edges.
    volumes: float64 per node.
    nearest, heights (out): int32 and float64 per node: the neighbour, or -1, and its distance.
    """
    for a in range(len(nearest)):
        best = np.inf
        who = -1
        for t in range(indptr[a], indptr[a + 1]):
            b = indices[t]
            if weights[t] > 0 and b != a:
                distance = volumes[b] / np.float64(weights[t])
                if distance < best or (distance == best and b < who):
                    best = distance
                    who = b
        nearest[a] = who
        heights[a] = best if who < 0 else best * volumes[a]


@njit(cache=True, nogil=True)
def pair_up(nearest, group, first, second):
    """Join nodes that are each other's nearest, number what results by its lowest member, and return how many.

    nearest: int32 per node, or -1.
    group (out): int32 per node: its new number.
    first, second (out): int32 per new number: its members, the second -1 for a node that stays alone.
    """
    count = 0
    for a in range(len(nearest)):
        b = nearest[a]
        mutual = b >= 0 and nearest[b] == a
        if mutual and b < a:
            continue
        first[count] = a
        second[count] = b if mutual else -1
        group[a] = count
        if mutual:
            group[b] = count
        count += 1
    return count


@njit(cache=True, nogil=True)
def contract(indptr, indices, weights, group, first, second, out_indptr, out_indices, out_weights):
    """Add up the edges between the new nodes, leave out those inside, and return how many there are.

    indptr, indices, weights: the graph before.
    group, first, second: as pair_up leaves them, cut to the number of new nodes.
    out_indptr, out_indices, out_weights (out): the graph after, with room for as many edges as before.
    """
    n = len(first)
    seen = np.full(n, -1, np.int32)
    position = np.empty(n, np.int64)
    size = 0
    out_indptr[0] = 0
    for r in range(n):
        for member in (first[r], second[r]):
            if member < 0:
                continue
            for t in range(indptr[member], indptr[member + 1]):
                c = group[indices[t]]
                if c == r or weights[t] <= 0:
                    continue
                if seen[c] == r:
                    out_weights[position[c]] += weights[t]
                else:
                    seen[c] = r
                    position[c] = size
                    out_indices[size] = c
                    out_weights[size] = weights[t]
                    size += 1
        out_indptr[r + 1] = size
    return size


@njit(cache=True, nogil=True)
def ascending(left, right, heights, n):
    """Put merges in the order of their heights, and number their results n, n + 1, ... in this order.

    left, right: int64 per merge: what is joined, nodes 0 to n - 1 or n + an earlier merge.
    heights: float64 per merge; at least those of what is joined.
    Returns children, int64 of merges x 2 with the lower number first; heights; sizes, int64.
    """
    m = len(heights)
    order = np.argsort(heights, kind="mergesort")
    number = np.empty(n + m, np.int64)
    number[:n] = np.arange(n)
    for rank in range(m):
        number[n + order[rank]] = n + rank
    children = np.empty((m, 2), np.int64)
    sizes = np.ones(n + m, np.int64)
    for rank in range(m):
        a = number[left[order[rank]]]
        b = number[right[order[rank]]]
        children[rank, 0] = min(a, b)
        children[rank, 1] = max(a, b)
        sizes[n + rank] = sizes[a] + sizes[b]
    return children, heights[order], sizes[n:]
