"""What two partitions would have in common by chance alone."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
TAIL = 40.0  # probabilities below exp(-TAIL) do not change a sum in double precision
AT_A_TIME = 2**20  # terms of an expectation that are held


def expected_information(rows: Any, columns: Any) -> float:
    r"""Mean mutual information of two random partitions with parts of these sizes, in nats.

    With sizes :math:`a_i` and :math:`b_j` of n rows it is the sum over all pairs of :math:`E[\frac{m}{n} \log
    \frac{n m}{a_i b_j}]`, where m is hypergeometric: how many of :math:`b_j` rows fall among :math:`a_i`. Only those m
    are summed whose probability counts in double precision, by Bernstein's bound.

    Parameters
    ----------
    rows, columns
        Sizes of the parts of either partition; both sum to n.

    References
    ----------
    Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison (2010), JMLR 11:2837-2854.

    Examples
    --------
    >>> round(expected_information([2, 2], [2, 2]), 6)
    0.231049
    """
    # pairs of equal sizes have equal terms, and of many clusters most are as small as others
    sizes, times = np.unique(np.asarray(rows), return_counts=True)
    others, often = np.unique(np.asarray(columns), return_counts=True)
    n, others, often = float((sizes * times).sum()), others[others > 0].astype(float), often[others > 0]
    terms = (count * _terms(float(size), others, n) for size, count in zip(sizes, times, strict=True) if size)
    return float(sum((often * part).sum() for part in terms))


def _terms(size: float, others: Array, n: float) -> Array:
    """E[m/n log(n m / (size other))] for each of the other sizes, m hypergeometric."""
    low = np.maximum(0.0, size + others - n)
    high = np.minimum(size, others)
    mean = size * others / n
    variance = mean * (1 - others / n) * (n - size) / max(1.0, n - 1)
    reach = TAIL / 3 + np.sqrt((TAIL / 3) ** 2 + 2 * TAIL * variance)
    low = np.maximum(low, np.floor(mean - reach))
    high = np.minimum(high, np.ceil(mean + reach))
    out, start = np.empty(len(others)), 0
    while start < len(others):
        width = int((high - low)[start:].max()) + 1
        part = slice(start, start + max(1, AT_A_TIME // width))
        out[part] = _part(size, others[part], n, low[part], high[part])
        start = part.stop
    return out


def _part(size: float, others: Array, n: float, low: Array, high: Array) -> Array:
    """The expectations by rows of an array of size others x values of m.

    Probabilities are taken from the ratio of each to the one before it, since factorials of a million lose nine digits.
    """
    m = low[:, None] + np.arange(int((high - low).max()) + 1)
    inside = m <= high[:, None]
    m = np.minimum(m, high[:, None])
    other = others[:, None]
    before = m[:, :-1]
    ratio = (size - before) * (other - before) / ((before + 1) * (n - size - other + before + 1))
    logs = np.zeros(m.shape)
    with np.errstate(divide="ignore"):
        np.cumsum(np.log(ratio), axis=1, out=logs[:, 1:])
    logs[~inside] = -np.inf
    share = np.exp(logs - logs.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    value = m / n * np.log(np.maximum(m, 1) * n / (size * other))
    found: Array = (share * value).sum(axis=1)
    return found
