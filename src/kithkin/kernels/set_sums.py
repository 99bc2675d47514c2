"""Sums over sets of columns, row by row: of ranks within the row, with ties shared or broken, or of values."""

from __future__ import annotations

import numpy as np
from numba import njit

# multiplied with a single bit, the highest six bits of the product tell which bit it is (de Bruijn)
SEQUENCE, PLACE_OF = np.uint64(0x03F79D71B4CB0A89), np.zeros(64, np.int64)
for _bit in range(64):
    PLACE_OF[((0x03F79D71B4CB0A89 << _bit) % 2**64) >> 58] = _bit


@njit(cache=True, nogil=True)
def longest_row(indptr):
    """Return the largest number of stored values of a row."""
    longest = 0
    for row in range(indptr.size - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    return longest


@njit(cache=True, nogil=True)
def sum_shared_ranks(data, indices, indptr, whole, starts, members, last_rank, gains):
    """Add up by how much the ranks of the columns of each set are better than the last rank that counts.

    The largest value of a row has rank 1, equal values share the mean of their ranks, and zeros have the last rank.

    data, indices, indptr: rows in compressed form, no value negative.
    whole: all values are integers.
    starts, members: sets of each column: those of column j are members[starts[j] : starts[j + 1]].
    last_rank: rank from which on there is no gain.
    gains (added to): float64 of rows x sets.
    """
    longest = longest_row(indptr)
    tally, shared = np.zeros(8 * longest + 65, np.int64), np.zeros(8 * longest + 65)
    values, columns = np.empty(longest), np.empty(longest, np.int64)
    for row in range(indptr.size - 1):
        n, top = 0, 0.0
        for k in range(indptr[row], indptr[row + 1]):
            value = np.float64(data[k])
            if value != 0:
                values[n], columns[n] = value, indices[k]
                top = max(top, value)
                n += 1
        if whole and top <= 8 * n + 64:
            # small integers are counted, which takes a step for each value up to the largest
            for k in range(n):
                tally[np.int64(values[k])] += 1
            before = 0
            for value in range(np.int64(top), 0, -1):
                count = tally[value]
                shared[value] = before + (count + 1) / 2
                before += count
                tally[value] = 0
            for k in range(n):
                gain = last_rank - shared[np.int64(values[k])]
                if gain > 0:
                    for m in range(starts[columns[k]], starts[columns[k] + 1]):
                        gains[row, members[m]] += gain
            continue
        order = np.argsort(-values[:n], kind="mergesort")
        k = 0
        while k < n and k < last_rank:
            end = k + 1
            while end < n and values[order[end]] == values[order[k]]:
                end += 1
            gain = last_rank - (k + end + 1) / 2
            if gain > 0:
                for i in range(k, end):
                    column = columns[order[i]]
                    for m in range(starts[column], starts[column + 1]):
                        gains[row, members[m]] += gain
            k = end


@njit(cache=True, nogil=True)
def sum_ordered_ranks(data, indices, indptr, whole, place, starts, members, last_rank, gains):
    """Add up as `sum_shared_ranks` does, where equal values, zeros too, have ranks in a given order of the columns.

    place: int64 per column: its place in the order, from 0; -1 for a column that has no rank.
    starts, members: sets of the column at each place.
    """
    n_places = starts.size - 1
    longest = longest_row(indptr)
    words, held = np.zeros(n_places // 64 + 1, np.uint64), np.zeros(n_places)
    tally = np.zeros(8 * longest + 65, np.int64)
    values, places = np.empty(longest), np.empty(longest, np.int64)
    one = np.uint64(1)
    for row in range(indptr.size - 1):
        top = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            value, at = np.float64(data[k]), place[indices[k]]
            if value != 0 and at >= 0:
                held[at] = value
                words[at >> 6] |= one << np.uint64(at & 63)
                top = max(top, value)
        n = 0
        for word in range(words.size):  # places that hold a value, ascending
            bits = words[word]
            words[word] = 0
            while bits != 0:
                lowest = bits & (~bits + one)
                at = 64 * word + PLACE_OF[np.int64((lowest * SEQUENCE) >> np.uint64(58))]
                places[n], values[n] = at, held[at]
                n += 1
                bits ^= lowest
        if whole and top <= 8 * n + 64:
            for k in range(n):
                tally[np.int64(values[k])] += 1
            before = 0
            for value in range(np.int64(top), 0, -1):
                count = tally[value]
                tally[value] = before
                before += count
            for k in range(n):
                value = np.int64(values[k])
                tally[value] += 1
                gain = last_rank - tally[value]
                if gain > 0:
                    for m in range(starts[places[k]], starts[places[k] + 1]):
                        gains[row, members[m]] += gain
            for value in range(np.int64(top) + 1):
                tally[value] = 0
        else:
            order = np.argsort(-values[:n], kind="mergesort")
            for rank in range(1, min(n + 1, last_rank)):
                at = places[order[rank - 1]]
                for m in range(starts[at], starts[at + 1]):
                    gains[row, members[m]] += last_rank - rank
        rank, k = n, 0
        for at in range(n_places):  # zeros follow
            if rank + 1 >= last_rank:
                break
            if k < n and places[k] == at:
                k += 1
                continue
            rank += 1
            for m in range(starts[at], starts[at + 1]):
                gains[row, members[m]] += last_rank - rank


@njit(cache=True, nogil=True)
def sum_weighted(values, indices, indptr, starts, members, weights, sums):
    """Add up the values of the columns of each set, each times a weight.

    values, indices, indptr: rows in compressed form.
    starts, members: as in `sum_shared_ranks`.
    weights: float64, as long as members.
    sums (added to): float64 of rows x sets.
    """
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            column = indices[k]
            for m in range(starts[column], starts[column + 1]):
                sums[row, members[m]] += weights[m] * values[k]
