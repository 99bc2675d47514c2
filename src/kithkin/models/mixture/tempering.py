"""Temperature at which probabilities of clusters explain how far halves of the genes agree on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize_scalar
from scipy.special import softmax

from kithkin.core.blocks import Array

HIGHEST = 1e4  # temperature, at which all clusters are all but equally likely
N_TRIED = 40  # temperatures, between the best neighbours of which is searched
LEAST = 1e-3  # rows that are counted in every pair of a cluster and a label, so that none is impossible


def halves(n: int, n_splits: int, seed: int) -> list[tuple[Array, Array]]:
    """Draw the positions of n genes for the two halves of each split.

    >>> [[len(half) for half in split] for split in halves(5, 2, 0)]
    [[2, 3], [2, 3]]
    """
    random = np.random.default_rng(seed)
    orders = [random.permutation(n) for _ in range(n_splits)]
    return [(np.sort(order[: n // 2]), np.sort(order[n // 2 :])) for order in orders]


def renamed(log_joint: Array, reference: Array) -> Array:
    """Order the columns of a mixture like those of another, with whose clusters its own share most rows, one to one.

    log_joint: n x K. reference: likeliest cluster of each row in the other, n.

    >>> renamed(np.log([[0.2, 0.8], [0.1, 0.9], [0.9, 0.1]]), np.array([0, 0, 1])).argmax(axis=1).tolist()
    [0, 0, 1]
    """
    K = log_joint.shape[1]
    pairs = log_joint.argmax(axis=1) * K + reference
    rows, names = linear_sum_assignment(-np.bincount(pairs, minlength=K * K).reshape(K, K))
    out = np.empty_like(log_joint)
    out[:, names] = log_joint[:, rows]
    return out


@dataclass(frozen=True)
class Halves:
    """Log joint densities of rows and clusters from two halves of the genes, n x K each, with the same clusters."""

    first: Array
    second: Array

    def log_likelihood(self, temperature: float) -> float:
        r"""Compute the mean log-likelihood of the labels of each half, given the counts of the other, for a row.

        With :math:`q` the probabilities from one half at temperature T, and :math:`C_{lk}` the share of rows of cluster
        k that the other half labels l, of which its own probabilities at T tell, it is that of
        :math:`\sum_k q_{ik} C_{lk}`: labels are not taken for true, but for as good as T says.
        """
        q = [softmax(log_joint / temperature, axis=1) for log_joint in (self.first, self.second)]
        labels = [log_joint.argmax(axis=1) for log_joint in (self.first, self.second)]
        total = 0.0
        for own, other in ((0, 1), (1, 0)):
            C = np.full((q[own].shape[1],) * 2, LEAST)
            np.add.at(C, labels[other], q[other])
            C /= C.sum(axis=0)
            total += float(np.log(np.einsum("ik,ik->i", q[own], C[labels[other]])).mean())
        return total / 2


def temperature_of(splits: Sequence[Halves]) -> float:
    """Find the temperature in 1..10,000 with the highest log-likelihood, summed over splits of the genes.

    >>> rng = np.random.default_rng(0)
    >>> cluster, noise = rng.choice([-1, 1], 4000), rng.normal(size=(2, 4000))
    >>> exact = 4 * cluster + np.sqrt(8) * noise  # log odds of a normal variable, as they should be
    >>> splits = [Halves(*(np.column_stack([6 * odds, 0 * odds]) for odds in exact))]
    >>> bool(abs(temperature_of(splits) - 6) < 0.6)
    True
    """

    def loss(log_temperature: float) -> float:
        return -sum(split.log_likelihood(float(np.exp(log_temperature))) for split in splits)

    tried = np.linspace(0.0, np.log(HIGHEST), N_TRIED)
    losses = [loss(one) for one in tried]
    best = int(np.argmin(losses))
    bounds = tried[max(best - 1, 0)], tried[min(best + 1, N_TRIED - 1)]
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    # the search does not try its bounds: exact probabilities stay as they are where nothing is better
    return float(np.exp(found.x)) if found.fun < losses[0] - 1e-9 else 1.0


def tempered(log_joint: Array, temperature: float) -> Array:
    """Return probabilities at a temperature, float32, n x K."""
    probability: Array = softmax(log_joint / temperature, axis=1).astype(np.float32)
    return probability
