"""Ranks by group: blocks of rows turned gene-major, and rank sums and ties of sorted values without the zeros."""

from __future__ import annotations

import numpy as np
from numba import njit

from kithkin.kernels.elementary import log1p

MEMBER_BITS = 16  # a sorted key is (ordered value << 16) | group


@njit(cache=True, nogil=True)
def find(indices, start, stop, column):
    """Find the first position in start..stop whose column is at least the one given: for [1, 4, 7] and 5 it is 2."""
    while start < stop:
        middle = (start + stop) // 2
        if indices[middle] < column:
            start = middle + 1
        else:
            stop = middle
    return start


@njit(cache=True, nogil=True)
def count_columns(indices, indptr, groups, first, last, starts):
    """Count the offsets of columns first to last in a column-by-column copy of some rows.

    indices, indptr: rows in compressed form, columns ascending within a row.
    groups: group of each row; rows with a negative one are left out.
    first, last: range of columns.
    starts: int64, last - first + 1, written.
    """
    starts[:] = 0
    for row in range(groups.size):
        if groups[row] < 0:
            continue
        for k in range(find(indices, indptr[row], indptr[row + 1], first), indptr[row + 1]):
            column = indices[k]
            if column >= last:
                break
            starts[column - first + 1] += 1
    for column in range(last - first):
        starts[column + 1] += starts[column]


@njit(cache=True, nogil=True)
def to_columns(data, indices, indptr, groups, scale, first, last, position, values, members):
    """Lay out the values of some rows column by column, each with the group of its row.

    data, indices, indptr, groups, first, last: as in `count_columns`.
    scale: float32, divisor of each row before log1p; empty: values stay as they are. Quotient and logarithm are
        rounded to single precision.
    position: position of the next value of each column, advanced; at the beginning the starts from `count_columns`.
    values, members (written): value and group, column by column, in the order of the rows.
    """
    table = np.empty(16, np.float32)  # of small counts each row needs a few logarithms, however many values it has
    for row in range(groups.size):
        if groups[row] < 0:
            continue
        known = 0
        for k in range(find(indices, indptr[row], indptr[row + 1], first), indptr[row + 1]):
            if indices[k] >= last:
                break
            slot = position[indices[k] - first]
            position[indices[k] - first] += 1
            if not scale.size:
                values[slot] = data[k]
            elif 0 <= data[k] < 16 and data[k] == np.floor(data[k]):
                count = np.int64(data[k])
                while known <= count:
                    table[known] = log1p(np.float64(np.float32(known) / scale[row]))
                    known += 1
                values[slot] = table[count]
            else:
                values[slot] = log1p(np.float64(np.float32(data[k]) / scale[row]))
            members[slot] = groups[row]


@njit(cache=True, nogil=True)
def take_values(data, rows, groups, scale, values, members):
    """Write values that lie column by column, each with the group of its row, as `to_columns` does.

    data, rows: values and their rows.
    groups, scale: group and divisor of each row, as in `to_columns`; the divisors are there.
    values, members (written): value and group.
    """
    # as in to_columns, but for rows in any order; one function for both makes that twice as slow
    table = np.full((groups.size, 16), np.float32(-1))  # logarithms of small counts, once they are known
    for k in range(data.size):
        row = rows[k]
        members[k] = groups[row]
        if 0 <= data[k] < 16 and data[k] == np.floor(data[k]):
            count = np.int64(data[k])
            if table[row, count] < 0:
                table[row, count] = log1p(np.float64(np.float32(count) / scale[row]))
            values[k] = table[row, count]
        else:
            values[k] = log1p(np.float64(np.float32(data[k]) / scale[row]))


@njit(cache=True, nogil=True)
def gather(values, bits, members, starts, first, last, codes, group_of, ends, stored, sums, squares, cubes):
    """Collect columns from the parts in which they lie, as unsigned integers that sort like the values.

    values, bits, members: value, the same as unsigned integers of its width, and group, part after part, each part
        column by column.
    starts: parts x (columns + 1): begin of each column in each part.
    first, last: range of columns to collect.
    codes, group_of (written): ordered code and group of the values that are not zero, column after column.
    ends (written): last - first + 1 bounds of the columns in codes, from 0.
    stored, sums, squares, cubes: columns x groups, advanced: number of values that are not zero, and the sums of their
        first three powers.
    """
    top = codes.dtype.type(1) << codes.dtype.type(8 * codes.itemsize - 1)
    n = 0
    ends[0] = 0
    for column in range(first, last):
        at = column - first
        for part in range(starts.shape[0]):
            for k in range(starts[part, column], starts[part, column + 1]):
                value = np.float64(values[k])
                if value == 0:
                    continue
                member = members[k]
                if value < 0:
                    codes[n] = ~bits[k]
                else:
                    codes[n] = bits[k] | top
                group_of[n] = member
                n += 1
                stored[at, member] += 1
                sums[at, member] += value
                squares[at, member] += value * value
                cubes[at, member] += value * value * value
        ends[at + 1] = n


