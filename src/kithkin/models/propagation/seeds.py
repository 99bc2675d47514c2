"""Validation of seeds, and the winning label of each row after propagation."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array, as_numbers
from kithkin.core.errors import check


def checked_seeds(seeds: Any, n: int) -> Array:
    """Check seeds and return them as n x s numbers or booleans.

    Seeds that are neither n rows of finite numbers nor numbers of rows, and a set without a seed, raise ParameterError.

    Examples
    --------
    >>> checked_seeds([4, 1], 5).ravel().tolist()
    [False, True, False, False, True]
    """
    Y = as_numbers(seeds, "seeds")
    Y = seed_rows(Y, n) if are_rows(Y, n) else Y
    shape = " x ".join(map(str, Y.shape)) or "one number"
    check(Y.ndim in (1, 2) and len(Y) == n, f"seeds must have {n} rows, one for each vertex, got {shape}")
    Y = Y[:, None] if Y.ndim == 1 else Y
    check(Y.shape[1] >= 1, "seeds must have at least one set, got none")
    check(Y.dtype.kind != "f" or bool(np.isfinite(Y).all()), "seeds must be finite, got NaN or infinity")
    empty = np.flatnonzero(~(Y != 0).any(axis=0))
    what = f"set {empty[0]} has none" if len(empty) else ""
    check(not len(empty), f"seeds must have at least one seed in each set, but {what}")
    return Y


def are_rows(seeds: Array, n: int) -> bool:
    """Tell whether whole numbers are those of rows, and not one number for each of n rows: others than n, each once."""
    listed = seeds.dtype.kind in "iu" and seeds.ndim <= 1 and seeds.size > 0 and seeds.shape != (n,)
    return bool(listed and 0 <= seeds.min() <= seeds.max() < n and len(np.unique(seeds)) == seeds.size)


def seed_rows(rows: Array, n: int) -> Array:
    """Make n booleans of numbers of rows.

    Examples
    --------
    >>> seed_rows(np.array([2, 0]), 4).tolist()
    [True, False, True, False]
    """
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask


def probabilities(scores: Array, temperature: float = 1.0) -> Array:
    """Turn scores of classes into their probabilities: shares of the row, of the scores to the power 1 / temperature.

    Scores are n x s, not negative; NaN counts as 0, and a row without any score is NaN.

    Examples
    --------
    >>> probabilities(np.array([[1.0, 3.0]])).tolist(), probabilities(np.array([[1.0, 3.0]]), 0.5).tolist()
    ([[0.25, 0.75]], [[0.1..., 0.8...]])
    """
    scores = np.maximum(np.nan_to_num(np.asarray(scores, np.float32)), 0)
    if temperature != 1:
        largest = scores.max(axis=1, keepdims=True)  # relative to it, no power leaves single precision
        scores = np.divide(scores, largest, out=np.zeros_like(scores), where=largest > 0) ** np.float32(1 / temperature)
    total = scores.sum(axis=1, keepdims=True)
    shares: Array = np.divide(scores, total, out=np.full_like(scores, np.nan), where=total > 0)
    return shares


def winners(scores: Array, temperature: float = 1.0) -> tuple[Array, Array, Array]:
    """Return the winning class of each row, its probability, and the entropy of the class probabilities, n each.

    Scores are n x s, not negative; NaN counts as 0. The winner (int32; -1 where all are 0) has the largest score, and
    its probability is that of `probabilities`. The entropy is in nats, float32; NaN where all are 0.
    """
    scores = np.maximum(np.nan_to_num(np.asarray(scores, np.float32)), 0)
    probability = probabilities(scores, temperature)
    known = scores.any(axis=1)
    codes = np.where(known, scores.argmax(axis=1), -1).astype(np.int32)
    entropy = -(probability * np.log(np.where(probability > 0, probability, 1))).sum(axis=1)
    return codes, probability[np.arange(len(codes)), codes], np.where(known, np.maximum(entropy, 0), np.float32(np.nan))
