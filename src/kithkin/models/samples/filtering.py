"""Independent filtering: genes with few counts, which no test would find, do not count in the adjustment of p."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array
from kithkin.models.table.adjustment import adjust

N_CUTS = 50
FEW = 10  # rejections up to which nothing is filtered


def filtered_adjustment(pvals: Array, means: Array, fdr: float) -> Array:
    """Adjust p by Benjamini and Hochberg over the genes above the mean that lets most genes be found.

    Parameters
    ----------
    pvals
        p of each gene, NaN where it is not tested.
    means
        Mean of the normalised counts of each gene, 0 for genes without a count.
    fdr
        False discovery rate at which genes are counted.

    Returns
    -------
    Adjusted p of each gene, NaN of a gene that is filtered out or not tested.

    References
    ----------
    Bourgon, Gentleman and Huber 2010, doi:10.1073/pnas.0914005107. Benjamini and Hochberg 1995,
    doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> means, pvals = np.arange(1.0, 101), np.r_[np.linspace(0.02, 1, 70), np.full(30, 0.012)]
    >>> (filtered_adjustment(pvals, means, 0.05) < 0.05).sum()
    np.int64(30)
    """
    tested = np.flatnonzero(~np.isnan(pvals))
    order = tested[np.argsort(pvals[tested], kind="stable")]
    empty = float(np.mean(means == 0))
    shares = np.linspace(empty, 0.95 if empty < 0.95 else 1.0, N_CUTS)
    cuts = np.quantile(means, shares)
    found = np.array([n_rejected(pvals[order[means[order] >= cut]], fdr) for cut in cuts])
    first = 0
    if found.max() > FEW:
        smooth = lowess(shares, found, 1 / 5)
        residuals = found[found > 0] - smooth[found > 0]
        above = found > smooth.max() - np.sqrt(np.mean(residuals**2))
        first = int(above.argmax())  # 0 where none is
    return adjust(np.where(means >= cuts[first], pvals, np.nan))


def n_rejected(ascending: Array, fdr: float) -> int:
    """Count the tests with an adjusted p below a false discovery rate.

    Examples
    --------
    >>> n_rejected(np.array([0.01, 0.04, 0.045, 0.9]), 0.05), n_rejected(np.array([0.01, 0.03, 0.036, 0.9]), 0.05)
    (1, 3)
    """
    n = len(ascending)
    below = np.flatnonzero(ascending * n < fdr * np.arange(1, n + 1))
    return int(below[-1]) + 1 if len(below) else 0


def lowess(x: Array, y: Array, share: float, n_rounds: int = 3) -> Array:
    """Smooth y over x by local lines with tricube weights, robust to outliers.

    share: of the points, the nearest of which a line is fitted to.
    Cleveland 1979, doi:10.1080/01621459.1979.10481038.

    >>> lowess(np.arange(10.0), 2 * np.arange(10.0), 0.5).round(6).tolist()[7:]
    [14.0, 16.0, 18.0]
    """
    apart = np.abs(x[:, None] - x)
    reach = np.maximum(np.sort(apart, axis=1)[:, int(np.ceil(share * len(x)))], 1e-12)
    near = (1 - np.clip(apart / reach[:, None], 0, 1) ** 3) ** 3
    robust, smooth = np.ones(len(x)), np.zeros(len(x))
    for _ in range(n_rounds):
        weights = near * robust
        for i, weight in enumerate(weights):
            columns = np.stack([np.ones(len(x)), x], axis=1)
            gram = (columns * weight[:, None]).T @ columns
            line = np.linalg.lstsq(gram, (columns * weight[:, None]).T @ y, rcond=None)[0]
            smooth[i] = line @ (1.0, x[i])
        residuals = y - smooth
        scale = float(np.median(np.abs(residuals)))
        away = (np.abs(residuals) > 0).astype(float) if scale == 0 else np.clip(residuals / (6 * scale), -1, 1)
        robust = (1 - away**2) ** 2
    return smooth