@njit(cache=True, nogil=True)
def tie_term(count):
    """Return t^3 - t, the contribution of a run of t equal values to the tie term, as a float: tie_term(2) is 6."""
    t = np.float64(count)
    return t * t * t - t


@njit(cache=True, nogil=True)
def rank_rest(keys, ends, zero, zeros, twice, ties, thirds):
    """Compute the rank sums of each group among all cells, and the tie term, for several genes.

    keys: uint64, (ordered value << 16) | group, ascending within each gene.
    ends: bounds of the genes in keys, genes + 1.
    zero: uint64 per gene: the ordered value of zero.
    zeros: genes x groups: number of values that are zero, which are not among the keys.
    twice, ties, thirds (written): twice the sum of midranks, int64, genes x groups; sum of t^3 - t over runs of equal
        values, genes; sum of (midrank - mean of all)^3, genes.
    """
    shift, mask = np.uint64(MEMBER_BITS), np.uint64((1 << MEMBER_BITS) - 1)
    for gene in range(ends.size - 1):
        sums = twice[gene]
        sums[:] = 0
        term, third, before, k, stop = 0.0, 0.0, 0, ends[gene], ends[gene + 1]
        total, passed = stop - k + zeros[gene].sum(), False
        while k < stop or not passed:
            if not passed and (k == stop or keys[k] >> shift > zero[gene]):
                passed = True
                run = zeros[gene].sum()
                for group in range(zeros.shape[1]):
                    sums[group] += zeros[gene, group] * (2 * before + run + 1)
            else:
                value, begin = keys[k] >> shift, k
                while k < stop and keys[k] >> shift == value:
                    k += 1
                run = k - begin
                for i in range(begin, k):
                    sums[keys[i] & mask] += 2 * before + run + 1
            middle = before + (run - total) / 2
            third += run * middle * middle * middle
            before += run
            if run > 1:
                term += tie_term(run)
        ties[gene], thirds[gene] = term, third


@njit(cache=True, nogil=True)
def add_run(run, present, references, lower, wins, own, joint):
    """Count one run of equal values for every pair of a group in it and a reference.

    run: values of each group in the run.
    present: groups that are in the run.
    references: groups that others are compared with.
    lower: values of each reference before the run, advanced.
    wins: groups x references: twice the pairs that the group wins, ties as one, advanced.
    own, joint: tie terms within a group, and what a group and a reference have in common, advanced.
    """
    for group in present:
        count = run[group]
        own[group] += tie_term(count)
        for r in range(references.size):
            other = run[references[r]]
            wins[group, r] += count * (2 * lower[r] + other)
            if other > 0:
                joint[group, r] += tie_term(count + other) - tie_term(count) - tie_term(other)
    for r in range(references.size):
        lower[r] += run[references[r]]


@njit(cache=True, nogil=True)
def rank_pairs(keys, ends, zero, zeros, references, wins, own, joint):
    """Compare each group with each reference alone, for several genes.

    keys, ends, zero, zeros: as in `rank_rest`.
    references: groups that others are compared with.
    wins (written): genes x groups x references, twice the Mann-Whitney U; of a group with itself: without meaning.
    own, joint (written): genes x groups and genes x groups x references; own[a] + own[r] + joint[a, r] is the sum of
        t^3 - t over the runs of equal values of the two groups together.
    """
    shift, mask, n_groups = np.uint64(MEMBER_BITS), np.uint64((1 << MEMBER_BITS) - 1), zeros.shape[1]
    wins[:], own[:], joint[:] = 0, 0.0, 0.0
    run, present = np.zeros(n_groups, np.int64), np.empty(n_groups, np.int64)
    lower, slot = np.zeros(references.size, np.int64), np.full(n_groups, -1)
    for r in range(references.size):
        slot[references[r]] = r
    for gene in range(ends.size - 1):
        lower[:] = 0
        k, stop, passed = ends[gene], ends[gene + 1], False
        while k < stop or not passed:
            n = 0
            if not passed and (k == stop or keys[k] >> shift > zero[gene]):
                passed = True
                for group in range(n_groups):
                    if zeros[gene, group] > 0:
                        run[group], present[n] = zeros[gene, group], group
                        n += 1
            else:
                value = keys[k] >> shift
                if k + 1 == stop or keys[k + 1] >> shift != value:  # most runs have one value, and no ties to count
                    group = np.int64(keys[k] & mask)
                    k += 1
                    for r in range(references.size):
                        wins[gene, group, r] += 2 * lower[r]
                    if slot[group] >= 0:
                        lower[slot[group]] += 1
                    continue
                while k < stop and keys[k] >> shift == value:
                    group = np.int64(keys[k] & mask)
                    if run[group] == 0:
                        present[n] = group
                        n += 1
                    run[group] += 1
                    k += 1
            add_run(run, present[:n], references, lower, wins[gene], own[gene], joint[gene])
            for i in range(n):
                run[present[i]] = 0
