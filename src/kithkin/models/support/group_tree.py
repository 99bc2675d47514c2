"""Tree above the groups of a partition: made from links or profiles, and closed where splits have no support."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import ward

from kithkin.core.blocks import Array, as_blocks
from kithkin.core.execute import Execution, map_blocks
from kithkin.metrics.hierarchy import checked_weights, group_weights, paris_linkage


def join(sums: Array, codes: Array, graph: Any, execution: Execution) -> Array:
    """Join groups to a tree by the links of a graph, or by their profiles; (k - 1) x 2 int64."""
    if len(sums) == 1:
        return np.zeros((0, 2), np.int64)
    if graph is None:
        shares = np.sqrt(sums / np.maximum(sums.sum(axis=1, keepdims=True), 1))
        children = ward(shares)[:, :2]
    else:
        work = partial(weights_of_block, codes=codes)
        weights = sum(map_blocks(work, as_blocks(graph), execution, "links between groups"))
        children = paris_linkage(checked_weights(weights), np.bincount(codes[codes >= 0]))[:, :2]
    return np.asarray(children, np.int64)


def weights_of_block(block: Any, start: int, codes: Array) -> Array:
    """Sum the weights of a block of the graph between groups."""
    return group_weights(block, codes, start)


def members_of(children: Array, k: int) -> Array:
    """Mark the groups on each side of every split, (k - 1) x 2 x k bool.

    >>> members_of(np.array([[0, 2], [1, 3]]), 3).astype(int).tolist()
    [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 1]]]
    """
    below = np.vstack([np.eye(k, dtype=bool), np.zeros((len(children), k), bool)])
    members = np.zeros((len(children), 2, k), bool)
    for node, pair in enumerate(children):
        members[node] = below[pair]
        below[k + node] = members[node].any(axis=0)
    return members


def closed(children: Array, supported: Array, k: int) -> Array:
    """Number what is left of k groups when nodes without support at or below them are closed; k int32.

    >>> closed(np.array([[0, 2], [1, 3], [4, 5]]), np.array([False, True, False]), 4).tolist()
    [0, 1, 0, 2]
    """
    open_ = np.zeros(2 * k - 1, bool)
    owner = np.arange(2 * k - 1)
    for node, pair in enumerate(children):
        open_[k + node] = supported[node] or open_[pair].any()
    for node in range(len(children) - 1, -1, -1):
        if not open_[k + node]:
            owner[children[node]] = owner[k + node]
    _, first, number = np.unique(owner[:k], return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[number].astype(np.int32)
