"""A linear classifier, as simple as a model can be that an explanation should also serve."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
MOST_STEPS = 1000
SLOPE = 1e-5  # of the objective per row, at which it counts as minimal


def linear_svm(X: Any, codes: Array, penalty: float = 1.0) -> tuple[Array, Array]:
    """Fit one linear support vector machine for each class, against the rest, with squared hinge loss.

    Minimises (|w|^2 + b^2) / 2 + C sum of max(0, 1 - y (w x + b))^2, the form that liblinear solves by default.

    Parameters
    ----------
    X
        n x p, dense or sparse.
    codes
        Length n, classes from 0.
    penalty
        C, of the errors.

    Returns
    -------
    weights, bias
        K x p and K: a row is of the class with the largest w x + b.

    References
    ----------
    Fan, Chang, Hsieh, Wang and Lin, LIBLINEAR (2008), JMLR 9:1871-1874.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [4.0], [5.0]])
    >>> weights, bias = linear_svm(X, np.array([0, 0, 1, 1]))
    >>> (X @ weights.T + bias).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    from scipy.optimize import minimize

    n, p = X.shape
    n_classes = int(codes.max()) + 1
    weights, bias = np.zeros((n_classes, p)), np.full(n_classes, -1.0)
    for k in range(n_classes):
        side = np.where(codes == k, 1.0, -1.0)
        if not (side > 0).any():
            continue
        options = {"maxiter": MOST_STEPS, "maxfun": 2 * MOST_STEPS, "gtol": SLOPE * n * penalty, "ftol": 1e-10}
        loss = partial(_loss, X=X, side=side, penalty=penalty)
        found = minimize(loss, np.zeros(p + 1), jac=True, method="L-BFGS-B", options=options).x
        weights[k], bias[k] = found[:p], found[p]
    return weights, bias


def _loss(parameters: Array, X: Any, side: Array, penalty: float) -> tuple[float, Array]:
    """Value and gradient of the objective."""
    weights, bias = parameters[:-1], parameters[-1]
    short = np.maximum(0.0, 1.0 - side * (np.asarray(X @ weights).ravel() + bias))
    pull = -2 * penalty * side * short
    slope = parameters + np.append(np.asarray(X.T @ pull).ravel(), pull.sum())
    return float(parameters @ parameters / 2 + penalty * (short @ short)), slope
