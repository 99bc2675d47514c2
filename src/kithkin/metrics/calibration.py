"""Calibration of probabilities: whether a label with a probability of 0.8 is right in 8 of 10 rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.errors import check, check_range

__all__ = ["expected_calibration_error"]


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
