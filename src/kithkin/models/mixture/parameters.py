"""Parameters of a mixture of negative binomials, and look-up tables for the likelihood of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.kernels.mixture.likelihood import LANES, fill_table, responsibilities, row_scores, zero_part
from kithkin.models.mixture.count_layout import CountLayout, Nodes

SMALLEST_PROBABILITY = 1e-10  # smaller responsibilities are set to 0


@dataclass(frozen=True)
class Parameters:
    """Parameters of the mixture."""

    log_weight: Array  # of each cluster, K
    log_mean: Array  # of each gene for a size factor of 1, genes x K
    phi: Array  # dispersion of each gene, genes x K

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.log_weight)

    def clusters(self, chosen: Any) -> Parameters:
        """Return some of the clusters, with their weights unchanged."""
        return Parameters(
            self.log_weight[chosen],
            np.ascontiguousarray(self.log_mean[:, chosen]),
            np.ascontiguousarray(self.phi[:, chosen]),
        )


@dataclass(frozen=True)
class Tables:
    """Look-up tables of the likelihood, as the kernel reads them: see `row_scores` of `kernels.mixture.likelihood`."""

    layout: CountLayout
    parameters: Parameters
    table: Array
    pairs: Array
    top: Array
    zeros: Array

    @staticmethod
    def of(parameters: Parameters, layout: CountLayout) -> Tables:
        """Tabulate the parameters of a mixture."""
        n_lanes = -(-parameters.n_clusters // LANES) * LANES
        table = np.zeros((int(layout.starts[-1]), n_lanes))
        pairs, top = np.zeros((layout.n_genes, 2, n_lanes)), np.zeros(layout.n_genes)
        log_mean, phi = parameters.log_mean, parameters.phi
        fill_table(log_mean, phi, layout.starts, layout.limits, table, pairs, top, 0, layout.n_genes)
        return Tables(layout, parameters, table, pairs, top, zeros_at(parameters, layout.score_nodes))

    def only(self, start: int, stop: int) -> Tables:
        """Return the tables for rows start to stop alone."""
        return replace(self, layout=self.layout.only(start, stop))

    def covering(self, size: Array) -> Tables:
        """Return tables for rows of other sizes, with new nodes if these lie outside the range."""
        x = self.layout.score_nodes.x
        if len(size) == 0 or (size.min() >= np.exp(x.min()) and size.max() <= np.exp(x.max())):
            return self
        layout = self.layout.with_size(size)
        return replace(self, layout=layout, zeros=zeros_at(self.parameters, layout.score_nodes))

    def scores(self, rows: SparseRows, size: Array) -> Array:
        """Compute the log-likelihood of each row in each cluster, rows x K."""
        out = np.empty((rows.shape[0], self.parameters.n_clusters))
        layout, nodes = self.layout, self.layout.score_nodes
        # fmt: off
        row_scores(
            rows.data, rows.indices, rows.indptr, layout.position, size, layout.starts, layout.limits,
            self.table, self.pairs, self.top, self.parameters.phi, nodes.x, nodes.weights, self.zeros, out,
        )
        # fmt: on
        return out


def zeros_at(parameters: Parameters, nodes: Nodes) -> Array:
    """Compute the negative log-likelihood of zeros in all genes, at nodes of the size factor, K x nodes."""
    out = np.zeros((parameters.n_clusters, len(nodes.x)))
    zero_part(np.exp(parameters.log_mean), parameters.phi, nodes.values, 0, len(parameters.phi), out)
    return out


def to_responsibilities(scores: Array, log_weight: Array) -> tuple[Array, Array]:
    """Turn log-likelihoods into responsibilities, in place; return these and the log-likelihood of each row."""
    likelihood = np.empty(len(scores))
    responsibilities(scores, log_weight, SMALLEST_PROBABILITY, likelihood)
    return scores, likelihood
