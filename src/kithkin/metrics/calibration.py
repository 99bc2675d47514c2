"""Calibration of probabilities: whether a label with a probability of 0.8 is right in 8 of 10 rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.errors import check, check_range

__all__ = ["expected_calibration_error", "log_loss"]


def __dir__() -> list[str]:
    return __all__


def expected_calibration_error(probability: Any, correct: Any, n_bins: int = 10) -> float:
    """Compute the mean difference between the probability of a label and the share of rows where it is right.

    Rows are binned by probability, and bins are weighted by their rows.

    Parameters
    ----------
    probability
        Probability of the label that was given to each row, n, in 0..1.
    correct
        Whether that label is right, n booleans.
    n_bins
        Number of bins of equal width.

    Returns
    -------
    float
        In 0..1; NaN of no rows.

    Raises
    ------
    ParameterError
        If the two differ in length, a probability is not in 0..1, or n_bins is out of range.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017),
    doi:10.48550/arXiv.1706.04599.

    Examples
    --------
    >>> round(expected_calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False]), 3)
    0.1
    """
    probability, correct = np.asarray(probability, np.float64), np.asarray(correct, bool)
    shape = probability.shape
    check(
        probability.ndim == 1 and shape == correct.shape,
        f"probability and correct must have one value a row, got {shape} and {correct.shape}",
    )
    check(bool(((probability >= 0) & (probability <= 1)).all()), "probability must be in 0..1")
    check_range("n_bins", n_bins, 1, 10**6)
    if not len(probability):
        return float("nan")
    bins = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(bins, probability - correct)).sum() / len(bins))


def log_loss(probability: Any, labels: Any) -> float:
    r"""Compute the mean negative log of the probability that each row gives to its true label.

    .. math:: -\frac{1}{n} \sum_i \log p_{i, y_i}

    Rows of probabilities are divided by their sums, and a probability below the rounding error of its type counts as
    that, so that one sure error is not infinite.

    Parameters
    ----------
    probability
        Probability of each class for each row, n x K.
    labels
        True class of each row, n integers in 0..K - 1: the column of `probability`.

    Returns
    -------
    float
        In nats, at least 0; NaN of no rows.

    Raises
    ------
    ParameterError
        If the two differ in rows, a probability is not in 0..1, a row has none above 0, or a label names no column.

    References
    ----------
    Good, Rational decisions (1952), doi:10.1111/j.2517-6161.1952.tb00104.x.

    Examples
    --------
    >>> round(log_loss([[0.5, 0.5], [0.2, 0.8]], [0, 1]), 4)
    0.4581
    """
    probability, labels = np.asarray(probability), np.asarray(labels)
    check(
        probability.ndim == 2 and labels.shape == probability.shape[:1],
        f"probability must be n x K and labels n, got {probability.shape} and {labels.shape}",
    )
    if not len(labels):
        return float("nan")
    single = probability.dtype == np.float32
    smallest = float(np.finfo(np.float32 if single else np.float64).eps)
    probability = probability.astype(np.float64)
    check(bool(((probability >= 0) & (probability <= 1)).all()), "probability must be in 0..1")
    check(labels.dtype.kind in "iu", f"labels must be integers, got {labels.dtype}")
    n_classes = probability.shape[1]
    outside = labels[(labels < 0) | (labels >= n_classes)]
    check(not len(outside), f"labels must be in 0..{n_classes - 1}, got {outside[:1].sum()}")
    sums = probability.sum(axis=1)
    check(bool((sums > 0).all()), "every row of probability must have a value above 0")
    own = probability[np.arange(len(labels)), labels] / sums
    return float(-np.log(np.clip(own, smallest, 1.0)).mean())
