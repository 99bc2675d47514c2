"""Parameters of a mixture of negative binomials, and the tables from which the likelihood of rows is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.kernels.mixture.likelihood import LANES, fill_table, responsibilities, row_scores, zero_part
from kithkin.models.mixture.layout import Layout, Nodes

SMALLEST_SHARE = 1e-10  # a row has no part in clusters that are less probable


@dataclass(frozen=True)
class Parameters:
    """A mixture.

    Attributes
    ----------
    log_weight
        Log of the weight of each cluster, K.
    log_mean, phi
        Log mean of each gene for a size factor of 1, and its dispersion, genes x K.

    Examples
    --------
    >>> Parameters(np.zeros(1), np.zeros((3, 1)), np.zeros((3, 1))).n_clusters
    1
    """

    log_weight: Array
    log_mean: Array
    phi: Array

    @property
    def n_clusters(self) -> int:
        """How many clusters."""
        return len(self.log_weight)

    def clusters(self, chosen: Any) -> Parameters:
        """Some of the clusters; weights are as they were."""
        return Parameters(
            self.log_weight[chosen],
            np.ascontiguousarray(self.log_mean[:, chosen]),
            np.ascontiguousarray(self.phi[:, chosen]),
        )


@dataclass(frozen=True)
class Tables:
    """What the kernel reads: see `kithkin.kernels.mixture.likelihood.row_scores`.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.layout import survey
    >>> layout = survey(InMemory(np.array([[2, 1]])))
    >>> tables = Tables.of(Parameters(np.zeros(1), np.log([[0.5], [0.5]]), np.zeros((2, 1))), layout)
    >>> rows = SparseRows(np.array([2, 1], np.int32), np.array([0, 1], np.int32), np.array([0, 2]), 2)
    >>> tables.scores(rows, layout.size).round(4).tolist()  # Poisson with mean 1.5: counts 2 and 1
    [[-2.4768]]
    """

    layout: Layout
    parameters: Parameters
    table: Array
    pairs: Array
    top: Array
    zeros: Array

    @staticmethod
    def of(parameters: Parameters, layout: Layout) -> Tables:
        """Tables of a mixture."""
        n_lanes = -(-parameters.n_clusters // LANES) * LANES
        table = np.zeros((int(layout.starts[-1]), n_lanes))
        pairs, top = np.zeros((layout.n_genes, 2, n_lanes)), np.zeros(layout.n_genes)
        arrays = parameters.log_mean, parameters.phi, layout.starts, layout.limits
        fill_table(*arrays, table, pairs, top, 0, layout.n_genes)
        return Tables(layout, parameters, table, pairs, top, zeros_at(parameters, layout.score_nodes))

    def covering(self, size: Array) -> Tables:
        """The same for rows of other sizes: with nodes of their own if they lie outside the range."""
        x = self.layout.score_nodes.x
        if len(size) == 0 or (size.min() >= np.exp(x.min()) and size.max() <= np.exp(x.max())):
            return self
        layout = self.layout.with_size(size)
        return replace(self, layout=layout, zeros=zeros_at(self.parameters, layout.score_nodes))

    def scores(self, rows: SparseRows, size: Array) -> Array:
        """Log-likelihood of each row in each cluster, rows x K."""
        out = np.empty((rows.shape[0], self.parameters.n_clusters))
        layout, nodes = self.layout, self.layout.score_nodes
        row_scores(
            *(rows.data, rows.indices, rows.indptr, layout.position, size, layout.starts, layout.limits),
            *(self.table, self.pairs, self.top, self.parameters.phi, nodes.x, nodes.weights, self.zeros, out),
        )
        return out


def zeros_at(parameters: Parameters, nodes: Nodes) -> Array:
    """What zeros of all genes take from the log-likelihood of a row, at nodes of its size factor, K x nodes.

    Examples
    --------
    >>> zeros_at(Parameters(np.zeros(1), np.log([[0.5]]), np.zeros((1, 1))), Nodes(np.log([8.0]), np.ones(1))).round(6)
    array([[4.]])
    """
    out = np.zeros((parameters.n_clusters, len(nodes.x)))
    zero_part(np.exp(parameters.log_mean), parameters.phi, nodes.values, 0, len(parameters.phi), out)
    return out


def shares(scores: Array, log_weight: Array) -> tuple[Array, Array]:
    """Probability of each cluster for each row, and the log-likelihood of the row; scores are overwritten.

    Examples
    --------
    >>> z, likelihood = shares(np.log([[1.0, 3.0]]), np.log([0.5, 0.5]))
    >>> z.round(3).tolist(), np.exp(likelihood).round(3).tolist()
    ([[0.25, 0.75]], [2.0])
    """
    likelihood = np.empty(len(scores))
    responsibilities(scores, log_weight, SMALLEST_SHARE, likelihood)
    return scores, likelihood
