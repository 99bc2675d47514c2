"""Leave-one-out likelihood: each row is scored by clusters from which its own counts are taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.kernels.mixture.left_out import exposures, leave_out, zero_changes
from kithkin.models.mixture.count_layout import CountLayout
from kithkin.models.mixture.parameters import Parameters

# Total size of a cluster in sizes of the largest row. As s / (1 + s a) is concave and 0 at 0, the exposure of every
# gene is at least this many times what one row adds to it: it stays clear of 0 without that row.
SMALL = 4.0


@dataclass(frozen=True)
class LeftOut:
    """Sufficient statistics from which any row can be taken out again.

    The mean of a gene without a row is one step from its sums, exact for the Poisson; the dispersion stays, and so does
    the weight of the cluster.
    """

    layout: CountLayout
    parameters: Parameters
    shape: float
    rates: Array  # of the Gamma prior on the means, as its shape
    z: Array  # responsibilities with which the statistics were gathered, n x K; overwritten by the new ones
    counts: Array  # of each gene, genes x K
    exposure: Array  # of each gene, genes x K
    slope: Array  # Q of `kithkin.kernels.mixture.left_out`, genes x K
    change: Array  # log-likelihood of zeros within the clusters less that of a row left out, K x nodes
    small: Array  # whether a row may be a large part of the cluster, K
    bend: Array  # second derivative of what zeros take in the share of a row, for a row of size 1, K

    @staticmethod
    def of(
        parameters: Parameters, layout: CountLayout, V: Array, W: Array, shape: float, rates: Array, z: Array
    ) -> LeftOut:
        """Prepare from the statistics that the parameters were estimated from."""
        log_mean, phi = parameters.log_mean, parameters.phi
        counts, exposure, slope = np.empty((3, *log_mean.shape))
        exposures(V, W, layout.sum_nodes.values, log_mean, phi, counts, exposure, slope)
        nodes = layout.score_nodes
        change = np.empty((len(W), len(nodes.x)))
        zero_changes(counts, exposure, slope, log_mean, phi, shape, rates, nodes.values, change)
        sizes = W @ layout.sum_nodes.values
        small = sizes < SMALL * nodes.values.max()
        bend = np.exp(log_mean).sum(axis=0) / np.maximum(sizes**2, 1e-300)
        return LeftOut(layout, parameters, shape, rates, z, counts, exposure, slope, change, small, bend)

    def change_scores(self, piece: SparseRows, rows: slice, size: Array, scores: Array) -> None:
        """Correct the log-likelihoods of some rows, rows x K, in place."""
        nodes = self.layout.score_nodes
        # fmt: off
        leave_out(
            piece.data, piece.indices, piece.indptr, self.layout.position, size, self.z[rows],
            self.counts, self.exposure, self.slope, self.parameters.log_mean, self.parameters.phi, self.shape,
            self.rates, nodes.x, nodes.weights, self.change, self.small, self.bend, scores,
        )
        # fmt: on
