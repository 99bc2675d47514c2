"""Autocorrelation over a graph: Moran's I and Geary's C with permutation tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from kithkin.core.blocks import Array, as_numbers
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution
from kithkin.kernels.walk import pair_sums
from kithkin.models.estimator import Estimator
from kithkin.models.graphs.walk import Walk

COLUMNS = 16


class Autocorrelation(Estimator):
    r"""Moran's I and Geary's C of many variables over one graph of links, tested against permuted vertices.

    With :math:`z = x - \bar x` and :math:`S_0 = \sum_{ij} w_{ij}`,

    .. math::
        I = \frac{n}{S_0} \frac{\sum_{ij} w_{ij} z_i z_j}{\sum_i z_i^2}, \qquad
        C = \frac{n - 1}{2 S_0} \frac{\sum_{ij} w_{ij} (x_i - x_j)^2}{\sum_i z_i^2}.

    I is near 1 and C near 0 where neighbours have similar values; their expectations for permuted values are
    -1 / (n - 1) and 1. The means and variances of I and C over all permutations of the vertices are known
    exactly; the p-values `*_pval_` use a normal approximation with them, which is good unless a value is rare. The
    p-values `*_pval_sampled_` count the random permutations that are as smooth, and cannot be below
    1 / (n_permutations + 1). All are one-sided: small where values are smooth.

    Parameters
    ----------
    n_permutations
        Number of random permutations.
    seed
        Seed of the permutations, which are the same for all variables.

    Attributes
    ----------
    morans_i_, gearys_c_
        Statistics of the variables, g; NaN for a constant variable.
    morans_pval_, gearys_pval_
        p-values from the mean and variance over all permutations, g.
    morans_pval_sampled_, gearys_pval_sampled_
        p-values from random permutations, g; NaN without any.

    References
    ----------
    Moran 1950, doi:10.1093/biomet/37.1-2.17. Geary 1954, doi:10.2307/2986645. The moments: Cliff and Ord, Spatial
    Processes (1981), section 1.5. Phipson and Smyth 2010, doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> ring = np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1)
    >>> model = Autocorrelation(0).fit(ring, np.array([1, 1, 1, 1, 0, 0, 0, 0]))
    >>> model.morans_i_.tolist(), model.gearys_c_.tolist()
    ([0.5], [0.4375])
    """

    morans_i_: Array
    gearys_c_: Array
    morans_pval_: Array
    gearys_pval_: Array
    morans_pval_sampled_: Array
    gearys_pval_sampled_: Array

    def __init__(self, n_permutations: int = 100, *, seed: int = 0) -> None:
        self.n_permutations, self.seed = n_permutations, seed

    def fit(self, graph: Any, X: Array | Iterable[Array], execution: Execution | None = None) -> Self:
        """Compute the statistics of the variables.

        Parameters
        ----------
        graph
            n x n symmetric weights, SciPy sparse matrix or array.
        X
            n, n x g, or an iterable of tables of n rows, which need not be in memory at the same time.
        execution
            Threads.

        Raises
        ------
        ParameterError
            If X does not have n rows of finite numbers, there are fewer than 4 vertices or no links, or the graph is
            not one of undirected links with weights that are finite and not negative.
        """
        check_range("n_permutations", self.n_permutations, 0, 10**6)
        walk = Walk(graph, execution)
        check(walk.n >= 4, f"graph must have at least 4 vertices, got {walk.n}")
        check(bool(walk.strength.any()), "graph must have links, got none")
        scores: list[Array] = []
        with walk.threads():
            several = isinstance(X, Iterable) and not isinstance(X, np.ndarray | str)
            check(not sparse.issparse(X), "X must be dense, got a sparse table")
            for table in X if several else [X]:
                values = as_numbers(table, "X")
                values = values[:, None] if values.ndim == 1 else values
                shape, ok = " x ".join(map(str, values.shape)), values.ndim == 2 and len(values) == walk.n
                check(ok, f"X must have {walk.n} rows, one for each vertex, got {shape}")
                finite = values.dtype.kind != "f" or bool(np.isfinite(values).all())
                check(finite, "X must be finite, got NaN or infinity")
                for first in range(0, values.shape[1], COLUMNS):
                    part = values[:, first : first + COLUMNS]
                    z = np.asarray(part, np.float64) - part.mean(axis=0, dtype=np.float64)
                    size = np.sqrt(np.square(z).sum(axis=0))
                    varies = size > 1e-12 * np.sqrt(walk.n) * np.abs(part).max(axis=0, initial=0)
                    z *= np.divide(np.sqrt(walk.n), size, out=np.zeros_like(size), where=varies)
                    tails = np.square(np.square(z)).sum(axis=0) / walk.n
                    z = np.ascontiguousarray(z, np.float32)
                    moran, geary = _indices(walk, z)
                    (mean_i, sd_i), (mean_c, sd_c) = _moments(walk, tails)
                    smoother = np.ones((2, len(moran))) if self.n_permutations else np.full((2, len(moran)), np.nan)
                    for number in range(self.n_permutations):
                        order = np.random.default_rng([self.seed, number]).permutation(walk.n)
                        by_chance = _indices(walk, z[order])
                        smoother += by_chance[0] >= moran, by_chance[1] <= geary
                    tests = ndtr((mean_i - moran) / sd_i), ndtr((geary - mean_c) / sd_c)
                    scores.append(np.array([moran, geary, *tests, *smoother / (self.n_permutations + 1)]))
                    scores[-1][:, ~varies] = np.nan
        check(bool(scores), "X must have at least one column, got none")
        self.morans_i_, self.gearys_c_, self.morans_pval_, self.gearys_pval_, *sampled = np.hstack(scores)
        self.morans_pval_sampled_, self.gearys_pval_sampled_ = sampled
        return self


def _indices(walk: Walk, z: Array) -> Array:
    """Compute I and C of columns of mean 0 whose squares add up to n."""

    def rows(start: int, stop: int, sums: Array) -> None:
        own = z[start:stop]
        pair_sums(*walk.links, start, stop, z, sums[0])
        np.einsum("i,ij->j", walk.strength[start:stop], np.square(own, dtype=np.float64), out=sums[1])

    along, own = walk.over_rows(rows, (2, z.shape[1]))
    total = walk.strength.sum()
    return np.array([along / total, (walk.n - 1) / walk.n * (own - along) / total])


def _moments(walk: Walk, kurtosis: Array) -> tuple[tuple[float, Array], tuple[float, Array]]:
    """Compute mean and standard deviation of I and of C over all permutations of the vertices."""
    n, b = float(walk.n), kurtosis
    S0 = walk.strength.sum()
    S1, S2 = 2 * np.square(walk.links[0], dtype=np.float64).sum(), 4 * np.square(walk.strength).sum()
    above = n * ((n * n - 3 * n + 3) * S1 - n * S2 + 3 * S0**2) - b * ((n * n - n) * S1 - 2 * n * S2 + 6 * S0**2)
    var_i = above / ((n - 1) * (n - 2) * (n - 3) * S0**2) - 1 / (n - 1) ** 2
    above = (n - 1) * S1 * (n * n - 3 * n + 3 - (n - 1) * b)
    above -= (n - 1) * S2 * (n * n + 3 * n - 6 - (n * n - n + 2) * b) / 4
    above += S0**2 * (n * n - 3 - (n - 1) ** 2 * b)
    var_c = above / (n * (n - 2) * (n - 3) * S0**2)
    return (-1 / (n - 1), np.sqrt(np.maximum(var_i, 1e-300))), (1.0, np.sqrt(np.maximum(var_c, 1e-300)))
