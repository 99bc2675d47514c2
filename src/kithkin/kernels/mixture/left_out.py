"""Leave-one-out likelihood of a mixture of counts: what a cell gave to its own cluster is taken back first.

A mean is (S + shape) / (N + rate) with S the counts and N = sum of z s (1 + phi x) / (1 + s a) the exposure of a gene
in a cluster, which at phi = 0 is the sum of size factors: so taking a cell back is a subtraction from both.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kithkin.kernels.mixture.likelihood import lagrange

ABSENT = 1e-3  # a smaller share in a cluster is not worth taking back


@njit(cache=True, nogil=True)
def exposures(V, W, sizes, log_mean, phi, counts, exposure):
    """Compute expected counts and exposure of each gene and cluster, genes x clusters, from sufficient statistics."""
    for gene in range(V.shape[1]):
        for k in range(len(V)):
            a = math.exp(log_mean[gene, k]) * phi[gene, k]
            total = 0.0
            weighted = 0.0
            for m in range(len(sizes)):
                total += V[k, gene, m]
                weighted += sizes[m] * (W[k, m] + phi[gene, k] * V[k, gene, m]) / (1.0 + sizes[m] * a)
            counts[gene, k] = max(total, 0.0)
            exposure[gene, k] = max(weighted, 0.0)


@njit(cache=True, nogil=True)
def zero_part_left_out(counts, exposure, log_mean, phi, shape, rates, sizes, out):
    """Add the negative log-likelihood of zeros in a cell that is left out of its cluster, clusters x sizes."""
    for gene in range(len(phi)):
        for k in range(len(out)):
            f = phi[gene, k]
            a = math.exp(log_mean[gene, k]) * f
            for m in range(len(sizes)):
                s = sizes[m]
                mean = (counts[gene, k] + shape) / (max(exposure[gene, k] - s / (1.0 + s * a), 0.0) + rates[gene])
                out[k, m] += math.log1p(s * f * mean) / f if f > 0.0 else s * mean


@njit(cache=True, nogil=True)
def leave_out(
    data, indices, indptr, position, size, z, counts, exposure, log_mean, phi, shape, rates, nodes, weights, change,
    scores,
):  # fmt: skip
    """Correct log-likelihoods of rows for leaving each row out of its own clusters.

    data, indices, indptr, position, size: as in `row_scores`.
    z: share that each row had in each cluster when counts and exposure were added up.
    counts, exposure: S and N, genes x clusters.
    log_mean, phi: genes x clusters.
    shape, rates: Gamma prior of the means.
    nodes, weights, change: nodes in log s, and there: what zeros take when a cell is left out, less what they take
        otherwise.
    scores: rows x clusters, changed in place.
    """
    basis = np.empty(len(nodes))
    for row in range(len(indptr) - 1):
        s = size[row]
        lagrange(math.log(s), nodes, weights, basis)
        for k in range(scores.shape[1]):
            share = z[row, k]
            if share < ABSENT:
                continue
            value = 0.0
            for m in range(len(nodes)):
                value -= share * basis[m] * change[k, m]
            for place in range(indptr[row], indptr[row + 1]):
                gene, x = position[indices[place]], data[place]
                if gene < 0 or x <= 0:
                    continue
                f, log_mu = phi[gene, k], log_mean[gene, k]
                s_mu = s * math.exp(log_mu)
                weight = share * s / (1.0 + s_mu * f)
                zero = (counts[gene, k] + shape) / (max(exposure[gene, k] - weight, 0.0) + rates[gene])
                left = max(exposure[gene, k] - weight * (1.0 + f * x), 0.0) + rates[gene]
                mean = (max(counts[gene, k] - share * x, 0.0) + shape) / left
                value += x * (math.log(mean) - log_mu)
                if f > 0.0:
                    value += (math.log1p(s * f * zero) - math.log1p(s * f * mean)) / f
                    value += x * (math.log1p(s_mu * f) - math.log1p(s * f * mean))
                else:
                    value += s * (zero - mean)
            scores[row, k] += value
