r"""Multinomial logistic regression with a ridge, in which each class weighs the same, by a quasi-Newton method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import minimize
from scipy.spatial.distance import squareform
from scipy.special import log_softmax
from scipy.stats import chi2

from kithkin.core.blocks import Array

RIDGE = 1.0  # penalty of the squared coefficients of whitened columns, as of one row
FLOOR = 1e-6  # of the mean eigenvalue of the covariance: smaller ones are raised to it
LIMIT = 4.0  # standard deviations up to which squares grow
DOUBT, MARGIN = 1e-3, 1.5  # chance of two equal classes that are told apart; the test is near, so its limit is raised
TIE = 1e-9
MOST_STEPS, PRECISION = 500, 1e-7


@dataclass(frozen=True)
class Logistic:
    """Fitted regression: log odds are linear in the columns, and in their squares where `squares`.

    mean, deviation: of the columns, d. shift, whiten: of the columns with squares. coefficients: d' x K; intercept: K.
    """

    mean: Array
    deviation: Array
    squares: Array
    shift: Array
    whiten: Array
    coefficients: Array
    intercept: Array

    @classmethod
    def fit(cls, Z: Array, codes: Array, n_groups: int, squares: Array) -> Logistic:
        r"""Minimise the cross-entropy, weighted by 1 / (K n_k), plus the ridge.

        Columns are standardised, those marked by `squares` joined by their squares, and whitened by the inverse square
        root of their covariance: the ridge is then the same in all directions. Classes that the columns do not tell
        apart are given the mean of their coefficients, so that they tie. Classes without rows get no calls.

        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat([0, 1], 500)
        >>> Z = rng.normal(size=(1000, 2)) + 3 * y[:, None]
        >>> model = Logistic.fit(Z, y, 2, np.zeros(2, bool))
        >>> bool((model.log_probabilities(Z).argmax(axis=1) == y).mean() > 0.97)
        True
        """
        mean, deviation = Z.mean(axis=0), Z.std(axis=0)
        deviation = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1e-300), deviation, np.inf)
        F = expanded(Z, mean, deviation, squares)
        shift = F.mean(axis=0)
        F -= shift
        values, vectors = np.linalg.eigh(F.T @ F / len(F))
        values = np.maximum(values, max(FLOOR * float(values.mean()), 1e-12))
        whiten = (vectors / np.sqrt(values)) @ vectors.T
        F = F @ whiten
        sizes = np.bincount(codes, minlength=n_groups)
        there = sizes > 0
        weight = (1 / (np.maximum(sizes, 1) * there.sum()))[codes]
        d, place = F.shape[1], np.cumsum(there) - 1
        own, rows, k = place[codes], np.arange(len(codes)), int(there.sum())
        ridge = RIDGE / len(F)

        def loss(flat: Array) -> tuple[float, Array]:
            table = flat.reshape(d + 1, k)
            scores = F @ table[:-1]
            scores += table[-1]
            logs = log_softmax(scores, axis=1)
            value = -float(weight @ logs[rows, own]) + 0.5 * ridge * float((table[:-1] ** 2).sum())
            residual = np.exp(logs)
            residual[rows, own] -= 1
            residual *= weight[:, None]
            slope = np.empty_like(table)
            slope[:-1] = F.T @ residual + ridge * table[:-1]
            slope[-1] = residual.sum(axis=0)
            return value, slope.ravel()

        options = {"maxiter": MOST_STEPS, "gtol": PRECISION, "ftol": 1e-12, "maxcor": 20}
        best = minimize(loss, np.zeros((d + 1) * k), jac=True, method="L-BFGS-B", options=options)
        table = best.x.reshape(d + 1, k)
        together = alike(F @ table[:-1] + table[-1], own, d)
        mean_of = (together[:, None] == together) / np.bincount(together)[together]
        coefficients, intercept = np.zeros((d, n_groups)), np.full(n_groups, -np.inf)
        coefficients[:, there], intercept[there] = table[:-1] @ mean_of, table[-1] @ mean_of
        return cls(mean, deviation, squares, shift, whiten, coefficients, intercept)

    def log_probabilities(self, Z: Array) -> Array:
        """Return the logarithm of the probability of each class, n x K; minus infinity for classes without rows."""
        F = expanded(Z, self.mean, self.deviation, self.squares) - self.shift
        scores = (F @ self.whiten) @ self.coefficients + self.intercept
        out: Array = log_softmax(scores, axis=1)
        return out


def calls(logs: Array) -> Array:
    """Return the part of each row that goes to each class: all to the most likely, or even parts to those that tie.

    >>> calls(np.log([[0.4, 0.4, 0.2], [0.1, 0.3, 0.6]])).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    tied = logs >= logs.max(axis=1, keepdims=True) - TIE
    parts: Array = tied / tied.sum(axis=1, keepdims=True)
    return parts


def alike(scores: Array, codes: Array, degrees: int) -> Array:
    r"""Group classes whose log odds tell nothing: a Wald test of each pair, K integers from 0.

    The log odds delta of a pair vary over the cells of both by chance alone: their mean square times
    :math:`n_a n_b / (n_a + n_b)` has the distribution of chi squared. A group is one of which all pairs pass.

    >>> rng = np.random.default_rng(0)
    >>> alike(rng.normal(0, 0.01, (300, 3)) + [[0, 0, 1]], np.arange(300) % 3, 2).tolist()
    [0, 0, 1]
    """
    k = scores.shape[1]
    if k < 2:
        return np.zeros(k, np.int64)
    sizes = np.bincount(codes, minlength=k).astype(float)
    squares = np.zeros((k, k, k))
    for group in range(k):
        own = scores[codes == group]
        products = own.T @ own / max(1.0, sizes[group])
        power = np.diag(products)
        squares[group] = power[:, None] + power - 2 * products
    among = np.arange(k)
    mean = 0.5 * (squares[among[:, None], among[:, None], among] + squares[among, among[:, None], among])
    wald = np.maximum(mean, 0) * sizes[:, None] * sizes / (sizes[:, None] + sizes)
    np.fill_diagonal(wald, 0.0)
    limit = MARGIN * float(chi2.isf(DOUBT, degrees))
    found = fcluster(linkage(squareform((wald + wald.T) / 2, checks=False), "complete"), limit, "distance")
    _, numbers = np.unique(found, return_inverse=True)
    return np.asarray(numbers, np.int64)


def expanded(Z: Array, mean: Array, deviation: Array, squares: Array) -> Array:
    """Standardise columns, and append the squares of those that are marked; float64."""
    z = (Z - mean) / deviation
    out: Array = np.concatenate([z, np.clip(z[:, squares], -LIMIT, LIMIT) ** 2], axis=1)
    return out
