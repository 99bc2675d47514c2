"""Single counts that decide a regression: Cook's distances, their replacement, and the genes that are left untested."""

from __future__ import annotations

import numpy as np
from scipy.special import fdtri

from kithkin.core.blocks import Array

# share trimmed at each end, and the factor that makes up for it, for up to 3, up to 23 and more samples alike
TRIMS = ((1 / 3, 2.04), (1 / 4, 1.86), (1 / 8, 1.51))
LEAST = 0.04  # dispersion, or all counts beside an outlier would be far from their mean too
REPLICATES = 7  # samples alike from which an outlier among them is replaced


def cells_of(design: Array) -> tuple[Array, Array]:
    """Number the samples that have the same design alike; return the numbers, and how many samples have each."""
    _, cells, sizes = np.unique(design, axis=0, return_inverse=True, return_counts=True)
    return cells.ravel(), sizes


def trimmed(values: Array, share: float) -> Array:
    """Compute the mean of each row without a share of its values at each end."""
    n = values.shape[1]
    cut = int(np.floor(n * share))
    mean: Array = np.sort(values, axis=1)[:, cut : n - cut].mean(axis=1)
    return mean


def robust_dispersions(normed: Array, design: Array) -> Array:
    """Estimate the dispersion of each gene by trimmed moments: the largest variance among samples alike.

    normed: counts divided by size factors, genes x samples.
    """
    cells, sizes = cells_of(design)
    variances = []
    for cell in np.flatnonzero(sizes >= 3):
        share, factor = TRIMS[0 if sizes[cell] <= 3 else 1 if sizes[cell] <= 23 else 2]
        values = normed[:, cells == cell]
        squares = (values - trimmed(values, share)[:, None]) ** 2
        variances.append(factor * trimmed(squares, share))
    if not variances:
        share, factor = TRIMS[2]
        variances.append(factor * trimmed((normed - trimmed(normed, share)[:, None]) ** 2, share))
    means = normed.mean(axis=1)
    dispersions: Array = np.maximum((np.max(variances, axis=0) - means) / means**2, LEAST)
    return dispersions


def cooks_distances(counts: Array, normed: Array, means: Array, leverage: Array, design: Array) -> Array:
    """Compute Cook's distance of each count, genes x samples: by how much it alone moves the regression.

    Cook 1977, doi:10.1080/00401706.1977.10489493.
    """
    variance = means + robust_dispersions(normed, design)[:, None] * means**2
    with np.errstate(divide="ignore", invalid="ignore"):  # of a sample that no other one is like
        distances: Array = (counts - means) ** 2 / variance / design.shape[1] * leverage / (1 - leverage) ** 2
    return distances


def cutoff_of(design: Array) -> float:
    """Return the distance above which a count is an outlier: the 99 % quantile of the F distribution."""
    n, k = design.shape
    return float(fdtri(k, n - k, 0.99))


def with_replacements(counts: Array, normed: Array, size: Array, distances: Array, design: Array) -> Array | None:
    """Put the trimmed mean of the gene in the place of outliers among seven samples alike or more.

    None where no sample has as many like it.
    """
    cells, sizes = cells_of(design)
    replaceable = np.asarray(sizes[cells] >= REPLICATES)
    if not replaceable.any():
        return None
    expected = np.floor(trimmed(normed, 0.2)[:, None] * size)
    return np.where(replaceable & (distances > cutoff_of(design)), expected, counts)


def is_outlying(counts: Array, distances: Array, design: Array, replaced: Array) -> Array:
    """Find the genes that one count decides, which is no count that three others exceed, nor one that was replaced.

    Samples count that have two or more others alike.
    """
    cells, sizes = cells_of(design)
    alike = sizes[cells] >= 3
    left = np.where(replaced[:, None] & (sizes[cells] >= REPLICATES), 0.0, distances)
    found = np.asarray((left[:, alike] > cutoff_of(design)).any(axis=1))
    genes = np.flatnonzero(found)
    largest = counts[genes, distances[genes].argmax(axis=1)]
    found[genes] = (counts[genes] > largest[:, None]).sum(axis=1) < 3
    return found
