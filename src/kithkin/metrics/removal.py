"""What is left of a model's accuracy when features are taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

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
    """What becomes of the accuracy when features are taken away, the most used first.

    Parameters
    ----------
    X
        n x p, dense or sparse, as the model is given it.
    gates
        n x p, dense or sparse. A feature weighs as many rows as use it: its gate open, its value not zero.
    labels
        Length n, codes from 0 of true classes or of clusters; negative: left out.
    predict
        Gives the cluster (codes from 0) of each of some rows, m x p dense, each by itself. Called for every step.
    threshold
        A gate is open above it.
    n_steps
        Take features away in so many portions of about equal size; one by one when None.

    Returns
    -------
    weight, accuracy
        Mean number of rows that use the features of each portion, descending; share of rows whose cluster is that
        of their class, matched one to one, after the portion and all before it have been set to 0.

    Raises
    ------
    ValueError
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
        raise ValueError(f"n_steps must be at least 1, got {n_steps!r}")
    portions = np.array_split(order, min(len(order), n_steps or len(order))) if len(order) else []
    tables = [np.zeros((1, int(codes.max(initial=0)) + 1), np.int64) for _ in portions]
    for start, stop in row_ranges(X):
        block = X[start:stop].toarray() if sparse.issparse(X) else np.array(X[start:stop])
        for step, portion in enumerate(portions):
            block[:, portion] = 0
            tables[step] = _added(tables[step], contingency(np.asarray(predict(block)), codes[start:stop]))
    weight = np.array([rows_of[portion].mean() for portion in portions])
    return weight, np.array([accuracy(table) for table in tables])


def _added(table: Array, counts: Array) -> Array:
    """Sum of two tables of counts, each as large as its codes ask for."""
    height, width = np.maximum(table.shape, counts.shape)
    out = np.zeros((height, width), np.int64)
    for part in (table, counts):
        out[: part.shape[0], : part.shape[1]] += part
    return out
