"""Negative binomial mixtures of counts: log-likelihood of rows over stored values, and the sums that an M step needs.

With mean s mu, dispersion phi and a = mu phi, a row is described by what its counts contribute (a table per gene and
count, and powers of 1 + s a), and by a function of s alone for everything that zeros contribute; see `count_mixture`
in models. Genes outside the selection have position -1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LARGEST = 1e280  # a running product is turned into its logarithm before it exceeds this
FAR = 64  # from here on a sum of logarithms is an integral and three corrections
LANES = 4  # clusters are padded to a multiple of it: a loop that ends in the middle of a vector costs as much as two


@njit(cache=True, nogil=True)
def log_rising(first, last, phi):
    """Sum log(1 + t phi) over t = first, ..., last - 1 by the Euler-Maclaurin formula.

    `last` may be any real number; the error is below 1e-12 from first = FAR on.
    """
    if phi <= 0.0 or last <= first:
        return 0.0
    low, high = 1.0 + first * phi, 1.0 + last * phi
    integral = (last + 1.0 / phi) * math.log1p(last * phi) - (first + 1.0 / phi) * math.log1p(first * phi)
    ends = 0.5 * (math.log1p(last * phi) - math.log1p(first * phi))
    u, v = phi / low, phi / high
    return integral - (last - first) - ends + (v - u) / 12.0 - (v * v * v - u * u * u) / 360.0


@njit(cache=True, nogil=True)
def lagrange(x, nodes, weights, out):
    """Evaluate the Lagrange polynomials of the nodes at x, in barycentric form."""
    total = 0.0
    for m in range(len(nodes)):
        distance = x - nodes[m]
        if distance == 0.0:
            out[:] = 0.0
            out[m] = 1.0
            return
        out[m] = weights[m] / distance
        total += out[m]
    for m in range(len(nodes)):
        out[m] /= total


@njit(cache=True, nogil=True)
def _power(x, n):
    out = 1.0
    while n > 0:
        if n & 1:
            out *= x
        x *= x
        n >>= 1
    return out


@njit(cache=True, nogil=True)
def _flush(product, sums):
    for lane in range(len(product)):
        sums[lane] -= math.log(product[lane])
        product[lane] = 1.0


@njit(cache=True, nogil=True)
def row_scores(
    data, indices, indptr, position, size, starts, limits, table, pairs, top, phi, nodes, weights, zeros, scores
):
    """Compute the log-likelihood of each row in each cluster.

    data, indices, indptr: counts in compressed form, int32, int32 and int64.
    position: int32 per column: its gene, or -1.
    size: size factor of each row.
    starts, limits, table: gene j with count x <= limits[j]: entry starts[j] + x - 1 of the table (slots x lanes) holds
        x log mu + sum of log(1 + t phi) over t = 1, ..., x - 1.
    pairs: log mu and mu phi, genes x 2 x lanes: what most counts need, side by side. There are as many lanes as
        clusters, rounded up to a multiple of LANES, and zeros in those beyond.
    top: largest mu phi of each gene.
    phi: genes x clusters, read for counts above the limit.
    nodes, weights, zeros: nodes in log s, their barycentric weights, and what zeros contribute there, clusters x nodes.
    scores (out): rows x clusters.
    """
    n_clusters, width = phi.shape[1], pairs.shape[2]
    product, power, sums = np.ones(width), np.empty(width), np.empty(width)
    basis = np.empty(len(nodes))
    factorial = np.zeros(limits.max() + 1)
    for x in range(2, len(factorial)):
        factorial[x] = factorial[x - 1] + math.log(x)
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    genes, counts = np.empty((4, longest), np.int64), np.empty((4, longest), np.int64)
    ends = np.zeros(4, np.int64)
    for row in range(len(indptr) - 1):
        s = size[row]
        sums[:] = 0.0
        # apart by size of the count first: the same steps one after another spare the processor wrong guesses
        constant = math.log(s) * _sort_counts(
            data, indices, indptr[row], indptr[row + 1], position, limits, genes, counts, ends
        )
        bound = 1.0
        for place in range(ends[0]):
            gene = genes[0, place]
            factor = 1.0 + s * top[gene]
            if bound * factor > LARGEST:
                _flush(product, sums)
                bound = 1.0
            bound *= factor
            for lane in range(width):
                sums[lane] += pairs[gene, 0, lane]
                product[lane] *= 1.0 + s * pairs[gene, 1, lane]
        few, some, many = ends[1], ends[2], ends[3]
        bound = _add_few(s, genes[1, :few], counts[1, :few], starts, table, pairs, top, bound, product, sums)
        _add_some(s, genes[2, :some], counts[2, :some], starts, table, pairs, top, bound, product, power, sums)
        _flush(product, sums)
        for place in range(few):
            constant -= factorial[counts[1, place]]
        for place in range(some):
            constant -= factorial[counts[2, place]]
        for place in range(many):
            gene, count = genes[3, place], counts[3, place]
            constant -= math.lgamma(count + 1.0)
            limit = limits[gene]
            for k in range(n_clusters):  # above those of the table: on from its last entry
                value = (count - limit) * pairs[gene, 0, k] - count * math.log1p(s * pairs[gene, 1, k])
                if limit > 0:
                    value += table[starts[gene] + limit - 1, k]
                first = max(limit, 1)
                while first < min(count, FAR):
                    value += math.log1p(first * phi[gene, k])
                    first += 1
                sums[k] += value + log_rising(first, count, phi[gene, k])
        lagrange(math.log(s), nodes, weights, basis)
        for k in range(n_clusters):
            zero = 0.0
            for m in range(len(nodes)):
                zero += basis[m] * zeros[k, m]
            scores[row, k] = sums[k] + constant - zero


@njit(cache=True, nogil=True)
def _add_few(s, genes, counts, starts, table, pairs, top, bound, product, sums):
    """Add counts of 2 to 4: four factors, of which the last two may be 1."""
    for place in range(len(genes)):
        gene, count = genes[place], counts[place]
        slot = starts[gene] + count - 1
        factor = _power(1.0 + s * top[gene], 4)
        if not factor <= LARGEST:
            _add_logarithms(count, s, pairs[gene], table[slot], sums)
            continue
        if bound * factor > LARGEST:
            _flush(product, sums)
            bound = 1.0
        bound *= factor
        third, fourth = s * (count > 2), s * (count > 3)
        for lane in range(len(sums)):
            rate = pairs[gene, 1, lane]
            twice = (1.0 + s * rate) * (1.0 + s * rate)
            product[lane] *= twice * ((1.0 + third * rate) * (1.0 + fourth * rate))
            sums[lane] += table[slot, lane]
    return bound


@njit(cache=True, nogil=True)
def _add_some(s, genes, counts, starts, table, pairs, top, bound, product, power, sums):
    """Add counts up to the limit: powers by repeated squaring, all clusters side by side."""
    for place in range(len(genes)):
        gene, count = genes[place], counts[place]
        slot = starts[gene] + count - 1
        factor = _power(1.0 + s * top[gene], count)
        if not factor <= LARGEST:
            _add_logarithms(count, s, pairs[gene], table[slot], sums)
            continue
        if bound * factor > LARGEST:
            _flush(product, sums)
            bound = 1.0
        bound *= factor
        for lane in range(len(sums)):
            sums[lane] += table[slot, lane]
            power[lane] = 1.0 + s * pairs[gene, 1, lane]
        left = count
        while left > 0:
            if left & 1:
                for lane in range(len(sums)):
                    product[lane] *= power[lane]
            left >>= 1
            for lane in range(len(sums)):
                power[lane] *= power[lane]


@njit(cache=True, nogil=True)
def _sort_counts(data, indices, first, last, position, limits, genes, counts, ends):
    """Group genes and counts by size: 1, up to 4, up to the limit, and above; return the sum of the counts."""
    ends[:] = 0
    total = 0.0
    for place in range(first, last):
        gene, count = position[indices[place]], data[place]
        if gene < 0 or count <= 0:
            continue
        total += count
        kind = 3 if count > limits[gene] else (count > 1) + (count > 4)
        end = ends[kind]
        genes[kind, end] = gene
        counts[kind, end] = count
        ends[kind] = end + 1
    return total


@njit(cache=True, nogil=True)
def _add_logarithms(count, s, pair, entry, sums):
    for lane in range(len(sums)):
        sums[lane] += entry[lane] - count * math.log1p(s * pair[1, lane])


@njit(cache=True, nogil=True)
def responsibilities(scores, log_weight, smallest, likelihood):
    """Turn log-likelihoods (rows x clusters) into responsibilities, in place.

    scores: rows x clusters, changed in place; probabilities below `smallest` become 0.
    log_weight: log of the weight of each cluster.
    smallest: probabilities below it are dropped.
    likelihood (out): per row: log of the likelihood over all clusters.
    """
    for row in range(len(scores)):
        score = scores[row]
        best = -np.inf
        for k in range(len(score)):
            score[k] += log_weight[k]
            best = max(best, score[k])
        total = 0.0
        if best == -np.inf:  # impossible in every cluster: no cluster is likelier than another
            score[:] = 1.0
            total = float(len(score))
        else:
            for k in range(len(score)):
                score[k] = math.exp(score[k] - best)
                total += score[k]
        likelihood[row] = best + math.log(total)
        for k in range(len(score)):
            score[k] /= total
            if score[k] < smallest:
                score[k] = 0.0


@njit(cache=True, nogil=True)
def fill_table(log_mean, phi, starts, limits, table, pairs, top, first, last):
    """Write table, pairs and top of `row_scores` for genes first to last, from genes x clusters.

    The entries of clusters that do not exist, and of slots after the limit, stay as they are: zeros.
    """
    rise = np.empty(log_mean.shape[1])
    for gene in range(first, last):
        rise[:] = 0.0
        for k in range(len(rise)):
            rate = math.exp(log_mean[gene, k]) * phi[gene, k]
            pairs[gene, 0, k] = log_mean[gene, k]
            pairs[gene, 1, k] = rate
            top[gene] = max(top[gene], rate) if k > 0 else rate
        for slot in range(starts[gene], starts[gene] + limits[gene]):
            count = slot - starts[gene] + 1
            for k in range(len(rise)):
                if count > 1 and phi[gene, k] > 0.0:
                    rise[k] += math.log1p((count - 1) * phi[gene, k])
                table[slot, k] = count * log_mean[gene, k] + rise[k]


@njit(cache=True, nogil=True)
def zero_part(mean, phi, sizes, first, last, out):
    """Add the negative log-likelihood of zeros of genes first to last: sum over genes of log(1 + s mu phi) / phi.

    mean, phi: genes x clusters.
    sizes: size factors at which it is evaluated.
    first, last: genes that are added.
    out (added to): clusters x sizes.
    """
    for gene in range(first, last):
        for k in range(mean.shape[1]):
            mu, f = mean[gene, k], phi[gene, k]
            a = mu * f
            for m in range(len(sizes)):
                if f > 0.0:
                    out[k, m] += math.log1p(sizes[m] * a) / f
                else:
                    out[k, m] += sizes[m] * mu
