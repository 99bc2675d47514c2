"""Expression of every gene in groups that are known: mean, dispersion, errors and log-likelihood, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from kithkin.core.blocks import Array, as_blocks
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.models.mixture.em import MODES, Prior, describe
from kithkin.models.mixture.layout import survey
from kithkin.models.mixture.moments import constants
from kithkin.models.mixture.passes import add_up
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
        Of log_mean, from the curvature of the log-likelihood, G x p; inf where there are no counts.
    log_likelihood
        Of the counts of each gene in all groups, p.
    n_cells
        Cells in each group, G.
    columns
        Positions of the genes, p.

    Examples
    --------
    >>> found = fit_given_labels(np.array([[4], [6], [30], [20]]), np.array(["a", "a", "b", "b"]), size=np.ones(4))
    >>> np.exp(found.log_mean).round(6).ravel().tolist()
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
        """Difference of log means between two groups, its standard error, and two-sided p of Wald's test, p each.

        Raises
        ------
        ParameterError
            If there is no such group.

        Examples
        --------
        >>> found = fit_given_labels(np.array([[4], [6], [30], [20]]), np.array([0, 0, 1, 1]), size=np.ones(4))
        >>> [part.round(3).tolist() for part in found.difference(1, 0)]
        [[1.609], [0.346], [0.0]]
        """
        a, b = self._row(group), self._row(reference)
        error = np.hypot(self.standard_error[a], self.standard_error[b])
        known = np.isfinite(error)
        # no counts in a group: the difference is infinite, and nothing is known of it
        change = np.subtract(
            self.log_mean[a], self.log_mean[b], out=np.full(len(error), np.nan), where=self._either(a, b)
        )
        z = np.divide(np.abs(change), error, out=np.zeros(len(error)), where=known)
        return change, error, 2 * stats.norm.sf(z)

    def _either(self, a: int, b: int) -> Array:
        found: Array = np.isfinite(self.log_mean[a]) | np.isfinite(self.log_mean[b])
        return found

    def _row(self, group: Any) -> int:
        found = np.flatnonzero(self.groups == group)
        check(len(found) == 1, f"group must be one of {', '.join(map(repr, self.groups.tolist()))}, got {group!r}")
        return int(found[0])


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
        "gene_cluster": each gene has one in each group. "gene": groups share it. "poisson": none, a point mass.
    columns
        Mask or positions of the genes to use; all when None.
    size
        Size factor of each cell, n; its counts over all columns when None.
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
    blocks, labels = as_blocks(X), np.asarray(labels)
    check_choice("dispersion", dispersion, MODES)
    check_range("mean_shape", mean_shape, 0.0, 1e6)
    check(labels.shape == (blocks.shape[0],), f"labels must hold {blocks.shape[0]} groups, got {labels.shape}")
    groups, codes = np.unique(labels, return_inverse=True)
    layout = survey(blocks, columns, size, execution)
    sums = add_up(blocks, layout, codes, len(groups), execution=execution)
    found, value, variance = describe(sums, layout, dispersion, Prior(mean_shape), execution)
    return CountExpression(
        groups,
        np.ascontiguousarray(found.log_mean.T),
        np.log(found.phi.T, out=np.full(found.phi.T.shape, -np.inf), where=found.phi.T > 0),
        np.sqrt(variance.T),
        value.sum(axis=1) + constants(sums, layout).sum(axis=0),
        np.bincount(codes, minlength=len(groups)),
        choose(columns, blocks.shape[1]),
    )
