"""Effects of clusters on features, by the means that a model gives."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from kithkin.core.errors import check

Array: TypeAlias = np.ndarray[Any, Any]


def above_others(log_means: Any, weights: Any) -> Array:
    """Compute how far the log mean of each feature lies above its mean over the other clusters, by their weights.

    Parameters
    ----------
    log_means
        p x K, log of the mean of each feature in each cluster.
    weights
        Length K, weights of the clusters.

    Returns
    -------
    ndarray
        p x K float64, in units of the logarithm; zero for a cluster that has all the weight.

    Examples
    --------
    >>> above_others([[0.0, 1.0, 3.0]], [2, 1, 1]).round(3).tolist()
    [[-2.0, 0.0, 2.667]]
    """
    means, share = np.asarray(log_means, np.float64), np.asarray(weights, np.float64)
    check(means.ndim == 2 and share.shape == means.shape[1:], "weights must be one for each column of log_means")
    check(bool((share >= 0).all() and share.any()), "weights must be at least 0, and one of them more")
    rest = share.sum() - share
    others = ((means @ share)[:, None] - means * share) / np.where(rest > 0, rest, 1.0)
    out: Array = np.where(rest > 0, means - others, 0.0)
    return out
