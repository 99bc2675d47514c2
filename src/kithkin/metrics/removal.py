"""Accuracy of a model as features are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.metrics.open_gates import OPEN, checked_codes, open_gates, row_ranges, used_gates
from kithkin.metrics.partition import accuracy, contingency

Array: TypeAlias = np.ndarray[Any, Any]


def removal_curve(
    X: Any,
    gates: Any,
    labels: Any,
    predict: Callable[[Array], Any],
    *,
    threshold: float = OPEN,
    n_steps: int | None = None,
) -> tuple[Array, Array]:
    """Compute the accuracy as features are removed, the most used first.

    Parameters
    ----------
    X
        Input of the model, n x p, dense or sparse.
    gates
        Gates, n x p, dense or sparse. The weight of a feature is the number of rows with an open gate on a value that
        is not zero.
    labels
        Codes from 0 of true classes or clusters, n; rows with a negative code are left out.
    predict
        Function from rows, m x p dense, to their clusters (codes from 0). Called for every step.
    threshold
        A gate is open above it.
    n_steps
        Number of portions of about equal size in which features are removed; one by one by default.

    Returns
    -------
    weight, accuracy
        Mean number of rows that use the features of each portion, descending; fraction of rows whose cluster is that
        of their class, matched one to one, after the portion and all before it have been set to 0.

    Raises
    ------
    ParameterError
        If shapes differ or n_steps is less than 1.

    Examples
    --------
    >>> X = np.array([[1.0, 1], [1, 1], [0, 1], [0, 1]])
    >>> gates = np.array([[1.0, 1], [1, 0], [1, 0], [0, 0]])
    >>> weight, left = removal_curve(X, gates, [1, 1, 0, 0], lambda rows: (rows[:, 0] > 0).astype(int))
    >>> weight.tolist(), left.tolist()
    ([2.0, 1.0], [0.5, 0.5])
    """
    codes = checked_codes(labels, X.shape[0])
    rows_of = np.bincount(used_gates(open_gates(gates, threshold), X).indices, minlength=X.shape[1])
    order = np.argsort(-rows_of, kind="stable")[: np.count_nonzero(rows_of)]
    if n_steps is not None and n_steps < 1:
        raise ParameterError(f"n_steps must be at least 1, got {n_steps!r}")
    portions = np.array_split(order, min(len(order), n_steps or len(order))) if len(order) else []
    tables = [np.zeros((1, int(codes.max(initial=0)) + 1), np.int64) for _ in portions]
    for start, stop in row_ranges(X):
        block = X[start:stop].toarray() if sparse.issparse(X) else np.array(X[start:stop])
        for step, portion in enumerate(portions):
            block[:, portion] = 0
            counts = contingency(np.asarray(predict(block)), codes[start:stop])
            height, width = np.maximum(tables[step].shape, counts.shape)
            total = np.zeros((height, width), np.int64)
            for table in (tables[step], counts):
                total[: table.shape[0], : table.shape[1]] += table
            tables[step] = total
    weight = np.array([rows_of[portion].mean() for portion in portions])
    return weight, np.array([accuracy(table) for table in tables])
