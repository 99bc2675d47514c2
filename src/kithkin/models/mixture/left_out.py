"""Leave-one-out likelihood of a mixture: a row is scored by its clusters as they would be without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.kernels.mixture.left_out import exposures, leave_out, zero_part_left_out
from kithkin.models.mixture.layout import Layout
from kithkin.models.mixture.parameters import Parameters, zeros_at


@dataclass(frozen=True)
class LeftOut:
    """What was added up over the rows, so that each can be taken back.

    The mean of a gene without a row is one step from its sums, exact for the Poisson; the dispersion stays.

    Attributes
    ----------
    layout, parameters
        The mixture.
    shape, rates
        Gamma prior of the means.
    z
        Shares of the rows when the sums were made, n x K; replaced by the new ones.
    counts, exposure
        Counts and exposure of each gene, genes x K.
    change
        What zeros take from a row that is left out, less what they take otherwise, K x nodes.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.em import Prior, maximize
    >>> from kithkin.models.mixture.passes import add_up
    >>> from kithkin.models.mixture.layout import survey
    >>> from kithkin.models.mixture.parameters import Tables
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> layout, z = survey(blocks), np.ones((2, 1))
    >>> sums = add_up(blocks, layout, z, 1)
    >>> parameters = maximize(sums, layout, "poisson", Prior())
    >>> left_out = LeftOut.of(parameters, layout, sums.V, sums.W, 1.0, Prior().rates(layout.means, 4.0), z)
    >>> within = add_up(blocks, layout, Tables.of(parameters, layout), 1)
    >>> without = add_up(blocks, layout, Tables.of(parameters, layout), 1, left_out)
    >>> without.likelihood < within.likelihood
    True
    """

    layout: Layout
    parameters: Parameters
    shape: float
    rates: Array
    z: Array
    counts: Array
    exposure: Array
    change: Array

    @staticmethod
    def of(parameters: Parameters, layout: Layout, V: Array, W: Array, shape: float, rates: Array, z: Array) -> LeftOut:
        """Prepare from the sums that the parameters were made of."""
        log_mean, phi = parameters.log_mean, parameters.phi
        counts, exposure = np.empty_like(log_mean), np.empty_like(log_mean)
        exposures(V, W, layout.sum_nodes.values, log_mean, phi, counts, exposure)
        change = -zeros_at(parameters, layout.score_nodes)
        zero_part_left_out(counts, exposure, log_mean, phi, shape, rates, layout.score_nodes.values, change)
        return LeftOut(layout, parameters, shape, rates, z, counts, exposure, change)

    def change_scores(self, piece: SparseRows, rows: slice, size: Array, scores: Array) -> None:
        """Change log-likelihoods of some rows, rows x K, in place."""
        nodes = self.layout.score_nodes
        leave_out(
            *(piece.data, piece.indices, piece.indptr, self.layout.position, size, self.z[rows]),
            *(self.counts, self.exposure, self.parameters.log_mean, self.parameters.phi, self.shape, self.rates),
            *(nodes.x, nodes.weights, self.change, scores),
        )
