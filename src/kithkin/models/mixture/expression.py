"""Expression of every gene in known groups: mean, dispersion, standard errors and log-likelihood, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kithkin.core.blocks import Array, as_blocks
from kithkin.core.errors import ParameterError, check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import lay_out_counts
from kithkin.models.mixture.em import MODES, Curvature, Prior, maximize
from kithkin.models.mixture.moments import constants
from kithkin.models.mixture.passes import gather_statistics
from kithkin.models.table.columns import choose


@dataclass(frozen=True)
class CountExpression:
    """Expression of genes in groups.

    Attributes
    ----------
    groups
        The labels, ascending, G.
    log_mean, log_dispersion
        Log mean for a size factor of 1 (-inf: no counts), and log dispersion (-inf: Poisson), G x p.
    standard_error
        Standard error of log_mean, from the observed information, G x p; inf where there are no counts.
    log_likelihood
        Log-likelihood of the counts of each gene in all groups, p.
    n_cells
        Number of cells in each group, G.
    columns
        Positions of the genes, p.

    Examples
    --------
    >>> expression = fit_given_labels(np.array([[4], [6], [30], [20]]), np.array(["a", "a", "b", "b"]), size=np.ones(4))
    >>> np.exp(expression.log_mean).round(6).ravel().tolist()
    [5.0, 25.0]
    """

    groups: Array
    log_mean: Array
    log_dispersion: Array
    standard_error: Array
    log_likelihood: Array
    n_cells: Array
    columns: Array

    def difference(self, group: Any, reference: Any) -> tuple[Array, Array, Array]:
        """Compute the difference of log means between two groups, its standard error, and Wald's two-sided p, p each.

        Raises
        ------
        ParameterError
            If there is no such group.

        Examples
        --------
        >>> expression = fit_given_labels(np.array([[4], [6], [30], [20]]), np.array([0, 0, 1, 1]), size=np.ones(4))
        >>> [part.round(3).tolist() for part in expression.difference(1, 0)]
        [[1.609], [0.346], [0.0]]
        """
        a, b = self._row(group), self._row(reference)
        error = np.hypot(self.standard_error[a], self.standard_error[b])
        known = np.isfinite(error)
        # without counts in one group the difference is infinite, and without any it is undefined
        either = np.isfinite(self.log_mean[a]) | np.isfinite(self.log_mean[b])
        change = np.subtract(self.log_mean[a], self.log_mean[b], out=np.full(len(error), np.nan), where=either)
        z = np.divide(np.abs(change), error, out=np.zeros(len(error)), where=known)
        return change, error, 2 * stats.norm.sf(z)

    def _row(self, group: Any) -> int:
        rows = np.flatnonzero(self.groups == group)
        check(len(rows) == 1, f"group must be one of {', '.join(map(repr, self.groups.tolist()))}, got {group!r}")
        return int(rows[0])


def fit_given_labels(
    X: Any,
    labels: Array,
    *,
    dispersion: str = "gene_cluster",
    columns: Array | None = None,
    size: Array | None = None,
    mean_shape: float = 0.0,
    execution: Execution | None = None,
) -> CountExpression:
    r"""Fit the expression model of `CountMixture` to groups that are known.

    :math:`x_{ij} \sim \mathrm{NegBinom}(s_i \mu_{kj}, \phi_{kj})` for cells i of group k, by maximum likelihood: one
    pass over the stored counts, then Newton's method for each gene.

    Parameters
    ----------
    X
        Counts: n x number of columns, array, SciPy sparse matrix or row blocks.
    labels
        Group of each cell, n.
    dispersion
        "gene_cluster": one for each gene and group. "gene": one for each gene. "poisson": none, a point mass.
    columns
        Mask or positions of the genes to use; all by default.
    size
        Size factor of each cell, n; its counts over all columns by default.
    mean_shape
        Shape of a Gamma prior on the means, centred on the mean of all cells; 0: maximum likelihood.
    execution
        Memory and threads.

    Raises
    ------
    ParameterError
        If X does not hold counts, or labels has another length.

    References
    ----------
    Sarkar and Stephens 2021, doi:10.1038/s41588-021-00873-4.

    Examples
    --------
    >>> x = np.random.default_rng(0).negative_binomial(2, 0.1, (1000, 1))
    >>> free, point = (fit_given_labels(x, np.zeros(1000, int), size=np.ones(1000), dispersion=d)
    ...                for d in ("gene", "poisson"))
    >>> bool(free.log_likelihood[0] > point.log_likelihood[0]), bool(abs(free.log_dispersion[0, 0] - np.log(0.5)) < 0.1)
    (True, True)
    """
    blocks = as_blocks(X)
    try:
        labels = np.asarray(labels)
    except ValueError as error:
        raise ParameterError(f"labels must hold {blocks.shape[0]} groups, one for each row") from error
    check(labels.shape == (blocks.shape[0],), f"labels must hold {blocks.shape[0]} groups, got {labels.shape}")
    check(labels.dtype.kind in "biufOUST", f"labels must be numbers or text, got {labels.dtype}")
    missing = np.asarray(pd.isna(labels))
    check(not missing.any(), f"labels must name a group for each row, but {int(missing.sum()):,} are missing")
    labels = labels.astype(str) if labels.dtype.kind == "O" else labels
    check_choice("dispersion", dispersion, MODES)
    check_range("mean_shape", mean_shape, 0.0, 1e6)
    groups, codes = np.unique(labels, return_inverse=True)
    layout = lay_out_counts(blocks, columns, size, execution)
    statistics = gather_statistics(blocks, layout, codes, len(groups), execution=execution)
    curvature = Curvature(*np.zeros((2, layout.n_genes, len(groups))))
    fitted = maximize(
        statistics,
        layout,
        dispersion,
        Prior(mean_shape),
        max_iter=100,
        tolerance=1e-9,
        curvature=curvature,
        execution=execution,
    )
    phi = fitted.phi.T
    return CountExpression(
        groups=groups,
        log_mean=np.ascontiguousarray(fitted.log_mean.T),
        log_dispersion=np.log(phi, out=np.full(phi.shape, -np.inf), where=phi > 0),
        standard_error=np.sqrt(curvature.variance.T),
        log_likelihood=curvature.value.sum(axis=1) + constants(statistics, layout).sum(axis=0),
        n_cells=np.bincount(codes, minlength=len(groups)),
        columns=choose(columns, blocks.shape[1]),
    )
