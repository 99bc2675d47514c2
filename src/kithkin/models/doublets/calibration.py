"""Share of doublets in a sample, and the score above which a cell is one, from scores of cells and of simulations."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array

LEAST = 0.2  # share of the simulated doublets from which the share of the cells is estimated, at least


def share_of_doublets(cells: Array, simulated: Array) -> float:
    r"""Estimate the share of doublets from the scores of the cells and of simulated doublets.

    Cells are a mixture of doublets, of the distribution that is simulated, and of singlets. So the share of cells with
    a score of t or more is :math:`C(t) = \rho S(t) + (1 - \rho) F(t) \ge \rho S(t)`, and its smallest ratio to that of
    the simulated ones, :math:`\min_t C(t) / S(t)`, is the largest :math:`\rho` that the cells allow; where singlets
    have no such scores it is the share itself. Only scores that
    a fifth of the simulated doublets reach are looked at, as the ratio of few is uncertain.

    Parameters
    ----------
    cells, simulated
        Scores; higher ones are more like those of doublets.

    Examples
    --------
    >>> cells = np.array([0] * 80 + [1] * 10 + [2] * 10)
    >>> share_of_doublets(cells, np.array([1, 2, 2, 2]))
    0.13333333333333333
    """
    thresholds, shares, simulated_shares = _reached(cells, simulated)
    enough = simulated_shares >= LEAST
    return float(np.min(shares[enough] / simulated_shares[enough])) if len(thresholds) else 0.0


def best_threshold(cells: Array, simulated: Array, rate: float) -> tuple[float, float]:
    r"""Choose the score from which most cells are doublets, and estimate the share of all doublets that reach it.

    Of the :math:`C(t)` that reach t, :math:`\rho S(t)` are doublets. The threshold is where true calls exceed false
    ones by most, :math:`2 \rho S(t) - C(t)`: below it the next cells are singlets in their majority.

    Parameters
    ----------
    cells, simulated
        As in `share_of_doublets`.
    rate
        Share of doublets, :math:`\rho`.

    Examples
    --------
    >>> cells = np.array([0] * 80 + [1] * 10 + [2] * 10)
    >>> best_threshold(cells, np.array([1, 2, 2, 2]), 0.13)
    (2.0, 0.75)
    """
    thresholds, shares, simulated_shares = _reached(cells, simulated)
    best = int(np.argmax(2 * rate * simulated_shares - shares))
    return float(thresholds[best]), float(simulated_shares[best])


def _reached(cells: Array, simulated: Array) -> tuple[Array, Array, Array]:
    """Return the scores that occur, descending, and the shares of cells and of simulated doublets that reach them."""
    thresholds = np.unique(np.concatenate([cells, simulated]))[::-1]
    reached = [len(some) - np.searchsorted(np.sort(some), thresholds) for some in (cells, simulated)]
    return thresholds, reached[0] / max(1, len(cells)), reached[1] / max(1, len(simulated))
