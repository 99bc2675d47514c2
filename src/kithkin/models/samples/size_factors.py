"""Size factors: by how much deeper one sample is sequenced than another, from genes that hardly differ."""

from __future__ import annotations

import logging

import numpy as np

from kithkin.core.blocks import Array

log = logging.getLogger("kithkin")


def size_factors(counts: Array) -> Array:
    """Estimate the size factor of each sample as the median ratio of its counts to their geometric means.

    Where every gene has a count of zero, the geometric means are those of the positive counts, over all samples, and
    the factors are scaled to a geometric mean of 1 ("poscounts" of DESeq2 and of pydeseq2).

    Parameters
    ----------
    counts
        Samples x genes.

    Returns
    -------
    One factor for each sample.

    References
    ----------
    Anders and Huber 2010, doi:10.1186/gb-2010-11-10-r106.

    Examples
    --------
    >>> counts = np.array([[10, 4, 7, 0], [20, 8, 14, 3]])
    >>> (size_factors(counts)[1] / size_factors(counts)[0]).round(3)
    np.float64(2.0)
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(counts, np.float64))
    everywhere = np.isfinite(logs).all(axis=0)
    if everywhere.any():
        ratios = logs[:, everywhere] - logs[:, everywhere].mean(axis=0)
        factors: Array = np.exp(np.median(ratios, axis=1))
        return factors
    log.warning("no gene has a count in all of %s samples: size factors are those of the counts above 0", len(counts))
    positive = np.isfinite(logs)
    means = np.where(positive, logs, 0.0).mean(axis=0)
    usable = positive & (means > 0)
    some = [np.median(row[use] - means[use]) if use.any() else 0.0 for row, use in zip(logs, usable, strict=True)]
    scaled: Array = np.exp(np.array(some) - np.mean(some))
    return scaled
