"""Mixing of batches, and separation of labels, in an embedding."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from kithkin.core.errors import ParameterError
from kithkin.door import guard
from kithkin.kernels.lisi import inverse_simpson

__all__ = [
    "cramers_v",
    "graph_connectivity",
    "lisi",
    "lisi_at_random",
    "mean_of_groups",
    "silhouette",
    "silhouette_within",
]

Array: TypeAlias = np.ndarray[Any, Any]


def __dir__() -> list[str]:
    return __all__


def lisi(indices: Array, distances: Array, labels: Array, *, perplexity: float = 30.0) -> Array:
    """Local inverse Simpson's index: the effective number of labels among the neighbours of each row.

    The neighbours of a row have weights that fall exponentially with the distance, and as many count as the perplexity
    says. Of batches a high index means that they mix (iLISI), of kinds of rows an index of 1 that they stay apart
    (cLISI).

    Parameters
    ----------
    indices
        Neighbours of m rows, without the row itself, m x k integers.
    distances
        Distances to them, m x k.
    labels
        Integer codes of all rows from 0, n; neighbours with a negative code, a missing label, are left out.
    perplexity
        Effective number of neighbours; a third of k is usual.

    Returns
    -------
    ndarray
        m float64, from 1 to the number of labels; NaN where no neighbour has a label.

    Raises
    ------
    ParameterError
        If the shapes differ, labels are no codes, or perplexity is not above 1 and below k.

    References
    ----------
    Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0.

    Examples
    --------
    >>> near = np.array([[1, 2, 3], [0, 2, 3]])
    >>> lisi(near, np.ones((2, 3)), np.array([0, 0, 1, 2]), perplexity=2).round(2).tolist()
    [3.0, 3.0]
    >>> lisi(near, np.ones((2, 3)), np.array([0, 0, 0, 0]), perplexity=2).tolist()
    [1.0, 1.0]
    """
    indices, distances, labels = np.asarray(indices), np.asarray(distances), _codes("labels", labels)
    if indices.ndim != 2 or indices.shape != distances.shape or indices.size == 0:
        raise ParameterError(
            f"indices and distances must be of one shape, rows x neighbours, got {indices.shape} and {distances.shape}"
        )
    if not 1 < perplexity < indices.shape[1]:
        raise ParameterError(f"perplexity must be above 1 and below {indices.shape[1]} neighbours, got {perplexity}")
    out = np.empty(len(indices))
    n_labels = int(labels.max(initial=0)) + 1
    inverse_simpson(np.ascontiguousarray(distances), labels[indices], n_labels, float(np.log(perplexity)), out)
    return out


def lisi_at_random(labels: Array, groups: Array | None = None) -> Array:
    """Index that `lisi` would have for each row if the labels were shuffled within each group.

    Parameters
    ----------
    labels
        Integer codes from 0, n, such as batches.
    groups
        Integer codes from 0, n, such as kinds of rows; all are one group by default.

    Examples
    --------
    >>> lisi_at_random(np.array([0, 1, 0, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1])).tolist()
    [2.0, 2.0, 2.0, 2.0, 1.0, 1.0]
    """
    labels = _codes("labels", labels)
    groups = np.zeros(len(labels), np.int64) if groups is None else _codes("groups", groups, len(labels))
    known = (labels >= 0) & (groups >= 0)
    table = np.zeros((int(groups.max(initial=0)) + 1, int(labels.max(initial=0)) + 1))
    np.add.at(table, (groups[known], labels[known]), 1)
    squares = np.square(table).sum(axis=1)
    index = np.divide(table.sum(axis=1) ** 2, squares, out=np.full(len(table), np.nan), where=squares > 0)
    return np.where(known, index[groups], np.nan)


def graph_connectivity(indices: Array, labels: Array) -> float:
    """Graph connectivity: part of the rows of each label that hang together, averaged over the labels.

    Rows hang together if each can be reached from the other along neighbours of the same label.

    Parameters
    ----------
    indices
        Neighbours of each row, n x k integers.
    labels
        Integer codes from 0, n; rows with a negative code are left out.

    References
    ----------
    Luecken et al., Benchmarking atlas-level data integration in single-cell genomics (2022),
    doi:10.1038/s41592-021-01336-8.

    Examples
    --------
    >>> graph_connectivity(np.array([[1], [0], [3], [2], [3]]), np.array([0, 0, 0, 0, 1]))
    0.75
    """
    indices = np.asarray(indices)
    if indices.ndim != 2:
        raise ParameterError(f"indices must be rows x neighbours, got an array of the shape {indices.shape}")
    labels, (n, k) = _codes("labels", labels, len(indices)), indices.shape
    rows = np.repeat(np.arange(n), k)
    same = (labels[rows] == labels[indices.ravel()]) & (labels[rows] >= 0)
    graph = sparse.csr_matrix((np.ones(int(same.sum()), bool), (rows[same], indices.ravel()[same])), shape=(n, n))
    parts = connected_components(graph, connection="strong")[1]
    known = labels >= 0
    if not known.any():
        raise ParameterError("labels must have at least one row with a label, got none")
    pairs, sizes = np.unique(np.stack([labels[known], parts[known]]), axis=1, return_counts=True)
    largest, total = np.zeros((2, int(labels.max()) + 1))
    np.maximum.at(largest, pairs[0], sizes)
    np.add.at(total, pairs[0], sizes)
    return float((largest[total > 0] / total[total > 0]).mean())


def silhouette(sums: Array, sizes: Array, labels: Array) -> Array:
    """Silhouette of rows, -1 to 1: whether a row is nearer to its own label than to the nearest other one.

    Parameters
    ----------
    sums
        Sum of the distances of m rows to all rows of each label, m x labels.
    sizes
        Number of rows of each label.
    labels
        Label of each of the m rows, integer codes from 0.

    Returns
    -------
    ndarray
        m float64; 0 where a label has one row, and NaN where no other label has a row.

    References
    ----------
    Rousseeuw, Silhouettes: a graphical aid to the interpretation and validation of cluster analysis (1987),
    doi:10.1016/0377-0427(87)90125-7.

    Examples
    --------
    >>> places = np.array([0.0, 1.0, 9.0, 10.0])
    >>> distances = np.abs(places[:, None] - places)
    >>> sums = np.stack([distances[:, :2].sum(axis=1), distances[:, 2:].sum(axis=1)], axis=1)
    >>> silhouette(sums, np.array([2, 2]), np.array([0, 0, 1, 1])).round(3).tolist()
    [0.895, 0.882, 0.882, 0.895]
    """
    sums, sizes, labels = np.asarray(sums, np.float64), np.asarray(sizes), _codes("labels", labels, len(sums))
    rows = np.arange(len(sums))
    means = np.divide(sums, sizes, out=np.full(sums.shape, np.inf), where=sizes > 0)
    means[rows, labels] = np.inf
    other = means.min(axis=1, initial=np.inf)
    own = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    widest = np.maximum(own, other)
    found = np.divide(other - own, widest, out=np.zeros(len(sums)), where=(widest > 0) & np.isfinite(other))
    found[sizes[labels] == 1] = 0
    return np.where(np.isfinite(other), found, np.nan)


def silhouette_within(sums: Array, sizes: Array, labels: Array, groups: Array) -> Array:
    """Batch silhouette of rows, 0 to 1: whether the rows of a group lie by batch; 1 if the batches mix.

    This is 1 - |silhouette| of the batches among the rows of the group.

    Parameters
    ----------
    sums
        Sum of the distances of m rows to all rows of each group and batch, m x groups x batches.
    sizes
        Number of rows of each group and batch, groups x batches.
    labels
        Batch of each of the m rows, integer codes from 0.
    groups
        Group of each of the m rows, such as its kind, integer codes from 0.

    Returns
    -------
    ndarray
        m float64; NaN in groups with one batch, or with one row of each.

    References
    ----------
    Luecken et al. 2022, doi:10.1038/s41592-021-01336-8.

    Examples
    --------
    >>> equal = np.ones((4, 1, 2))
    >>> silhouette_within(equal, np.array([[2, 2]]), np.array([0, 0, 1, 1]), np.zeros(4, int)).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    labels, groups = _codes("labels", labels, len(sums)), _codes("groups", groups, len(sums))
    out = np.full(len(labels), np.nan)
    for group in np.unique(groups).tolist():
        own, count = groups == group, np.asarray(sizes)[group]
        if (count > 0).sum() >= 2 and (count > 1).any():
            out[own] = 1 - np.abs(silhouette(np.asarray(sums)[own, group], count, labels[own]))
    return out


