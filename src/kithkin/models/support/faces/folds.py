"""Sample of the cells and its four quarters, drawn by a hash within each cluster: the same for every block size."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kithkin.core.blocks import Array
from kithkin.models.support.halves import SAMPLE, hashed

QUARTERS = 4
PAIRS = tuple(combinations(range(QUARTERS), 2))


@dataclass(frozen=True)
class Folds:
    """Sampled cells with their clusters, and the quarter of every cell with a cluster.

    rows: ascending numbers of the sampled cells. codes: their clusters. n_groups: number of clusters.
    labels, quarters: n: cluster and quarter of every cell, -1 where it has none; those of the sample are sampled from.
    """

    rows: Array
    codes: Array
    n_groups: int
    labels: Array
    quarters: Array

    @classmethod
    def draw(cls, labels: Array, n_groups: int, most: int, seed: int) -> Folds:
        """Deal the cells of each cluster out to quarters, and sample as many of each cluster if it has them.

        >>> labels = np.repeat([0, 1, -1], [10, 100, 5])
        >>> folds = Folds.draw(labels, 2, 30, 0)
        >>> np.bincount(folds.codes).tolist(), np.bincount(folds.quarters[:10]).tolist()
        ([10, 20], [3, 3, 2, 2])
        """
        bits = hashed(np.arange(len(labels)), seed, SAMPLE)
        quarters, kept = np.full(len(labels), -1, np.int8), np.zeros(len(labels), bool)
        sizes = np.bincount(labels[labels >= 0], minlength=n_groups)
        cap = largest_cap(sizes, most)
        for group in range(n_groups):
            members = np.flatnonzero(labels == group)
            members = members[np.argsort(bits[members], kind="stable")]
            quarters[members] = np.arange(len(members)) % QUARTERS
            kept[members[:cap]] = True
        rows = np.flatnonzero(kept)
        return cls(rows, labels[rows], n_groups, labels, quarters)

    @property
    def own(self) -> Array:
        """Quarter of each sampled cell."""
        return self.quarters[self.rows]

    def inside(self, start: int, n_rows: int) -> tuple[int, Array]:
        """Return the position of the first sampled cell of a block among the sample, and their rows in the block."""
        first, last = np.searchsorted(self.rows, (start, start + n_rows))
        return int(first), self.rows[first:last] - start


def largest_cap(sizes: Array, most: int) -> int:
    """Return the most cells that a cluster may give, smaller ones giving all, for a sum of at most `most`.

    >>> largest_cap(np.array([5, 50, 100]), 65)
    30
    """
    left, cap = most, most
    for rank, size in enumerate(np.sort(sizes)):
        cap = left // (len(sizes) - rank)
        if size > cap:
            return max(QUARTERS, cap)
        left -= int(size)
    return most
