"""Sums over stored values: per row, per column, per group of rows; and the values that a selection of columns keeps."""

from __future__ import annotations

import numpy as np
from numba import njit

from kithkin.kernels.elementary import log1p


@njit(cache=True, nogil=True)
def quality_sums(data, indices, indptr, code, row_sums, row_counts, set_sums, column_sums, column_counts):
    """Add up rows, sets of columns and columns in one pass.

    data, indices, indptr: rows in compressed form.
    code: int64 per column: bit s is set when the column belongs to set s.
    row_sums, row_counts (out): float64 and int64 per row: sum, and number of values other than zero.
    set_sums (added to): float64 of rows x sets.
    column_sums, column_counts (added to): float64 and int64 per column.
    """
    for row in range(len(indptr) - 1):
        total = 0.0
        count = 0
        for k in range(indptr[row], indptr[row + 1]):
            column = indices[k]
            value = np.float64(data[k])
            present = np.int64(value != 0.0)
            total += value
            count += present
            column_sums[column] += value
            column_counts[column] += present
            bits = code[column]
            if bits != 0:
                for s in range(set_sums.shape[1]):
                    if (bits >> s) & 1:
                        set_sums[row, s] += value
        row_sums[row] = total
        row_counts[row] = count


@njit(cache=True, nogil=True)
def column_moments(data, indices, indptr, scale, group, limit, sums, squares, above):
    """Add sums and sums of squares of scaled values, per group of rows and column; count those above a limit.

    data, indices, indptr: rows in compressed form.
    scale, group: float64 factor and int32 group of each row.
    limit: float64 of groups x columns: values above it are counted and not added, so that sums of integers stay exact.
    sums, squares, above (added to): float64, float64 and int64 of groups x columns.
    """
    for row in range(len(indptr) - 1):
        factor = scale[row]
        cap = limit[group[row]]
        first = sums[group[row]]
        second = squares[group[row]]
        beyond = above[group[row]]
        for k in range(indptr[row], indptr[row + 1]):
            column = indices[k]
            value = np.float64(data[k]) * factor
            if value <= cap[column]:
                first[column] += value
                second[column] += value * value
            else:
                beyond[column] += 1


@njit(cache=True, nogil=True)
def select_values(data, indices, indptr, position, logarithm, scale, values, places, starts):
    """Keep the chosen columns of each row, as they are or as log1p(value * scale of the row); return their number.

    data, indices, indptr: rows in compressed form.
    position: int32 per column: its position among the chosen ones, or -1 to drop it.
    logarithm: take log1p(value * scale).
    scale: float64 per row, not read without the logarithm.
    values, places (out): float64 and int32, as long as data: the kept values and their positions.
    starts (out): int64, rows + 1: start of each row in values and places.
    """
    # counts are small integers: each row needs a handful of logarithms, however many values it has
    table = np.empty(16)
    table[0] = 0.0
    used = 0
    starts[0] = 0
    for row in range(len(indptr) - 1):
        first = used
        for k in range(indptr[row], indptr[row + 1]):
            column = position[indices[k]]
            places[used] = column
            values[used] = data[k]
            used += np.int64(column >= 0)
        if logarithm:
            factor = scale[row]
            known = 1
            for k in range(first, used):
                value = values[k]
                if 0.0 <= value < 16.0 and value == np.floor(value):
                    count = np.int64(value)
                    while known <= count:
                        table[known] = log1p(known * factor)
                        known += 1
                    values[k] = table[count]
                else:
                    values[k] = log1p(value * factor)
        starts[row + 1] = used
    return used


@njit(cache=True, nogil=True)
def take_logarithms(values, scale):
    """Replace each value by log1p(value * scale of its row), in place.

    values: float64 of rows x columns, at least 0.
    scale: float64 per row.
    """
    for row in range(values.shape[0]):
        own = values[row]
        for column in range(len(own)):
            own[column] = log1p(own[column] * scale[row])


@njit(cache=True, nogil=True)
def sparse_sums(data, indices, indptr, groups, sums):
    """Add each row to the sums of its group.

    data, indices, indptr: rows in compressed form.
    groups: int64 per row; a row of a negative group is left out.
    sums (added to): int64 or float64 of groups x columns.
    """
    for row in range(len(indptr) - 1):
        if groups[row] >= 0:
            into = sums[groups[row]]
            for k in range(indptr[row], indptr[row + 1]):
                into[indices[k]] += data[k]


@njit(cache=True, nogil=True)
def dense_sums(block, groups, sums):
    """Do what sparse_sums does, for dense rows."""
    for row in range(block.shape[0]):
        if groups[row] >= 0:
            into = sums[groups[row]]
            for column in range(block.shape[1]):
                into[column] += block[row, column]


@njit(cache=True, nogil=True)
def profile_distances(data, indices, indptr, codes, mean, weight, base, distances):
    """Sum squared weighted differences between rows and the profile of their group, zeros included.

    data, indices, indptr: rows in compressed form.
    codes: group of each row; a negative one leaves its distance as it is.
    mean, weight: float32 of groups x columns.
    base: float64 per group: the sum of weight * mean^2, the distance of a row of zeros.
    distances (out): float64 per row.
    """
    for row in range(len(indptr) - 1):
        code = codes[row]
        if code < 0:
            continue
        total = base[code]
        for k in range(indptr[row], indptr[row + 1]):
            column = indices[k]
            value = np.float64(data[k])
            total += weight[code, column] * value * (value - 2.0 * mean[code, column])
        distances[row] = max(total, 0.0)


@njit(cache=True, nogil=True)
def candidate_distances(data, indices, indptr, candidates, scaled, base, weight, kinds, distances):
    """Sum squared weighted differences between rows and a few profiles each, zeros included.

    data, indices, indptr: rows in compressed form.
    candidates: profiles that each row is compared with, int32 of rows x c; a negative one leaves its distance as it is.
    scaled: float32 of profiles x columns: each profile times the weight of its kind.
    base: float64 per profile: the sum of weight * profile^2, the distance of a row of zeros.
    weight: float32 of kinds x columns, and kinds: the kind of each row, whose weights its candidates share.
    distances (out): float64 of rows x c.
    """
    for row in range(len(indptr) - 1):
        if candidates[row, 0] < 0:
            continue
        kind = kinds[row]
        square = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            square += weight[kind, indices[k]] * np.float64(data[k]) * data[k]
        for c in range(candidates.shape[1]):
            profile = candidates[row, c]
            if profile >= 0:
                product = 0.0
                for k in range(indptr[row], indptr[row + 1]):
                    product += scaled[profile, indices[k]] * np.float64(data[k])
                distances[row, c] = max(base[profile] + square - 2.0 * product, 0.0)
