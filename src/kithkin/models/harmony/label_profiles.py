"""Expression of each label in a reference, and how far rows are from that of their label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.counts import column_moments, profile_distances
from kithkin.models.table.normalize import Normalized, Stored
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory

PRIOR = 20  # rows that the variance of all labels together counts as, in the variance of one


@dataclass
class Moments:
    """Numbers of rows, sums and sums of squares of the columns, for each group of rows.

    sizes: groups. sums, squares: groups x p.
    """

    sizes: Array
    sums: Array
    squares: Array

    @property
    def all_rows(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each column over all groups, p each."""
        n = int(self.sizes.sum())
        mean = self.sums.sum(axis=0) / n
        return mean, np.sqrt(np.maximum(self.squares.sum(axis=0) - n * mean**2, 0) / max(n - 1, 1))

    @staticmethod
    def of(source: Normalized, groups: Array, n_groups: int, execution: Execution) -> Moments:
        """Sum normalised rows by group, n integers."""
        limited = within_memory(execution, 16 * n_groups * source.shape[1])
        work = partial(_run_moments, source, groups.astype(np.int32), n_groups)
        sums, squares = reduce_blocks(work, source.blocks, limited, "profiles")
        return Moments(np.bincount(groups, minlength=n_groups), sums, squares)

    def first(self, n_groups: int) -> Moments:
        """Return the first groups alone."""
        return Moments(self.sizes[:n_groups], self.sums[:n_groups], self.squares[:n_groups])

    def profiles(self) -> LabelProfiles:
        """Return the mean of each group, and weights from its variance, which few rows share with all groups.

        A weight is 1 for a column that does not vary, and less the more it does.
        """
        sizes = np.maximum(self.sizes, 1)[:, None]
        mean = self.sums / sizes
        within = np.maximum(self.squares - sizes * mean**2, 0)
        pooled = within.sum(axis=0) / max(int(self.sizes.sum()), 1)
        variance = (within + PRIOR * pooled) / (self.sizes[:, None] + PRIOR)
        floor = usual(pooled)
        return LabelProfiles(mean.astype(np.float32), (floor / (variance + floor)).astype(np.float32), floor)

    def without(self, fold: int, n_folds: int) -> Moments:
        """Add up groups that stand for folds x labels over all folds but one; -1: over all."""
        kept = [number for number in range(n_folds) if number != fold]
        parts = (self.sizes, self.sums, self.squares)
        return Moments(*(part.reshape(n_folds, -1, *part.shape[1:])[kept].sum(axis=0) for part in parts))


def usual(variance: Array) -> float:
    """Return the median of the variances that are above 0, or 1: a floor, so that no quiet column decides alone."""
    positive = variance[variance > 0]
    return float(np.median(positive)) if len(positive) else 1.0


@dataclass
class LabelProfiles:
    """Mean and weight of each column for each label, L x p float32; the weights are in units of the median variance.

    floor: the median variance.
    """

    mean: Array
    weight: Array
    floor: float = 1.0

    @staticmethod
    def stack(parts: list[LabelProfiles]) -> LabelProfiles:
        """Concatenate the profiles of several sets of labels."""
        return LabelProfiles(np.concatenate([p.mean for p in parts]), np.concatenate([p.weight for p in parts]))

    def distances(self, source: Normalized, codes: Array, execution: Execution) -> Array:
        """Return the mean squared weighted difference of each row from the profile of its label, n float64.

        codes: label of each row; negative: the distance is NaN.
        """
        base = np.einsum("lp,lp,lp->l", self.weight, self.mean, self.mean, dtype=np.float64)
        work = partial(_block_distances, source, codes.astype(np.int32), self, base)
        parts = list(map_blocks(work, source.blocks, execution, "distances"))
        return np.concatenate(parts) / source.shape[1]


def _run_moments(source: Normalized, groups: Array, n_groups: int, run: BlockRun, _start: int) -> tuple[Array, Array]:
    sums, squares = np.zeros((2, n_groups, source.shape[1]))
    above, limit = np.zeros(sums.shape, np.int64), np.full(sums.shape, np.inf)
    for first, block in run:
        for at, part in source.parts(block, first):
            own = groups[at : at + (len(part.starts) - 1 if isinstance(part, Stored) else len(part))]
            if isinstance(part, Stored):
                scale = np.ones(len(own))
                column_moments(part.values, part.places, part.starts, scale, own, limit, sums, squares, above)
            else:
                for group in np.unique(own):
                    rows = part[own == group]
                    sums[group] += rows.sum(axis=0)
                    squares[group] += np.square(rows).sum(axis=0)
    return sums, squares


def _block_distances(
    source: Normalized, codes: Array, profiles: LabelProfiles, base: Array, block: object, start: int
) -> Array:
    found = []
    for at, part in source.parts(block, start):  # type: ignore[arg-type]
        n_rows = len(part.starts) - 1 if isinstance(part, Stored) else len(part)
        own, out = codes[at : at + n_rows], np.full(n_rows, np.nan)
        if isinstance(part, Stored):
            about = profiles.mean, profiles.weight, base
            profile_distances(part.values, part.places, part.starts, own, *about, out)
        else:
            for code in np.unique(own[own >= 0]):
                rows = own == code
                out[rows] = np.square(part[rows] - profiles.mean[code]) @ profiles.weight[code]
        found.append(out)
    return np.concatenate([np.empty(0), *found])
