"""Sums over rows of counts: what the M step of a mixture needs, and what its tables are laid out by."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kithkin.kernels.mixture.likelihood import lagrange


@njit(cache=True, nogil=True)
def add_statistics(
    data, indices, indptr, position, size, starts, cap, large_nodes, large_weights, nodes, weights, z, V, H, W
):
    """Add sufficient statistics of rows to the clusters in which they have a responsibility above 0.

    data, indices, indptr, position, size, starts, cap: as in `row_scores`.
    large_nodes, large_weights: nodes in log x for counts above cap, and their barycentric weights.
    nodes, weights: nodes in log s, and their barycentric weights.
    z: share of each row in each cluster.
    V (added to): clusters x genes x nodes: sum of z x l_m(s).
    H (added to): clusters x slots: sum of z over rows with count x, where x = cap stands for all counts from there on;
        after the slots of a gene with larger counts, sum of z x l_q(x) over these.
    W (added to): clusters x nodes: sum of z l_m(s).
    """
    n_nodes = len(nodes)
    basis = np.empty(n_nodes)
    large = np.empty(len(large_nodes))
    # cluster after cluster, so that the sums of one stay in the cache
    for k in range(len(V)):
        sums, tails, alone = V[k], H[k], W[k]
        for row in range(len(indptr) - 1):
            share = z[row, k]
            if share <= 0.0:
                continue
            lagrange(math.log(size[row]), nodes, weights, basis)
            for m in range(n_nodes):
                basis[m] *= share
                alone[m] += basis[m]
            for place in range(indptr[row], indptr[row + 1]):
                gene = position[indices[place]]
                count = data[place]
                if gene < 0 or count <= 0:
                    continue
                into = sums[gene]
                for m in range(n_nodes):
                    into[m] += count * basis[m]
                if count > 1:
                    slot = starts[gene] + min(count, cap) - 1
                    tails[slot] += share
                    if count > cap:
                        lagrange(math.log(count), large_nodes, large_weights, large)
                        for q in range(len(large)):
                            tails[slot + 1 + q] += share * count * large[q]


@njit(cache=True, nogil=True)
def survey_counts(data, indices, indptr, largest, sums, totals):
    """Update the largest count and the sum of each column, and write the sum of each row."""
    for row in range(len(indptr) - 1):
        total = 0.0
        for place in range(indptr[row], indptr[row + 1]):
            column, count = indices[place], data[place]
            largest[column] = max(largest[column], count)
            sums[column] += count
            total += count
        totals[row] = total
