"""Tree above the groups of a partition: made from links or profiles, and closed where splits have no support."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import ward

from kithkin.core.blocks import Array, as_blocks, as_numbers
from kithkin.core.errors import check
from kithkin.core.execute import Execution, map_blocks
from kithkin.metrics.hierarchy import checked_weights, group_weights, paris_linkage

SIGNIFICANT = 0.01  # adjusted p of a split up to which it is supported


def numbered(groups: Any, n: int) -> tuple[Array, int]:
    """Number groups without gaps: n int64, -1 for a row without a group; and how many there are.

    Raises ParameterError if there is not one integer for each of n rows, or no row is in a group.

    >>> [found if isinstance(found, int) else found.tolist() for found in numbered(np.array([7, -1, 2, 7]), 4)]
    [[1, -1, 0, 1], 2]
    """
    given = as_numbers(groups, "groups")
    right = given.shape == (n,) and given.dtype.kind in "iu"
    check(right, f"groups must be {n} integers, got {given.dtype} of shape {given.shape}")
    check(bool((given >= 0).any()), "groups must hold a group of at least one row, got none")
    present, found = np.unique(given[given >= 0], return_inverse=True)
    codes = np.full(n, -1, np.int64)
    codes[given >= 0] = found
    return codes, len(present)


def links_between(graph: Any, codes: Array, execution: Execution) -> Array:
    """Sum the weights of a graph between groups, k x k."""
    work = partial(weights_of_block, codes=codes)
    return checked_weights(sum(map_blocks(work, as_blocks(graph), execution, "links between groups")))


def join(points: Array, codes: Array, weights: Array | None) -> Array:
    """Join groups to a tree by the weights between them, or by their points (Ward); (k - 1) x 2 int64."""
    if len(points) == 1:
        return np.zeros((0, 2), np.int64)
    linked = ward(points) if weights is None else paris_linkage(weights, np.bincount(codes[codes >= 0]))
    return np.asarray(linked[:, :2], np.int64)


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
