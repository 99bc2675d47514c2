"""Walks on a graph in compressed rows: one step for several sets of seeds, its connected parts, and its sums.

Indices are uint32 and pointers uint64: a signed index is asked for its sign at every link.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def strengths(data, indices, indptr, out_of, into):
    """Sum the weights out of and into each vertex; return the position of the first invalid weight, or -1.

    data, indices, indptr: the graph.
    out_of, into: length n float64, zeros at first.
    """
    for i in range(len(out_of)):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            weight = data[k]
            if not (weight >= 0 and weight < np.inf):
                return np.int64(k)
            total += weight
            into[indices[k]] += weight
        out_of[i] = total
    return np.int64(-1)


@njit(cache=True, nogil=True)
def connected_parts(data, indices, indptr, part, order):
    """Label the connected components of an undirected graph by their first vertex, and count them.

    data, indices, indptr: the graph; links of weight zero do not connect.
    part (out): length n int32.
    order (out): length n int32: all vertices part by part, each part from its first vertex outward.
    """
    part[:] = -1
    count, head, tail = 0, 0, 0
    for first in range(len(part)):
        if part[first] >= 0:
            continue
        part[first] = count
        order[tail] = first
        tail += 1
        while head < tail:
            i = order[head]
            head += 1
            for k in range(indptr[i], indptr[i + 1]):
                j = indices[k]
                if data[k] > 0 and part[j] < 0:
                    part[j] = count
                    order[tail] = j
                    tail += 1
        count += 1
    return count


@njit(cache=True, nogil=True)
def reorder(data, indices, indptr, order, place, new_data, new_indices, new_indptr):
    """Permute the vertices of a graph.

    data, indices, indptr: the graph.
    order: length n: which vertex comes at each place.
    place: length n: at which place each vertex comes.
    new_data, new_indices, new_indptr (out): as long as the graph's own. Links of a row stay in the order in which they
        are.
    """
    at = 0
    new_indptr[0] = 0
    for row in range(len(order)):
        i = order[row]
        for k in range(indptr[i], indptr[i + 1]):
            new_data[at] = data[k]
            new_indices[at] = place[indices[k]]
            at += 1
        new_indptr[row + 1] = at


@njit(cache=True, nogil=True)
def _add_links(data, indices, first, last, x, total):
    """Add up weight times row over the links first to last.

    Four rows at a time: each sum is then read and written a quarter as often, and waits for the one before less.
    """
    one = np.uint64(1)
    end = last - (last - first) % np.uint64(4)
    for k in range(first, end, np.uint64(4)):
        a, b, c, d = data[k], data[k + one], data[k + one + one], data[k + one + one + one]
        u, v = x[indices[k]], x[indices[k + one]]
        w, z = x[indices[k + one + one]], x[indices[k + one + one + one]]
        for j in range(len(total)):
            total[j] += (a * u[j] + b * v[j]) + (c * w[j] + d * z[j])
    for k in range(end, last):
        a, u = data[k], x[indices[k]]
        for j in range(len(total)):
            total[j] += a * u[j]


@njit(cache=True, nogil=True)
def _sum_links(data, indices, first, last, x):
    """The same for numbers in place of rows, in the same order, to the last bit."""
    one = np.uint64(1)
    end = last - (last - first) % np.uint64(4)
    total = x[0] - x[0]
    for k in range(first, end, np.uint64(4)):
        u, v = data[k] * x[indices[k]], data[k + one] * x[indices[k + one]]
        w, z = (
            data[k + one + one] * x[indices[k + one + one]],
            data[k + one + one + one] * x[indices[k + one + one + one]],
        )
        total += (u + v) + (w + z)
    for k in range(end, last):
        total += data[k] * x[indices[k]]
    return total


@njit(cache=True, nogil=True)
def step_rows(data, indices, indptr, start, stop, scale, x, source, weight, out, sums):
    """Write `scale` times the weighted sum over the neighbours plus `source`, for the rows start to stop.

    data, indices, indptr: the graph.
    start, stop: rows to write.
    scale, weight: length n, of each row.
    x, source, out: n x s in C order. x is read, and so is source, which may be x.
    sums: 3 x s float64, overwritten: sums over these rows, by weight, of (out - x)^2, out^2 and out x.
    """
    sums[:] = 0.0
    s = x.shape[1]
    flat = x.reshape(x.size)
    total = np.empty(s, x.dtype)
    moved, size, along = sums[0], sums[1], sums[2]
    for i in range(start, stop):
        if s == 1:
            total[0] = _sum_links(data, indices, indptr[i], indptr[i + 1], flat)
        else:
            total[:] = 0
            _add_links(data, indices, indptr[i], indptr[i + 1], x, total)
        old, add, new = x[i], source[i], out[i]
        factor, share = scale[i], weight[i]
        for c in range(s):
            new[c] = factor * total[c] + add[c]
            b, a = np.float64(new[c]), np.float64(old[c])
            moved[c] += share * (b - a) * (b - a)
            size[c] += share * b * b
            along[c] += share * b * a


@njit(cache=True, nogil=True)
def advance_rows(start, stop, step, weight, p, q, x, r, sums):
    """Take a conjugate gradient step: x by step p, the residuals r by -step q.

    start, stop: rows to change.
    step: length s.
    weight: length n.
    p, q: n x s.
    x, r: n x s, changed.
    sums: length s float64, overwritten: sums over these rows, by weight, of r^2.
    """
    sums[:] = 0.0
    for i in range(start, stop):
        for c in range(len(step)):
            x[i, c] += step[c] * p[i, c]
            r[i, c] -= step[c] * q[i, c]
            sums[c] += weight[i] * r[i, c] * r[i, c]


@njit(cache=True, nogil=True)
def pair_sums(data, indices, indptr, start, stop, x, sums):
    """Sum w_ij x_i x_j over the links of the rows start to stop, for each column.

    data, indices, indptr: the graph.
    start, stop: rows of the graph.
    x: n x s in C order.
    sums: length s float64, overwritten.
    """
    sums[:] = 0.0
    total = np.empty(x.shape[1], x.dtype)
    for i in range(start, stop):
        total[:] = 0
        _add_links(data, indices, indptr[i], indptr[i + 1], x, total)
        own = x[i]
        for c in range(len(sums)):
            sums[c] += np.float64(total[c]) * own[c]