def mean_of_groups(scores: Array, groups: Array) -> float:
    """Mean over the rows of each group, then over the groups: small groups count as much as large ones.

    Parameters
    ----------
    scores
        m numbers; NaN is left out.
    groups
        Group of each row, m integers.

    Examples
    --------
    >>> mean_of_groups(np.array([1.0, 0.0, 0.5, np.nan]), np.array([0, 0, 1, 2]))
    0.5
    """
    groups, scores = _codes("groups", groups, len(scores)), np.asarray(scores, np.float64)
    known = ~np.isnan(scores)
    sizes = np.bincount(groups[known])
    means = np.bincount(groups[known], scores[known])[sizes > 0] / sizes[sizes > 0]
    return float(means.mean()) if len(means) else float("nan")


def cramers_v(labels: Array, other: Array) -> float:
    """Cramér's V, 0 to 1: association of two partitions of the same rows; 1 if one of them tells the other.

    Parameters
    ----------
    labels, other
        Integer codes from 0, n; rows with a negative code in either are left out.

    Returns
    -------
    float
        0 if one of them has a single label.

    References
    ----------
    Cramér, Mathematical methods of statistics (1946), doi:10.1515/9781400883868.

    Examples
    --------
    >>> donor = np.array([0, 0, 1, 1])
    >>> cramers_v(donor, np.array([0, 0, 1, 1])), cramers_v(donor, np.array([0, 1, 0, 1]))
    (1.0, 0.0)
    """
    labels = _codes("labels", labels)
    other = _codes("other", other, len(labels))
    known = (labels >= 0) & (other >= 0)
    pairs, counts = np.unique(np.stack([labels[known], other[known]]), axis=1, return_counts=True)
    sizes, widths = np.bincount(labels[known]), np.bincount(other[known])
    least = min(np.count_nonzero(sizes), np.count_nonzero(widths)) - 1
    if least < 1:
        return 0.0
    # chi squared is n (sum of O^2 / (row * column) - 1): pairs without a row add nothing
    share = float((counts.astype(np.float64) ** 2 / (sizes[pairs[0]].astype(np.float64) * widths[pairs[1]])).sum())
    return float(np.sqrt(min(max(share - 1, 0.0) / least, 1.0)))


def _codes(name: str, values: Any, n: int | None = None) -> Array:
    """Check integer codes, of n rows where n is given."""
    codes = np.asarray(values)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or (n is not None and len(codes) != n):
        rows = "one for each row" if n is None else f"{n} of them"
        raise ParameterError(f"{name} must be integer codes, {rows}, got {codes.dtype} of the shape {codes.shape}")
    return codes


guard(globals())
