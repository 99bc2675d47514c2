"""Partitions of a graph into a given number of groups: made by merging communities, and compared without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice

EVENNESS = 3.0  # what the logarithm of the evenness counts beside that of the cut
LEAST = 1e-9  # share of the weight that a cut is taken to have at least


def quotient(graph: Any, labels: Array) -> Array:
    """Sum of the weights between each two groups, K x K; those inside are counted from both ends.

    Parameters
    ----------
    graph
        n x n symmetric weights.
    labels
        n integers from 0.

    Examples
    --------
    >>> quotient(np.ones((3, 3)), np.array([0, 0, 1])).tolist()
    [[4.0, 2.0], [2.0, 1.0]]
    """
    member = sparse.csr_matrix((np.ones(len(labels)), labels, np.arange(len(labels) + 1)))
    found: Array = (member.T @ (sparse.csr_matrix(graph) @ member)).toarray()
    return found


def modularity(graph: Any, labels: Array) -> float:
    r"""Weight of links within groups beyond what the degrees explain.

    Parameters
    ----------
    graph
        n x n symmetric weights.
    labels
        n integers from 0.

    References
    ----------
    Newman and Girvan 2004, doi:10.1103/PhysRevE.69.026113.

    Examples
    --------
    >>> graph = sparse.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))))
    >>> modularity(graph, np.array([0, 0, 0, 1, 1, 1])), modularity(graph, np.zeros(6, int))
    (0.5, 0.0)
    """
    weights = quotient(graph, labels)
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    return float(np.trace(weights) / total - (weights.sum(0) ** 2).sum() / total**2)


def cut_quality(graph: Any, labels: Array) -> float:
    r"""How well groups of a given number part a graph: few links cut, and groups that are not too uneven.

    With c the share of the weight between groups and :math:`v_k` the share of the degrees in group k, this is
    :math:`-\log c - 3 \log \sum_k v_k^2`. Modularity, :math:`1 - c - \sum_k v_k^2`, rather halves a large group that
    hangs together than keeps a small one that stands apart, since only differences count: here ratios do.
    The factor is an empirical choice; any from 2 to 10 prefers the same of the partitions that led to it.

    Parameters
    ----------
    graph
        n x n symmetric weights.
    labels
        n integers from 0.

    Examples
    --------
    >>> graph = np.kron(np.eye(2), np.ones((3, 3))) + 0.01
    >>> cut_quality(graph, np.array([0, 0, 0, 1, 1, 1])) > cut_quality(graph, np.array([0, 0, 1, 1, 1, 1]))
    True
    """
    weights = quotient(graph, labels)
    total = float(weights.sum())
    if total <= 0:
        return -np.inf
    cut, even = 1 - np.trace(weights) / total, ((weights.sum(0) / total) ** 2).sum()
    return float(-np.log(max(cut, LEAST)) - EVENNESS * np.log(even))


def merged(graph: Any, labels: Array, n_groups: int, by: str = "modularity") -> Array:
    """Merge groups, two at a time, until so many are left.

    Parameters
    ----------
    graph
        n x n symmetric weights.
    labels
        n integers from 0, all of which occur.
    n_groups
        How many are wanted, at most as many as there are.
    by
        "modularity": merge the two that raise it most. "cut": the two that raise the normalised association most, the
        sum over groups of the share of their weight that stays inside (Shi and Malik 2000, doi:10.1109/34.868688).

    Raises
    ------
    ParameterError
        If there are fewer groups than wanted.

    Examples
    --------
    >>> graph = np.kron(np.eye(2), np.ones((4, 4))) + 0.01
    >>> merged(graph, np.array([0, 0, 1, 1, 2, 2, 3, 3]), 2).tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    check_choice("by", by, ("modularity", "cut"))
    weights = quotient(graph, labels)
    check(1 <= n_groups <= len(weights), f"n_groups must be in 1..{len(weights)}, got {n_groups}")
    place = np.arange(len(weights))
    while len(weights) > n_groups:
        gain = _gain_of_modularity(weights) if by == "modularity" else _gain_of_cut(weights)
        np.fill_diagonal(gain, -np.inf)
        first, second = sorted(int(i) for i in np.unravel_index(gain.argmax(), gain.shape))
        weights[first] += weights[second]
        weights[:, first] += weights[:, second]
        weights = np.delete(np.delete(weights, second, 0), second, 1)
        place[place == second] = first
        place[place > second] -= 1
    found: Array = place[labels]
    return found


def _gain_of_modularity(weights: Array) -> Array:
    degrees, total = weights.sum(0), weights.sum()
    gain: Array = weights / total - np.outer(degrees, degrees) / total**2
    return gain


def _gain_of_cut(weights: Array) -> Array:
    inside, degrees = np.diag(weights), np.maximum(weights.sum(0), 1e-300)
    share = inside / degrees
    both = (inside[:, None] + inside + 2 * weights) / (degrees[:, None] + degrees)
    gain: Array = both - share[:, None] - share
    return gain
