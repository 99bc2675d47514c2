"""Leave-one-out likelihood: each row is scored by clusters from which its own counts are taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.kernels.mixture.left_out import exposures, leave_out, zero_part_left_out
from kithkin.models.mixture.count_layout import CountLayout
from kithkin.models.mixture.parameters import Parameters, zeros_at


@dataclass(frozen=True)
class LeftOut:
    """Sufficient statistics from which any row can be taken out again.

    The mean of a gene without a row is one step from its sums, exact for the Poisson; the dispersion stays.
    """

    layout: CountLayout
    parameters: Parameters
    shape: float
    rates: Array  # of the Gamma prior on the means, as its shape
    z: Array  # responsibilities with which the statistics were gathered, n x K; overwritten by the new ones
    counts: Array  # of each gene, genes x K
    exposure: Array  # of each gene, genes x K
    change: Array  # log-likelihood of zeros within the clusters less that of a row left out, K x nodes

    @staticmethod
    def of(
        parameters: Parameters, layout: CountLayout, V: Array, W: Array, shape: float, rates: Array, z: Array
    ) -> LeftOut:
        """Prepare from the statistics that the parameters were estimated from."""
        log_mean, phi = parameters.log_mean, parameters.phi
        counts, exposure = np.empty_like(log_mean), np.empty_like(log_mean)
        exposures(V, W, layout.sum_nodes.values, log_mean, phi, counts, exposure)
        change = -zeros_at(parameters, layout.score_nodes)
        zero_part_left_out(counts, exposure, log_mean, phi, shape, rates, layout.score_nodes.values, change)
        return LeftOut(layout, parameters, shape, rates, z, counts, exposure, change)

    def change_scores(self, piece: SparseRows, rows: slice, size: Array, scores: Array) -> None:
        """Correct the log-likelihoods of some rows, rows x K, in place."""
        nodes = self.layout.score_nodes
        # fmt: off
        leave_out(
            piece.data, piece.indices, piece.indptr, self.layout.position, size, self.z[rows],
            self.counts, self.exposure, self.parameters.log_mean, self.parameters.phi, self.shape, self.rates,
            nodes.x, nodes.weights, self.change, scores,
        )
        # fmt: on
