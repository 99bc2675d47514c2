"""Agreement of the two halves of each row on the side of a split where it belongs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from kithkin.core.blocks import Array


@dataclass(frozen=True)
class Halves:
    """Scores of the sampled rows.

    depths: r x 2: counts in each half.
    calls: r x 2: group that each half calls.
    scores: r x 2 x m: log likelihood ratio of the sides of each split, by each half.
    pairs: r x 2 x m: that of the largest group on each side.
    folds: r: fold of each row.
    groups: r: group of each row.
    """

    depths: Array
    calls: Array
    scores: Array
    pairs: Array
    folds: Array
    groups: Array

    def inside(self, groups: Array) -> Array:
        """Mark the rows that both halves call into one of the groups (k bool)."""
        return np.asarray(groups[self.calls].all(axis=1) & (self.depths > 0).all(axis=1))


def agreement_test(scores: Array, depths: Array, folds: Array) -> float:
    """Test whether the scores of the two halves of rows are correlated, each less what its depth lets expect.

    Given the depth of a cell of one kind, the expectation of a score that is linear in the counts is the depth times a
    constant, whatever the noise of the genes; what is left is neither stratified by depth nor by anything else, since
    a gene of many counts that varies makes the score and the depth of its half vary together.

    scores, depths: r x 2. folds: r: fold whose profiles scored a row. Returns a one-sided p by Student's t.
    """
    first, second = (centred(scores[:, half], depths[:, half], folds) for half in range(2))
    freedom = len(folds) - len(np.unique(folds)) - 1
    spread = np.sqrt((first**2).sum() * (second**2).sum())
    if freedom < 2 or spread <= 0:
        return 1.0
    r = float((first * second).sum() / spread)
    return float(special.stdtr(freedom, -r * np.sqrt(freedom / max(1 - r * r, 1e-300))))


def centred(scores: Array, depths: Array, folds: Array) -> Array:
    """Take from the scores of each fold what the depth lets expect and their mean, and bring them to one variance."""
    out = np.zeros(len(scores))
    for fold in range(2):
        those = folds == fold
        if those.any():
            one, depth = scores[those].astype(np.float64), depths[those]
            rest = (one - one.sum() / depth.sum() * depth) / np.sqrt(depth)
            out[those] = (rest - rest.mean()) / max(float(rest.std()), 1e-12)
    return out


def agreement_accuracy(sides: Array) -> float:
    r"""Return the balanced accuracy of one half, from how often two halves agree.

    If each half is right independently, sensitivity plus specificity less one is the square root of the correlation
    :math:`\phi` of the two calls, whatever the sizes of the sides.

    sides: r x 2 bool.

    >>> truth, rng = np.arange(20_000) % 4 == 0, np.random.default_rng(0)
    >>> wrong = rng.random((20_000, 2)) < 0.1
    >>> bool(abs(agreement_accuracy(truth[:, None] ^ wrong) - 0.9) < 0.05)
    True
    """
    table = np.bincount(2 * sides[:, 0] + sides[:, 1], minlength=4).astype(np.float64)
    margins = (table[0] + table[1]) * (table[2] + table[3]) * (table[0] + table[2]) * (table[1] + table[3])
    phi = (table[0] * table[3] - table[1] * table[2]) / np.sqrt(margins) if margins > 0 else 0.0
    return float(1 + np.sqrt(max(phi, 0.0))) / 2


def label_accuracy(scores: Array, left: Array) -> float:
    """Return the balanced accuracy with which a half tells to which side's groups a row belongs.

    scores: r x 2; left: r bool: rows of the groups on the left.
    """
    if left.all() or not left.any():
        return 0.5
    called = scores > 0
    return float(called[left].mean() + 1 - called[~left].mean()) / 2
