"""Fuzzy neighbourhood graph of UMAP: from distances to weights, and the union of both directions."""

import numpy as np
from numba import njit

from kithkin.kernels.elementary import single_exponential

TOLERANCE = np.float32(1e-5)
SMALLEST_SCALE = np.float32(1e-3)
HUGE = np.float32(np.finfo(np.float32).max)
UNIT = np.float32(2.0**-20)  # of weights: sums of them are exact


@njit(cache=True, nogil=True)
def membership(distances, start, stop, mean, weights):
    """Weigh each edge: 1 at the nearest neighbour, falling so that a row's weights sum to log2 of its size.

    Bisection for the width of the fall starts at 1 and takes 64 steps at most.

    distances: n x k float32, ascending, without the point itself.
    start, stop: the rows to do.
    mean: mean of all distances, the zero to the point itself included: a floor for rows of duplicates only.
    weights: n x k float32, of which the rows start to stop are written.
    """
    k = distances.shape[1]
    beyond, terms = np.empty(k, np.float32), np.empty(k, np.float32)
    target = np.float32(np.log2(k + 1))
    for i in range(start, stop):
        nearest = np.float32(0)
        total = np.float32(0)
        for a in range(k):
            total += distances[i, a]
            if nearest == 0 and distances[i, a] > 0:
                nearest = distances[i, a]
        for a in range(k):
            beyond[a] = max(distances[i, a] - nearest, np.float32(0))
        low, high, width = np.float32(0), HUGE, np.float32(1)
        for _step in range(64):
            sum_ = np.float32(0)
            for a in range(k):  # apart from the sum, so that several are computed at a time
                terms[a] = single_exponential(-(beyond[a] / width))
            for a in range(k):
                sum_ += terms[a]
            if abs(sum_ - target) < TOLERANCE:
                break
            if sum_ > target:
                high = width
                width = np.float32((low + high) / np.float32(2))
            else:
                low = width
                width = np.float32(width * np.float32(2) if high >= HUGE else (low + high) / np.float32(2))
        floor = SMALLEST_SCALE * (total / np.float32(k + 1) if nearest > 0 else np.float32(mean))
        width = max(width, floor)
        for a in range(k):
            weights[i, a] = np.float32(1) if beyond[a] <= 0 or width == 0 else single_exponential(-(beyond[a] / width))


@njit(cache=True, nogil=True)
def count_sources(ids, pointers):
    """Count where the edges to each target begin when edges are sorted by it.

    ids: n x k, targets of each row's edges.
    pointers: length n + 1 int64, zero at first.
    """
    n, k = ids.shape
    for i in range(n):
        for a in range(k):
            pointers[ids[i, a] + 1] += 1
    for i in range(n):
        pointers[i + 1] += pointers[i]


@njit(cache=True, nogil=True)
def transpose(ids, weights, start, stop, pointers, rows, values):
    """Sort the edges to the targets start to stop by their target: part of the column form of a graph.

    ids, weights: n x k, target and weight of each row's edges.
    pointers: length n + 1 int64, from count_sources.
    rows, values: length pointers[stop] - pointers[start], overwritten: sources in ascending order for each target, and
        weights.
    """
    n, k = ids.shape
    at = pointers[start:stop] - pointers[start]
    for i in range(n):
        for a in range(k):
            j = ids[i, a] - start
            if 0 <= j < stop - start:
                rows[at[j]] = i
                values[at[j]] = weights[i, a]
                at[j] += 1


@njit(cache=True, nogil=True)
def union(ids, weights, start, stop, pointers, rows, values, indptr, indices, data):
    """Form the probabilistic union a + b - ab of a graph and its transpose, in compressed rows with ascending columns.

    Weights are rounded to whole multiples of 2^-20.

    ids, weights: n x k; each row sorted by target.
    start, stop: the rows to do, behind those that are done.
    pointers, rows, values: the edges to these by target, from count_sources and transpose.
    indptr: length n + 1, integers, written from start + 1 to stop.
    indices, data: written from indptr[start] on; edges of weight zero are left out.
    """
    n, k = ids.shape
    at = indptr[start]
    for i in range(start, stop):
        a, b, end = 0, pointers[i] - pointers[start], pointers[i + 1] - pointers[start]
        while a < k or b < end:
            out = ids[i, a] if a < k else n
            back = rows[b] if b < end else n
            weight = np.float32(0)
            if out <= back:
                weight = weights[i, a]
                a += 1
            if back <= out:
                weight = weight + values[b] - weight * values[b]
                b += 1
            weight = np.float32(np.rint(weight / UNIT)) * UNIT
            if weight > 0:
                indices[at] = min(out, back)
                data[at] = weight
                at += 1
        indptr[i + 1] = at
