"""Hierarchy of the groups of a partition: weights between groups, Paris linkage, and optimal leaf order."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.door import guard

__all__ = ["checked_weights", "group_weights", "leaf_order", "paris_linkage"]

Array: TypeAlias = np.ndarray[Any, Any]
AT_A_TIME = 2**20  # edges whose groups are held at a time
LARGEST = 4096  # groups, whose table of weights is dense


def __dir__() -> list[str]:
    return __all__


def group_weights(rows: Any, codes: Any, start: int = 0) -> Array:
    """Sum the weights of a graph between groups of nodes.

    The results of blocks of rows add up to that of all rows.

    Parameters
    ----------
    rows
        m x n weights, consecutive rows of the graph: a SciPy matrix, an array, or anything with the data, indices and
        indptr of compressed rows.
    codes
        Group of each node from 0, n; edges of nodes with a negative code are left out.
    start
        Number of the first of these rows.

    Returns
    -------
    ndarray
        float64, k x k, k one more than the largest code. Edges within a group are on the diagonal, twice for an
        undirected graph.

    Raises
    ------
    ParameterError
        If codes are no integers, too many groups, or not as many as nodes.

    Examples
    --------
    >>> path = np.diag([1.0, 2.0, 3.0], 1) + np.diag([1.0, 2.0, 3.0], -1)
    >>> group_weights(path, [0, 0, 1, 1]).tolist()
    [[2.0, 2.0], [2.0, 6.0]]
    >>> (group_weights(path[:3], [0, 0, 1, 1]) + group_weights(path[3:], [0, 0, 1, 1], start=3)).tolist()
    [[2.0, 2.0], [2.0, 6.0]]
    """
    rows = rows if hasattr(rows, "indptr") else sparse.csr_matrix(rows)
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" or codes.ndim != 1:
        raise ParameterError(f"codes must be a list of integers, got {codes.dtype} with {codes.ndim} dimensions")
    m, n = rows.shape
    if len(codes) != n or not 0 <= start <= n - m:
        raise ParameterError(
            f"codes must have one value per node, got {len(codes)} for rows {start}..{start + m} of {n}"
        )
    k = int(codes.max(initial=-1)) + 1
    if k > LARGEST:
        raise ParameterError(f"codes must be of at most {LARGEST} groups, got {k}")
    out = np.zeros((k + 1) ** 2)
    indptr = np.asarray(rows.indptr, np.int64)
    for first in range(0, int(indptr[-1]), AT_A_TIME):
        last = min(first + AT_A_TIME, int(indptr[-1]))
        row = np.searchsorted(indptr, np.arange(first, last), side="right") - 1
        ends = (np.maximum(codes[nodes], -1).astype(np.int64) + 1 for nodes in (start + row, rows.indices[first:last]))
        pair = next(ends) * (k + 1) + next(ends)  # the first group is that of missing codes
        out += np.bincount(pair, rows.data[first:last], minlength=len(out))
    square: Array = out.reshape(k + 1, k + 1)[1:, 1:]
    return square


def paris_linkage(weights: Any, sizes: Any = None) -> Array:
    r"""Agglomerate groups by the distance of Paris, always the nearest two.

    Groups a and b are at distance :math:`d(a, b) = \mathrm{vol}(a) \mathrm{vol}(b) / (W w(a, b))`, with w(a, b) the
    weight between them, vol(a) the sum of the weights of a with all groups and itself, and W that of all: the links
    expected by chance for each that is there. No merge brings groups nearer, so heights ascend.

    Parameters
    ----------
    weights
        Weights between groups, k x k, symmetric, at least 0; the diagonal counts in the volumes.
    sizes
        Members of each group, k, by which unconnected components are ordered; by default one each.

    Returns
    -------
    ndarray
        float64, (k - 1) x 4, as SciPy's `linkage` gives it: the two that are joined, groups below k or k + an earlier
        merge, the lower number first; their distance; groups below. Among equal distances the lowest numbers go
        first. Unconnected components are joined last, the smallest first, at infinite height.

    Raises
    ------
    ParameterError
        If weights are not square, symmetric, finite and at least 0, or sizes are not one per group.

    References
    ----------
    Bonald, Charpentier, Galland and Hollocou, Hierarchical graph clustering using node pair sampling (2018),
    arXiv:1806.01664.

    Examples
    --------
    >>> weights = np.array([[8.0, 1.0, 0.0], [1.0, 4.0, 2.0], [0.0, 2.0, 6.0]])
    >>> paris_linkage(weights).round(2).tolist()
    [[1.0, 2.0, 1.17, 2.0], [0.0, 3.0, 5.62, 3.0]]
    """
    w = checked_weights(weights)
    k = len(w)
    sizes = np.ones(k) if sizes is None else np.array(sizes, np.float64)
    if sizes.shape != (k,):
        raise ParameterError(f"sizes must have one value per group, got {len(sizes)} for {k} groups")
    distance = _distances(w)
    np.fill_diagonal(distance, np.inf)
    volumes, total, node, below = w.sum(axis=1), w.sum(), np.arange(k), np.ones(k)
    out, height = np.empty((max(0, k - 1), 4)), 0.0
    for t in range(k - 1):
        left = len(node)
        a, b = divmod(int(distance.argmin()), left)
        if np.isinf(distance[a, b]):
            order = np.lexsort((node, sizes))  # unconnected components, from the smallest on
            whole, count = node[order[0]], below[order[0]]
            for u, part in enumerate(order[1:], t):
                count += below[part]
                out[u] = min(whole, node[part]), max(whole, node[part]), np.inf, count
                whole = k + u
            break
        height = max(height, float(distance[a, b]))  # equal up to rounding where it is not
        out[t] = min(node[a], node[b]), max(node[a], node[b]), height, below[a] + below[b]
        w[a] += w[b]
        w[:, a] += w[:, b]
        sizes[a], volumes[a], node[a], below[a] = sizes[a] + sizes[b], volumes[a] + volumes[b], k + t, out[t, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance[a] = np.where(w[a] > 0, volumes[a] * volumes / (total * w[a]), np.inf)
        distance[a, a] = np.inf
        distance[:, a] = distance[a]
        # the merged group comes last, so that lower numbers stay first among equal distances
        keep = np.append(np.delete(np.arange(left), [a, b]), a)
        w, distance = w[np.ix_(keep, keep)], distance[np.ix_(keep, keep)]
        sizes, volumes, node, below = sizes[keep], volumes[keep], node[keep], below[keep]
    return out


def leaf_order(weights: Any, linkage: Any) -> Array:
    """Optimal leaf order of a linkage: the shortest path along all leaves.

    Parameters
    ----------
    weights
        Weights as in `paris_linkage`, k x k.
    linkage
        Its result, (k - 1) x 4.

    Returns
    -------
    ndarray
        The k groups from left to right, in the direction that has the lower numbers to the left.

    References
    ----------
    Bar-Joseph, Gifford and Jaakkola, Fast optimal leaf ordering for hierarchical clustering (2001),
    doi:10.1093/bioinformatics/17.suppl_1.S22.

    Examples
    --------
    >>> weights = np.array([[8.0, 0.0, 2.0], [0.0, 4.0, 1.0], [2.0, 1.0, 6.0]])
    >>> leaf_order(weights, paris_linkage(weights)).tolist()
    [0, 2, 1]
    """
    w = checked_weights(weights)
    k = len(w)
    if k < 3:
        return np.arange(k)
    steps = _distances(w)
    known = np.log(steps[np.isfinite(steps)])
    far = known.max(initial=0.0) - known.min(initial=0.0) + 1.0
    steps = np.where(np.isfinite(steps), np.log(steps), known.max(initial=0.0) + far)
    merges = np.asarray(linkage)[:, :2].astype(np.int64)
    order = _shortest_path(steps, merges)
    half = k // 2
    return order[::-1] if order[:half].mean() > order[-half:].mean() else order


def _shortest_path(steps: Array, merges: Array) -> Array:
    """Find the best path by dynamic programming over the two ends of the leaves below each node, from the bottom up."""
    k = len(steps)
    leaves: list[Array] = [np.array([i]) for i in range(k)]
    ways: list[Array] = [np.zeros((1, 1)) for _ in range(k)]
    turns: list[tuple[Array, Array]] = []
    for a, b in merges:
        some, last = _shortest_sums(ways[a], steps[np.ix_(leaves[a], leaves[b])])
        across, first = _shortest_sums(some, ways[b])
        turns.append((last, first))
        n_a, n_b = across.shape
        way = np.full((n_a + n_b, n_a + n_b), np.inf)
        way[:n_a, n_a:], way[n_a:, :n_a] = across, across.T
        leaves.append(np.concatenate([leaves[a], leaves[b]]))
        ways.append(way)
        ways[a] = ways[b] = np.empty((0, 0))
    order, todo = [], [(2 * k - 2, *divmod(int(ways[-1].argmin()), k))]
    while todo:
        node, left, right = todo.pop()
        if node < k:
            order.append(node)
            continue
        (a, b), (last, first) = merges[node - k], turns[node - k]
        n_a = len(leaves[a])
        if left < n_a:
            enter = int(first[left, right - n_a])
            todo += [(b, enter, right - n_a), (a, left, int(last[left, enter]))]
        else:
            enter = int(first[right, left - n_a])
            todo += [(a, int(last[right, enter]), right), (b, left - n_a, enter)]
    return np.array(order)


def _shortest_sums(a: Array, b: Array) -> tuple[Array, Array]:
    """Minimise a[i, m] + b[m, j] over m for each i and j; return the sums and the m."""
    best = np.empty((len(a), b.shape[1]), np.int64)
    for i, row in enumerate(a):
        best[i] = (row[:, None] + b).argmin(axis=0)
    return np.take_along_axis(a, best, 1) + b[best, np.arange(b.shape[1])], best


def _distances(w: Array) -> Array:
    """Compute the distance of each two groups, infinite where no edge connects them."""
    volumes = w.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Array = np.where(w > 0, np.outer(volumes, volumes) / (w.sum() * w), np.inf)
    return out


def checked_weights(weights: Any) -> Array:
    """Check weights between groups, and return a copy that is exactly symmetric.

    Raises
    ------
    ParameterError
        If they are not square, symmetric, finite and at least 0.

    Examples
    --------
    >>> checked_weights([[0, 1], [2, 0]])
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: weights must be symmetric
    """
    w = np.array(weights, np.float64)
    if w.ndim != 2 or w.shape[0] != w.shape[1]:
        raise ParameterError(f"weights must be square, got shape {w.shape}")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ParameterError("weights must be finite and at least 0")
    if not np.allclose(w, w.T, rtol=1e-4, atol=1e-6 * w.max(initial=0.0)):
        raise ParameterError("weights must be symmetric")
    symmetric: Array = (w + w.T) / 2
    return symmetric


guard(globals())
