"""Inverted lists: rows assigned to centers, lists that a row reaches, and comparison of the rows of two runs of lists.

What decides who is compared with whom is summed in the order of the columns, neither fused nor reassociated, so that it
does not depend on the processor: distances from many centers are computed side by side. Only the scores of candidates
come from BLAS.
"""

import numpy as np
from numba import njit

from kithkin.kernels.distance import FINITE, insert

HUGE = np.finfo(np.float32).max  # score of a neighbour that is not found yet
DENSE = 0.6  # sum of the fractions of two lists that look into each other, from which on all their pairs cost less


@njit(cache=True, nogil=True)
def _squares(rows, i, columns, squares):
    """Write the squared distances of row i from the centers, side by side in vector registers."""
    squares[:] = np.float32(0)
    for j in range(rows.shape[1]):
        value, column = rows[i, j], columns[j]
        for c in range(len(squares)):
            step = value - column[c]
            squares[c] += step * step


@njit(cache=True, nogil=True)
def nearest_center(rows, start, stop, columns, labels):
    """Write the nearest center of each row, in place; of equally near ones the first.

    rows: n x d float32.
    start, stop: the rows to do.
    columns: d x k float32, a center in each column.
    labels: length n int32, overwritten from start to stop.
    """
    squares = np.empty(columns.shape[1], np.float32)
    for i in range(start, stop):
        _squares(rows, i, columns, squares)
        label = 0
        for c in range(1, len(squares)):
            if squares[c] < squares[label]:
                label = c
        labels[i] = label


@njit(cache=True, nogil=True)
def move_centers(rows, labels, centers):
    """Move each center to the mean of its rows, in place; one without rows stays.

    rows: n x d float32.
    labels: length n int32.
    centers: k x d float32.
    """
    sums, counts = np.zeros(centers.shape), np.zeros(len(centers), np.int64)
    for i in range(len(rows)):
        counts[labels[i]] += 1
        for j in range(rows.shape[1]):
            sums[labels[i], j] += rows[i, j]
    for c in range(len(centers)):
        if counts[c]:
            for j in range(rows.shape[1]):
                centers[c, j] = sums[c, j] / counts[c]


