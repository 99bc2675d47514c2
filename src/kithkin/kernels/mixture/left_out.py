"""Leave-one-out likelihood of a mixture of counts: what a cell gave to its own cluster is taken back first.

A mean is (S + shape) / (N + rate) with S the counts and N = sum of z s (1 + phi x) / (1 + s a) the exposure of a gene
in a cluster, which at phi = 0 is the sum of size factors: so taking a cell back is a subtraction from both. With
phi > 0 the exposure depends on the mean, as a = mu phi: near it N + rate goes like mu^-(1 - b) with
b = (Q + rate) / (N + rate) and Q = sum of z s (1 + phi x) / (1 + s a)^2. So the step in log mu is divided by b.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kithkin.kernels.mixture.likelihood import lagrange

ABSENT = 1e-3  # a smaller share in a cluster is not worth taking back
ROUGH = 0.01  # error in log-likelihood from which on a sum over genes is worth its time
STRIDE = 2.0  # a longer step in log mu is not divided by b


@njit(cache=True, nogil=True)
def exposures(V, W, sizes, log_mean, phi, counts, exposure, slope):
    """Compute S, N and Q of each gene and cluster, genes x clusters, from sufficient statistics."""
    for gene in range(V.shape[1]):
        for k in range(len(V)):
            a = math.exp(log_mean[gene, k]) * phi[gene, k]
            total = 0.0
            once = 0.0
            twice = 0.0
            for m in range(len(sizes)):
                total += V[k, gene, m]
                weight = sizes[m] * (W[k, m] + phi[gene, k] * V[k, gene, m]) / (1.0 + sizes[m] * a)
                once += weight
                twice += weight / (1.0 + sizes[m] * a)
            counts[gene, k] = max(total, 0.0)
            exposure[gene, k] = max(once, 0.0)
            slope[gene, k] = max(twice, 0.0)


@njit(cache=True, nogil=True)
def log_ratio(x, s, share, phi, log_mu, mu, counts, exposure, slope, shape, rate):
    """Compute the log of the mean of one gene without a share of a cell of size s and count x, over that with it."""
    part = 1.0 + s * mu * phi
    weight = share * s * (1.0 + phi * x) / part
    left = max(exposure - weight, 0.0) + rate
    step = math.log((max(counts - share * x, 0.0) + shape) / left) - log_mu
    if phi == 0.0:
        return step
    longest = max(abs(step), STRIDE)
    return min(max(step * left / (max(slope - weight / part, 0.0) + rate), -longest), longest)


@njit(cache=True, nogil=True)
def zero_change(counts, exposure, slope, log_mean, phi, shape, rates, k, s, share):
    """Compute what zeros take in a cell of size s of which a share is left out of cluster k, less what they take else.

    Both are negative log-likelihoods.
    """
    change = 0.0
    for gene in range(len(phi)):
        f, log_mu = phi[gene, k], log_mean[gene, k]
        mu = math.exp(log_mu)
        sums = counts[gene, k], exposure[gene, k], slope[gene, k]
        mean = mu * math.exp(log_ratio(0.0, s, share, f, log_mu, mu, *sums, shape, rates[gene]))
        if f > 0.0:
            change += (math.log1p(s * f * mean) - math.log1p(s * f * mu)) / f
        else:
            change += s * (mean - mu)
    return change


@njit(cache=True, nogil=True)
def zero_changes(counts, exposure, slope, log_mean, phi, shape, rates, sizes, out):
    """Write `zero_change` of a whole cell, clusters x sizes."""
    for k in range(len(out)):
        for m in range(len(sizes)):
            out[k, m] = zero_change(counts, exposure, slope, log_mean, phi, shape, rates, k, sizes[m], 1.0)


@njit(cache=True, nogil=True)
def leave_out(
    data, indices, indptr, position, size, z, counts, exposure, slope, log_mean, phi, shape, rates, nodes, weights,
    change, small, bend, scores,
):  # fmt: skip
    """Correct log-likelihoods of rows for leaving each row out of its own clusters.

    data, indices, indptr, position, size: as in `row_scores`.
    z: share that each row had in each cluster when counts and exposure were added up.
    counts, exposure, slope: S, N and Q, genes x clusters.
    log_mean, phi: genes x clusters.
    shape, rates: Gamma prior of the means.
    nodes, weights, change: nodes in log s, and there: what zeros take when a cell is left out, less what they take
        otherwise.
    small: whether one cell may be a large part of a cluster, where what zeros take is no smooth function of the size.
    bend: sum of the means of a cluster, divided by the square of its size: what zeros take is interpolated for the
        whole cell and is linear in the share but for about share (1 - share) s^3 bend. Where that is too much, and in
        small clusters, it is summed over the genes.
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
            if small[k] or share * (1.0 - share) * s * s * s * bend[k] > ROUGH:
                value -= zero_change(counts, exposure, slope, log_mean, phi, shape, rates, k, s, share)
            else:
                for m in range(len(nodes)):
                    value -= share * basis[m] * change[k, m]
            for place in range(indptr[row], indptr[row + 1]):
                gene, x = position[indices[place]], data[place]
                if gene < 0 or x <= 0:
                    continue
                f, log_mu = phi[gene, k], log_mean[gene, k]
                mu = math.exp(log_mu)
                sums = counts[gene, k], exposure[gene, k], slope[gene, k]
                zero = mu * math.exp(log_ratio(0.0, s, share, f, log_mu, mu, *sums, shape, rates[gene]))
                step = log_ratio(float(x), s, share, f, log_mu, mu, *sums, shape, rates[gene])
                mean = mu * math.exp(step)
                value += x * step
                if f > 0.0:
                    value += (math.log1p(s * f * zero) - math.log1p(s * f * mean)) / f
                    value += x * (math.log1p(s * mu * f) - math.log1p(s * f * mean))
                else:
                    value += s * (zero - mean)
            scores[row, k] += value
