"""Distances: the nearest few of many candidates, and sums of rows by group.

Squared distances come from a matrix product: |x - c|^2 = |x|^2 + (|c|^2 - 2 x.c), and the bracket alone decides which
c is nearest. The product is BLAS; what it leaves to do is here.
"""

import numpy as np
from numba import njit

LANES = 32
FINITE = {"nnan", "nsz", "reassoc", "contract"}  # let a minimum or a sum run in vector registers


@njit(cache=True, nogil=True)
def insert(best, best_ids, i, score, number):
    """Insert a score that is smaller than the last of row i into its list, whose last is dropped, in place.

    best: rows x kept, ascending.
    best_ids: rows x kept, the number of each.
    """
    slot = best.shape[1] - 1
    while slot > 0 and best[i, slot - 1] > score:
        best[i, slot] = best[i, slot - 1]
        best_ids[i, slot] = best_ids[i, slot - 1]
        slot -= 1
    best[i, slot] = score
    best_ids[i, slot] = number


@njit(cache=True, nogil=True, fastmath=FINITE)
def keep_smallest(scores, ids, best, best_ids):
    """Merge a tile of scores into each row's list of the smallest so far, in place.

    Most candidates are worse than the worst kept: one vectorised minimum turns down 32 of them at a time.

    scores: rows x candidates, without NaN.
    ids: the number of each candidate, int32.
    best: rows x kept, ascending, the smallest scores so far; fill it with a huge finite number at first.
    best_ids: rows x kept, int32, the numbers of these candidates.
    """
    n_candidates = scores.shape[1]
    last = best.shape[1] - 1
    for i in range(scores.shape[0]):
        worst = best[i, last]
        for start in range(0, n_candidates, LANES):
            stop = min(start + LANES, n_candidates)
            if stop - start == LANES:
                low = scores[i, start]
                for j in range(start, start + LANES):
                    low = min(low, scores[i, j])
                if low >= worst:
                    continue
            for j in range(start, stop):
                score = scores[i, j]
                if score < worst:
                    insert(best, best_ids, i, score, ids[j])
                    worst = best[i, last]


@njit(cache=True, nogil=True)
def sparse_scores(data, indices, indptr, columns, base, scores):
    """Write base_c + x.columns_c to scores for each sparse row x and each dense row c.

    data, indices, indptr: the sparse rows, as in core.blocks.SparseRows.
    columns: p x k float32: the dense rows, transposed so that one stored value meets all of them at once.
    base: length k float32.
    scores: rows x k float32, overwritten.
    """
    width = columns.shape[1]
    for i in range(len(indptr) - 1):
        for c in range(width):
            scores[i, c] = base[c]
        for at in range(indptr[i], indptr[i + 1]):
            value = np.float32(data[at])
            j = indices[at]
            for c in range(width):
                scores[i, c] += value * columns[j, c]


@njit(cache=True, nogil=True, fastmath=FINITE)
def add_dense(block, labels, centers, sums, counts, spread):
    """Add each row to its group's sum, and its squared distance from the group's center to spread, in place.

    block: rows x p.
    labels: int32, group of each row.
    centers: k x p float64.
    sums: k x p float64.
    counts: length k int64.
    spread: length rows float64, overwritten.
    """
    for i in range(block.shape[0]):
        group = labels[i]
        counts[group] += 1
        total = 0.0
        for j in range(block.shape[1]):
            value = np.float64(block[i, j])
            sums[group, j] += value
            total += (value - centers[group, j]) ** 2
        spread[i] = total


@njit(cache=True, nogil=True)
def add_sparse(data, indices, indptr, labels, centers, sums, counts, spread):
    """Do what add_dense does, for sparse rows.

    data, indices, indptr: the sparse rows, as in core.blocks.SparseRows.
    labels, centers, sums, counts, spread: as for add_dense.
    """
    norms = np.zeros(len(counts))
    for group in range(len(counts)):
        for j in range(centers.shape[1]):
            norms[group] += centers[group, j] ** 2
    for i in range(len(indptr) - 1):
        group = labels[i]
        counts[group] += 1
        total = norms[group]
        for at in range(indptr[i], indptr[i + 1]):
            value = np.float64(data[at])
            j = indices[at]
            sums[group, j] += value
            total += value * (value - 2 * centers[group, j])
        spread[i] = max(total, 0.0)
