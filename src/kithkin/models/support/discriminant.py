"""Linear discriminant of two groups, and the convex region around them, learnt from one fold of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from kithkin.core.blocks import Array

FEWEST = 3  # rows of a group from which a discriminant is learnt
AT_A_TIME = 16  # half-spaces that are held against the rows at a time


@dataclass(frozen=True)
class Discriminant:
    """Line between two groups, and the region and the window in which rows are projected on it.

    direction: p. middle: its value half way between the means of the groups.
    normals, limits: c x p and c: rows x with normals @ x > limits lie on the side of the two groups from each other.
    window: the least and the largest projection that are taken.
    """

    direction: Array
    middle: float
    normals: Array
    limits: Array
    window: tuple[float, float]

    def project(self, X: Array) -> Array:
        """Project rows; positive on the side of the first group."""
        return np.asarray(X @ self.direction - self.middle)

    def inside(self, X: Array) -> Array:
        """Return the numbers of the rows in the region."""
        rows = np.arange(len(X))
        for first in range(0, len(self.limits), AT_A_TIME):
            some = slice(first, first + AT_A_TIME)
            part = X if len(rows) == len(X) else X[rows]
            rows = rows[(part @ self.normals[some].T > self.limits[some]).all(axis=1)]
        return rows

    def projections(self, X: Array) -> Array:
        """Project the rows that lie in the region and in the window."""
        z = self.project(X[self.inside(X)])
        return np.asarray(z[(z >= self.window[0]) & (z <= self.window[1])])


def shrunk_covariance(rest: Array) -> Array:
    r"""Estimate a covariance matrix, drawn towards a multiple of the identity.

    .. math:: \Sigma = (1 - \rho) S + \rho \frac{\mathrm{tr} S}{p} I

    with the :math:`\rho` of Ledoit and Wolf (2004), doi:10.1016/S0047-259X(03)00096-4.

    rest: n x p, rows less their means.

    >>> rest = np.random.default_rng(0).normal(size=(20, 50)) * 2
    >>> found = shrunk_covariance(rest - rest.mean(axis=0))
    >>> bool(np.linalg.cond(found) < 20), round(float(np.trace(found)) / 50)
    (True, 4)
    """
    n, p = rest.shape
    S = rest.T @ rest / n
    mean, squares = float(np.trace(S)) / p, float((S**2).sum())
    distance = squares / p - mean**2
    noise = (float(((rest**2).sum(axis=1) ** 2).sum()) / n - squares) / (n * p)
    rho = min(1.0, max(0.0, noise / distance)) if distance > 0 else 1.0
    out = (1 - rho) * S
    out.flat[:: p + 1] += rho * mean + max(1e-9 * mean, 1e-300)  # columns may repeat each other
    return np.asarray(out)


def learn_discriminant(X: Array, codes: Array, means: Array, pair: tuple[int, int]) -> Discriminant | None:
    """Learn what tells two groups apart, and both from the others; None where they have too few rows, or one mean.

    X: n x p, rows of one fold. codes: n: group of each row, or -1. means: k x p, NaN for a group without rows.
    """
    parts = [X[codes == group] for group in pair]
    if min(len(part) for part in parts) < FEWEST:
        return None
    first, second = means[pair[0]], means[pair[1]]
    factor = linalg.cho_factor(shrunk_covariance(np.concatenate([parts[0] - first, parts[1] - second])), lower=True)
    apart, centre = first - second, (first + second) / 2
    direction = linalg.cho_solve(factor, apart)
    distance = float(direction @ apart)  # of Mahalanobis, squared
    if distance <= 1e-12:
        return None
    others = np.delete(means, pair, axis=0)
    others = others[np.isfinite(others).all(axis=1)]
    others = others[np.argsort(((others - centre) ** 2).sum(axis=1), kind="stable")]  # the nearest leave out most
    # the covariance within, and of the two means, by the formula of Sherman and Morrison
    normals = linalg.cho_solve(factor, (centre - others).T).T.reshape(others.shape)
    normals -= np.outer(normals @ apart, direction) / (4 + distance)
    limits = (normals * (centre + others)).sum(axis=1) / 2
    open_ = Discriminant(direction, float(direction @ centre), normals, limits, (-np.inf, np.inf))
    window = balanced_window(open_.projections(X))
    return None if window is None else Discriminant(direction, open_.middle, normals, limits, window)


def balanced_window(z: Array) -> tuple[float, float] | None:
    """Return the window with as many of the values above zero as below, the nearest to zero of the larger side.

    A dip is a distance of distributions, in which a small group beside a large one would not be seen.

    >>> balanced_window(np.array([-5.0, -4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 9.0]))
    (-3.0, inf)
    """
    below, above = np.sort(-z[z < 0]), np.sort(z[z > 0])
    fewest = min(len(below), len(above))
    if fewest < FEWEST:
        return None
    left, right = (np.inf if len(side) == fewest else float(side[fewest - 1]) for side in (below, above))
    return -left, right
