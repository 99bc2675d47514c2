"""Linear support vector machine, by which explanations are scored.

scikit-learn's LinearSVC(dual="auto") takes twice the time on gene counts and ends at a worse objective.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
MOST_STEPS = 1000
SLOPE = 1e-5  # gradient of the objective for a row below which it counts as minimal


def linear_svm(X: Any, codes: Array, penalty: float = 1.0) -> tuple[Array, Array]:
    """Fit one linear support vector machine for each class, against the rest, with squared hinge loss.

    Minimises (|w|^2 + b^2) / 2 + C sum of max(0, 1 - y (w x + b))^2, the form that liblinear solves by default.

    X: n x p, dense or sparse.
    codes: classes from 0, n.
    penalty: weight C of the errors.
    Returns weights, bias: K x p and K; a row is predicted as the class with the largest w x + b.
    Source: Fan, Chang, Hsieh, Wang and Lin, LIBLINEAR (2008), JMLR 9:1871-1874.
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

        def loss(w: Array, side: Array = side) -> tuple[float, Array]:
            hinge = np.maximum(0.0, 1.0 - side * (np.asarray(X @ w[:-1]).ravel() + w[-1]))
            slope = -2 * penalty * side * hinge
            gradient = w + np.append(np.asarray(X.T @ slope).ravel(), slope.sum())
            return float(w @ w / 2 + penalty * (hinge @ hinge)), gradient

        solution = minimize(loss, np.zeros(p + 1), jac=True, method="L-BFGS-B", options=options).x
        weights[k], bias[k] = solution[:p], solution[p]
    return weights, bias
