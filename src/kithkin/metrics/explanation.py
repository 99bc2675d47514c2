"""Quality of explanations by gates: sparsity, diversity, faithfulness, stability, generalisation.

Gates weight each feature of each row: n x p in 0..1, dense or sparse, 0 closed, 1 open. Every value that passes the
gate of a row can decide, so it counts as open above a low threshold, OPEN. Gates of whole clusters only rank features
and rest at one half, so they count above CLUSTER_OPEN. An open gate on a value of zero has no effect: a feature counts
as used if its gate is open on a value that is not zero.

Names and ideas follow Svirsky and Lindenbaum, Interpretable Deep Clustering for Tabular Data (2024), arXiv:2306.04785,
and Yang, Lindenbaum and Kluger (2022), arXiv:2106.06468; the definitions are those written here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kithkin.core.errors import ParameterError
from kithkin.door import guard
from kithkin.metrics.linear_svm import linear_svm
from kithkin.metrics.open_gates import (
    CLUSTER_OPEN,
    OPEN,
    checked_codes,
    cluster_features,
    gated_values,
    open_gates,
    used_gates,
)
from kithkin.metrics.removal import removal_curve
from kithkin.metrics.slopes import slopes

Array: TypeAlias = np.ndarray[Any, Any]
__all__ = [
    "CLUSTER_OPEN",
    "OPEN",
    "Selected",
    "cluster_features",
    "diversity",
    "faithfulness",
    "generalizability",
    "open_gates",
    "removal_curve",
    "selected_features",
    "stability",
    "uniqueness",
]


def __dir__() -> list[str]:
    return __all__


@dataclass(frozen=True)
class Selected:
    """Number of features that gates select.

    Attributes
    ----------
    soft
        Mean over rows of the sum of the gates: two half-open gates count as one.
    open
        Mean over rows of the number of open gates.
    used
        Mean over rows of the number of open gates on values that are not zero.
    unexplained
        Number of rows that use no feature.
    union
        Number of features that at least one row uses.

    Examples
    --------
    >>> selected_features(np.array([[1.0, 0.5], [1.0, 0.0]])).union
    2
    """

    soft: float
    open: float
    used: float
    unexplained: int
    union: int


def selected_features(gates: Any, X: Any = None, *, threshold: float = OPEN) -> Selected:
    """Count the features that the gates of rows, or of clusters, select.

    Parameters
    ----------
    gates
        n x p, dense or sparse, in 0..1.
    X
        Values behind the gates, n x p, dense or sparse; by default all count as not zero.
    threshold
        A gate is open above it, at least 0.

    Raises
    ------
    ParameterError
        If the shapes differ, there is no row, or the threshold is below 0.

    Examples
    --------
    >>> selected_features(np.array([[1.0, 0.5], [1.0, 0.9]]), np.array([[3, 1], [0, 2]]))
    Selected(soft=1.7, open=2.0, used=1.5, unexplained=0, union=2)
    """
    opened = open_gates(gates, threshold)
    used = used_gates(opened, X)
    n = opened.shape[0]
    if n == 0:
        raise ParameterError("gates must have at least one row")
    soft, union = float(gates.sum(dtype=np.float64)) / n, len(np.unique(used.indices))
    return Selected(soft, opened.nnz / n, used.nnz / n, int((np.diff(used.indptr) == 0).sum()), union)


def diversity(features: Any) -> float:
    r"""Diversity, 0..100: how little the features of different clusters overlap.

    100 (1 - mean of J(S_a, S_b) over the pairs of two clusters a and b), where J is the size of the intersection over
    that of the union: 100 where no two clusters share a feature, 0 where all have the same. A cluster is not compared
    to itself. Two clusters without any feature are not compared either; NaN if there are no others.

    Parameters
    ----------
    features
        K x p booleans, the features of each cluster: from `cluster_features`, or gates of clusters > CLUSTER_OPEN.

    Raises
    ------
    ParameterError
        If there are fewer than two clusters.

    References
    ----------
    Yang, Lindenbaum and Kluger (2022), appendix, arXiv:2106.06468. Published code for it also adds the K pairs of a
    cluster with itself, which takes 100 / (K - 1) off the value, and takes two clusters without any feature for wholly
    different.

    Examples
    --------
    >>> diversity([[True, True, False], [False, True, True]]), diversity(np.eye(3) > 0)
    (66.66666666666667, 100.0)
    """
    sets = np.asarray(features, dtype=bool)
    if sets.ndim != 2 or len(sets) < 2:
        raise ParameterError(f"features must be clusters x features with two clusters or more, got shape {sets.shape}")
    both = sets.astype(np.float32) @ sets.T.astype(np.float32)  # counts, exact below 2^24 features
    sizes = sets.sum(axis=1)
    either = sizes[:, None] + sizes[None] - both
    compared = (either > 0) & ~np.eye(len(sets), dtype=bool)
    shared = both[compared] / either[compared]
    return float(100 * (1 - shared.mean())) if len(shared) else float("nan")


def faithfulness(
    X: Any,
    gates: Any,
    labels: Any,
    predict: Callable[[Array], Any],
    *,
    threshold: float = OPEN,
    n_steps: int | None = None,
) -> float:
    """Faithfulness, -1..1: correlation of the use of features with the accuracy left after they are removed.

    Pearson's correlation, over the steps of `removal_curve`, of the number of rows that use a feature with the accuracy
    left once it and all features with more use are removed. 0 where one of the two never changes.

    Parameters
    ----------
    X, gates, labels, predict, threshold, n_steps
        As in `removal_curve`.

    Raises
    ------
    ParameterError
        As in `removal_curve`.

    References
    ----------
    Alvarez-Melis and Jaakkola, Towards robust interpretability with self-explaining neural networks (2018),
    arXiv:1806.07538.

    Examples
    --------
    >>> X = np.eye(4)[[0, 0, 0, 0, 1, 1, 2, 3]]
    >>> faithfulness(X, X, X.argmax(axis=1), lambda rows: rows.argmax(axis=1)) > 0.9
    True
    """
    weight, left = removal_curve(X, gates, labels, predict, threshold=threshold, n_steps=n_steps)
    if len(weight) < 2 or np.ptp(weight) == 0 or np.ptp(left) == 0:
        return 0.0
    return float(np.corrcoef(weight, left)[0, 1])


def stability(X: Any, gates: Any, n_neighbors: int = 5, *, sample: int | None = 1000, seed: int = 0) -> float:
    """Stability: local Lipschitz constant of the gates, at least 0; small where similar rows have similar gates.

    Mean over rows i of the largest of |gates_i - gates_j| / |x_i - x_j| over the nearest rows j, Euclidean.
    Copies of a row are not among its neighbours.

    Parameters
    ----------
    X
        n x p, dense or sparse.
    gates
        n x p, dense or sparse.
    n_neighbors
        Number of nearest rows, without the row and its copies; with 1 the result equals `uniqueness`.
    sample
        Number of random rows to average over, or None for all rows; neighbours are searched among all rows.
    seed
        Seed of the sample.

    Raises
    ------
    ParameterError
        If the tables differ in rows, n_neighbors is less than 1, or all rows are equal.

    References
    ----------
    Alvarez-Melis and Jaakkola, On the robustness of interpretability methods (2018), arXiv:1806.08049.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [3.0]])
    >>> stability(X, np.array([[0.0], [1.0], [1.0]]), 2)
    0.7777777777777778
    """
    return float(np.nanmax(slopes(X, gates, n_neighbors, sample, seed), axis=1).mean())


def uniqueness(X: Any, gates: Any, n_neighbors: int = 5, *, sample: int | None = 1000, seed: int = 0) -> float:
    """Uniqueness, at least 0; large where the gates of even similar rows differ.

    As `stability`, with the smallest slope instead of the largest. Published values are for one neighbour.

    Parameters
    ----------
    X, gates, n_neighbors, sample, seed
        As in `stability`.

    Raises
    ------
    ParameterError
        As in `stability`.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [3.0]])
    >>> uniqueness(X, np.array([[0.0], [1.0], [1.0]]), 2)
    0.1111111111111111
    """
    return float(np.nanmin(slopes(X, gates, n_neighbors, sample, seed), axis=1).mean())


def generalizability(
    X: Any, gates: Any, labels: Any, *, test: float | Any = 0.2, penalty: float = 1.0, seed: int = 0
) -> float:
    """Generalisability, 0..1: test accuracy of a linear classifier on gated values.

    A linear support vector machine (one against the rest, squared hinge loss) is fitted to x * gates of the other rows.

    Parameters
    ----------
    X
        n x p, dense or sparse.
    gates
        n x p, dense or sparse.
    labels
        Codes from 0, n; rows with a negative code are left out.
    test
        Fraction of rows that are held out at random; or n booleans that mark them.
    penalty
        Weight C of the errors.
    seed
        Seed of the split.

    Raises
    ------
    ParameterError
        If shapes differ, or one part has no row.

    Examples
    --------
    >>> X = np.repeat([[2.0, 0.0], [0.0, 3.0]], 10, axis=0)
    >>> generalizability(X, np.ones((20, 2)), np.repeat([0, 1], 10))
    1.0
    """
    codes = checked_codes(labels, X.shape[0])
    known = np.flatnonzero(codes >= 0)
    if np.ndim(test):
        mask = np.asarray(test, dtype=bool)
        if mask.shape != codes.shape:
            raise ParameterError(f"test must hold {len(codes)} booleans, got {mask.shape}")
    else:
        drawn = np.random.default_rng(seed).permutation(known)[: round(float(test) * len(known))]
        mask = np.isin(np.arange(len(codes)), drawn)
    seen, unseen = known[~mask[known]], known[mask[known]]
    if len(seen) == 0 or len(unseen) == 0:
        raise ParameterError(f"test must leave rows on both sides, got {len(seen)} and {len(unseen)}")
    gated = gated_values(X, gates)
    weights, bias = linear_svm(gated[seen], codes[seen], penalty)
    scores = np.asarray(gated[unseen] @ weights.T) + bias
    return float((scores.argmax(axis=1) == codes[unseen]).mean())


guard(globals())