@njit(cache=True, nogil=True)
def _smallest(values, wanted, work):
    """Return the wanted-th smallest value, counted from one, by quickselect."""
    work[:] = values
    low, high, at = 0, len(work) - 1, wanted - 1
    while low < high:
        pivot, i, j = work[(low + high) // 2], low, high
        while i <= j:
            while work[i] < pivot:
                i += 1
            while work[j] > pivot:
                j -= 1
            if i <= j:
                work[i], work[j] = work[j], work[i]
                i += 1
                j -= 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            break
    return work[at]


@njit(cache=True, nogil=True)
def find_lists(rows, start, stop, columns, candidates, chosen):
    """Find the lists whose centers are nearest to each row; of equally near ones the first.

    rows: n x d float32.
    start, stop: the rows to do.
    columns: d x lists float32, a center in each column.
    candidates: numbers of lists to choose from, ascending.
    chosen: n x width integers, overwritten from start to stop: numbers of lists, ascending; the last number comes
        again where there are fewer candidates.
    """
    n, width = len(candidates), min(chosen.shape[1], len(candidates))
    near = np.empty((columns.shape[0], n), np.float32)
    for a in range(n):
        near[:, a] = columns[:, candidates[a]]
    squares, work = np.empty(n, np.float32), np.empty(n, np.float32)
    for i in range(start, stop):
        _squares(rows, i, near, squares)
        limit = _smallest(squares, width, work)
        left, at = width, 0
        for a in range(n):
            left -= squares[a] < limit
        for a in range(n):
            if squares[a] < limit or (squares[a] == limit and left > 0):
                left -= squares[a] == limit
                chosen[i, at] = candidates[a]
                at += 1
        chosen[i, at:] = chosen[i, at - 1]


@njit(cache=True, nogil=True)
def list_ranks(rows, i, columns, goals, ranks):
    """Write how many centers lie nearer to row i than each of some do, in place; of equally near ones the first counts.

    rows: n x d float32.
    columns: d x lists float32, a center in each column.
    goals: numbers of lists.
    ranks: like goals, int32, overwritten.
    """
    far = np.empty(columns.shape[1], np.float32)
    _squares(rows, i, columns, far)
    for a in range(len(goals)):
        goal, ranks[a] = far[goals[a]], 0
        for c in range(len(far)):
            ranks[a] += far[c] < goal or (far[c] == goal and c < goals[a])


@njit(cache=True, nogil=True)
def _looks(chosen, start, stop, first, last, looks):
    """Mark which of the lists first to last each of the rows start to stop looks into."""
    looks[:] = False
    for i in range(start, stop):
        low, high = 0, chosen.shape[1]
        while low < high:
            middle = (low + high) // 2
            if chosen[i, middle] < first:
                low = middle + 1
            else:
                high = middle
        while low < chosen.shape[1] and chosen[i, low] < last:
            looks[chosen[i, low] - first, i - start] = True
            low += 1


@njit(cache=True, nogil=True)
def _choose(looks, first, chosen):
    """Write the numbers of the marked rows; return how many there are."""
    count = 0
    for i in range(len(looks)):
        if looks[i]:
            chosen[count] = first + i
            count += 1
    return count


@njit(cache=True, nogil=True, fastmath=FINITE)
def _around(rows, start, stop, center, out):
    """Write rows around a center, beside half their squared length and a one."""
    d = rows.shape[1]
    for i in range(start, stop):
        row, target, total = rows[i], out[i - start], np.float32(0)
        for j in range(d):
            step = row[j] - center[j]
            total += step * step
            target[j] = step
        target[d] = total / 2
        target[d + 1] = np.float32(1)


@njit(cache=True, nogil=True)
def _gather(source, chosen, n, start, out):
    """Copy chosen rows with the opposite sign of their coordinates, and their half length and one in turn.

    The product of such a row with one as _around leaves it is half their squared distance.
    """
    d = source.shape[1] - 2
    for a in range(n):
        row, target = source[chosen[a] - start], out[a]
        for j in range(d):
            target[j] = -row[j]
        target[d], target[d + 1] = row[d + 1], row[d]


@njit(cache=True, nogil=True, fastmath=FINITE)
def _mark(scores, worst, others, marks):
    """Mark the scores below the worst that their row, or their column, keeps."""
    for b in range(len(scores)):
        marks[b] = scores[b] < max(worst, others[b])


@njit(cache=True, nogil=True)
def _merge(scores, left, first, done, both, others, marks, ids, squares):
    """Keep the smallest scores of a tile for the rows on its left and, if `both`, for those of its columns.

    The columns are rows from `first` on; those that are `done` are passed over, and so is a row itself.
    """
    last, width = ids.shape[1] - 1, scores.shape[1]
    for b in range(width):
        others[b] = squares[first + b, last] if both else -np.inf
    marks[:] = False
    words = marks.view(np.uint64)
    for a in range(scores.shape[0]):
        i = left[a]
        _mark(scores[a], squares[i, last], others[:width], marks[:width])
        for word in range((width + 7) // 8):
            if words[word] == 0:
                continue
            for b in range(8 * word, min(8 * word + 8, width)):
                score, j = scores[a, b], first + b
                if not marks[b] or done[b] or i == j:
                    continue
                if score < squares[i, last]:
                    insert(squares, ids, i, score, j)
                if both and score < others[b]:
                    insert(squares, ids, j, score, i)
                    others[b] = squares[j, last]


@njit(cache=True, nogil=True)
def compare(rows, bounds, columns, chosen, first, second, ids, squares):
    """Compare the rows of two runs of lists, where a row of a pair looks into the list of the other, in place.

    Each such pair is scored once, for both of its rows. Two of these calls must not share a run at the same time.

    rows: n x d float32, ordered by list.
    bounds: first row of each list, and the end.
    columns: d x lists float32, a center in each column.
    chosen: n x width integers, the lists that each row looks into, ascending; without columns: all.
    first, second: first list and end of each run; the runs are equal or disjoint.
    ids, squares: n x kept int32 and float32, ascending: numbers and about half the squared distances of the nearest
        rows so far. Fill them with -1 and a huge finite number at first.
    """
    d, same, most = rows.shape[1], first[0] == second[0], 0
    for q in range(len(bounds) - 1):
        most = max(most, bounds[q + 1] - bounds[q])
    left, right = np.empty((most, d + 2), np.float32), np.empty((most, d + 2), np.float32)
    part = np.empty((most, d + 2), np.float32)
    tile, others = np.empty(most * most, np.float32), np.empty(most, np.float32)
    marks, none = np.zeros((most + 7) // 8 * 8, np.bool_), np.zeros(most, np.bool_)
    numbers = np.empty(most, np.int64)
    starts = bounds[first[0]], bounds[second[0]]
    ahead = np.ones((second[1] - second[0], bounds[first[1]] - starts[0]), np.bool_)
    back = np.zeros((first[1] - first[0], bounds[second[1]] - starts[1]), np.bool_)
    if chosen.shape[1]:
        _looks(chosen, starts[0], bounds[first[1]], second[0], second[1], ahead)
        _looks(chosen, starts[1], bounds[second[1]], first[0], first[1], back)
    for q in range(first[0], first[1]):
        start, stop = bounds[q], bounds[q + 1]
        center = columns[:, q].copy()
        _around(rows, start, stop, center, left)
        for p in range(q if same else second[0], second[1]):
            begin, end = bounds[p], bounds[p + 1]
            near = ahead[p - second[0], start - starts[0] : stop - starts[0]]
            looked = back[q - first[0], begin - starts[1] : end - starts[1]]
            n_near, n_looked = near.sum(), looked.sum()
            if p == q or n_near / (stop - start) + n_looked / (end - begin) > DENSE:
                near[:], n_near, n_looked = True, stop - start, 0
            # the rows of q that look into p with all of p, then the rows of p that look into q with the others of q
            if n_near or n_looked:
                _around(rows, begin, end, center, right)
            if n_near:
                _choose(near, start, numbers)
                _gather(left, numbers, n_near, start, part)
                scores = tile[: n_near * (end - begin)].reshape(n_near, end - begin)
                np.dot(part[:n_near], right[: end - begin].T, scores)
                _merge(scores, numbers, begin, none, p != q, others, marks, ids, squares)
            if n_looked and n_near < stop - start:
                _choose(looked, begin, numbers)
                _gather(right, numbers, n_looked, begin, part)
                scores = tile[: n_looked * (stop - start)].reshape(n_looked, stop - start)
                np.dot(part[:n_looked], left[: stop - start].T, scores)
                _merge(scores, numbers, start, near, True, others, marks, ids, squares)
