"""Partitions of a graph into a given number of groups: merging of communities, and scores without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice

EVENNESS = 3.0  # weight of the logarithm of the evenness beside that of the cut
LEAST = 1e-9  # fraction of the weight that a cut is taken to have at least


def quotient(graph: Any, labels: Array) -> Array:
    """Sum the weights between each two groups, K x K; those inside are counted from both ends.

    graph: n x n symmetric weights.
    labels: n integers from 0.
    """
    member = sparse.csr_matrix((np.ones(len(labels)), labels, np.arange(len(labels) + 1)))
    weights: Array = (member.T @ (sparse.csr_matrix(graph) @ member)).toarray()
    return weights


def modularity(graph: Any, labels: Array) -> float:
    r"""Compute the modularity: weight of links within groups beyond what the degrees explain.

    graph: n x n symmetric weights.
    labels: n integers from 0.
    Source: Newman and Girvan 2004, doi:10.1103/PhysRevE.69.026113.
    """
    weights = quotient(graph, labels)
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    return float(np.trace(weights) / total - (weights.sum(0) ** 2).sum() / total**2)


def cut_quality(graph: Any, labels: Array) -> float:
    r"""Score a partition into a given number of groups: few links cut, and groups that are not too uneven.

    With c the fraction of the weight between groups and :math:`v_k` that of the degrees in group k, this is
    :math:`-\log c - 3 \log \sum_k v_k^2`. Modularity, :math:`1 - c - \sum_k v_k^2`, rather halves a large group that
    hangs together than keeps a small one that stands apart, since only differences count: here ratios do.
    The factor is an empirical choice; any from 2 to 10 prefers the same of the partitions that led to it.

    graph: n x n symmetric weights.
    labels: n integers from 0.
    """
    weights = quotient(graph, labels)
    total = float(weights.sum())
    if total <= 0:
        return -np.inf
    cut, even = 1 - np.trace(weights) / total, ((weights.sum(0) / total) ** 2).sum()
    return float(-np.log(max(cut, LEAST)) - EVENNESS * np.log(even))


def merge_groups(graph: Any, labels: Array, n_groups: int, by: str = "modularity") -> Array:
    """Merge groups, two at a time, until so many are left.

    graph: n x n symmetric weights.
    labels: n integers from 0, all of which occur.
    n_groups: how many are wanted, at most as many as there are.
    by: "modularity": merge the two that raise it most. "cut": the two that raise the normalised association most, the
        sum over groups of the fraction of their weight that stays inside (Shi and Malik 2000, doi:10.1109/34.868688).
    Raises ParameterError if there are fewer groups than wanted.
    """
    check_choice("by", by, ("modularity", "cut"))
    weights = quotient(graph, labels)
    check(1 <= n_groups <= len(weights), f"n_groups must be in 1..{len(weights)}, got {n_groups}")
    number = np.arange(len(weights))
    while len(weights) > n_groups:
        degrees = weights.sum(0)
        if by == "modularity":
            total = weights.sum()
            gain = weights / total - np.outer(degrees, degrees) / total**2
        else:
            inside, degrees = np.diag(weights), np.maximum(degrees, 1e-300)
            both = (inside[:, None] + inside + 2 * weights) / (degrees[:, None] + degrees)
            gain = both - (inside / degrees)[:, None] - inside / degrees
        np.fill_diagonal(gain, -np.inf)
        first, second = sorted(int(i) for i in np.unravel_index(gain.argmax(), gain.shape))
        weights[first] += weights[second]
        weights[:, first] += weights[:, second]
        weights = np.delete(np.delete(weights, second, 0), second, 1)
        number[number == second] = first
        number[number > second] -= 1
    groups: Array = number[labels]
    return groups
