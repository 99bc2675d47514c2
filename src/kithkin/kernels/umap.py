"""One epoch of UMAP's layout: every vertex moved by a sample of its edges and of the other vertices.

A batch of vertices writes only its own new positions and reads everybody's old ones, so batches may run at the same
time, in any order and on any thread, with the same result. Random numbers come from a hash of (seed, epoch, edge).
Gathers and arithmetic are separate loops over short buffers, because only then does the compiler vectorise the latter.
"""

import numpy as np
from numba import njit

# Nothing that lets a processor round otherwise than another: neither sums in another order, nor fused multiplication,
# nor approximate reciprocals. NaN cannot occur: distances get a floor.
_FAST = {"nnan", "ninf", "nsz"}
_OPTIONS = {"cache": True, "nogil": True, "fastmath": _FAST, "error_model": "numpy"}

_ONE = np.float32(1.0)
_FLOOR = np.float32(1e-12)  # squared distance of points that coincide
_SOFT = np.float32(1e-3)  # umap-learn's softening of the repulsion
_CLIP = np.float32(4.0)  # umap-learn's bound on one push
_SHIFT = np.float32(1.5 * 2**23)
_STRIDE = np.float32(4.0)  # in units of the way to the neighbours' mean; hubs would be thrown about without it

# log2(1 + m) / m for m in sqrt(1/2) - 1 .. sqrt(2) - 1, and 2^f for f in -1/2..1/2: fitted at Chebyshev nodes
_L6, _L5, _L4, _L3, _L2, _L1, _L0 = (
    np.float32(c) for c in [0.170635551, -0.272700161, 0.297263086, -0.358961612, 0.480464995, -0.721375883, 1.44269967]
)
_E4, _E3, _E2, _E1, _E0 = (np.float32(c) for c in [0.00966636837, 0.0559219755, 0.240223497, 0.693121016, 1])


@njit(**_OPTIONS)
def mix(counter, key):
    """Hash two numbers to 32 bits: the random number that belongs to them."""
    h = np.uint32(np.uint32(counter ^ key) * np.uint32(0x9E3779B1))
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x85EBCA6B) + key * np.uint32(0x27D4EB2F))
    h = np.uint32(h ^ (h >> np.uint32(13)))
    h = np.uint32(h * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ (h >> np.uint32(16)))


@njit(**_OPTIONS)
def power(base, exponent):
    """Compute base^exponent in float32 for a positive base, to about 3e-6 (1 + |exponent log2(base)|).

    Bounded by 2^-126 and 2^126; 0 counts as the smallest base.
    """
    bits = np.float32(base).view(np.int32)
    e = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    m = np.float32(np.int32(bits - np.int32(e << np.int32(23))).view(np.float32)) - _ONE
    log = (((((_L6 * m + _L5) * m + _L4) * m + _L3) * m + _L2) * m + _L1) * m + _L0
    t = np.float32(exponent * (np.float32(e) + log * m))
    t = min(max(t, np.float32(-126.0)), np.float32(126.0))
    shifted = np.float32(t + _SHIFT)  # whole numbers stand in its last bits
    f = np.float32(t - (shifted - _SHIFT))
    p = np.float32((((_E4 * f + _E3) * f + _E2) * f + _E1) * f + _E0)
    return np.float32(np.int32(p.view(np.int32) + np.int32(shifted.view(np.int32) << np.int32(23))).view(np.float32))


@njit(**_OPTIONS)
def _clip(v):
    return min(max(v, -_CLIP), _CLIP)


@njit(**_OPTIONS)
def _differences(m, others, own_x, own_y, points, dx, dy):
    for k in range(m):
        dx[k] = own_x[k] - points[others[k], 0]
        dy[k] = own_y[k] - points[others[k], 1]


@njit(**_OPTIONS)
def _attract(m, dx, dy, gx, gy, stiffness, a, b):
    scale = np.float32(4.0) * a * b  # twice 2ab: umap-learn moves both ends of an edge, here each end moves itself
    for k in range(m):
        d = dx[k] * dx[k] + dy[k] * dy[k] + _FLOOR
        p = power(d, b)
        c = scale * p / (d * (_ONE + a * p))
        gx[k] = -c * dx[k]
        gy[k] = -c * dy[k]
        stiffness[k] = c


@njit(**_OPTIONS)
def _repel(m, dx, dy, gx, gy, a, b):
    scale = np.float32(2.0) * b
    for k in range(m):
        d = dx[k] * dx[k] + dy[k] * dy[k]
        c = scale / ((_SOFT + d) * (_ONE + a * power(d, b)))
        gx[k] += _clip(c * dx[k])
        gy[k] += _clip(c * dy[k])


@njit(**_OPTIONS)
def _step(start, stop, ends, gx, gy, stiffness, alpha, points, moved):
    k = 0
    for v in range(start, stop):
        sum_x = np.float32(0.0)
        sum_y = np.float32(0.0)
        total = np.float32(0.0)
        for i in range(k, ends[v - start]):
            sum_x += gx[i]
            sum_y += gy[i]
            total += stiffness[i]
        k = ends[v - start]
        rate = alpha / max(_ONE, alpha * total / _STRIDE)
        moved[v, 0] = points[v, 0] + rate * sum_x
        moved[v, 1] = points[v, 1] + rate * sum_y


@njit(**_OPTIONS)
def move_batches(first, last, step, rows, indptr, indices, limits, points, moved, a, b, alpha, n_negative, key):
    """Write the new positions of the vertices of batches first, first + step, ... below last.

    Batch i holds vertices i * rows to (i + 1) * rows. indptr (int64), indices (uint32) are the CSR graph; edge e is
    drawn with probability limits[e] / 2^32 (uint32). points (n x 2 float32) are read, moved is written.
    """
    n = len(points)
    size = 1
    for batch in range(first, last, step):
        size = max(size, indptr[min((batch + 1) * rows, n)] - indptr[batch * rows])
    draws, edges, others = np.empty(size, np.uint32), np.empty(size, np.uint32), np.empty(size, np.uint32)
    own_x, own_y = np.empty(size, np.float32), np.empty(size, np.float32)
    dx, dy = np.empty(size, np.float32), np.empty(size, np.float32)
    gx, gy, stiffness = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    ends = np.empty(rows, np.int64)
    for batch in range(first, last, step):
        start, stop = batch * rows, min((batch + 1) * rows, n)
        origin = indptr[start]
        for e in range(indptr[stop] - origin):
            draws[e] = mix(np.uint32(e + origin), key)
        m = 0
        for v in range(start, stop):
            for e in range(indptr[v], indptr[v + 1]):
                edges[m] = np.uint32(e)
                m += np.int64(draws[e - origin] < limits[e])
            ends[v - start] = m
        k = 0
        for v in range(start, stop):
            for i in range(k, ends[v - start]):
                own_x[i] = points[v, 0]
                own_y[i] = points[v, 1]
                others[i] = indices[edges[i]]
            k = ends[v - start]
        _differences(m, others, own_x, own_y, points, dx, dy)
        _attract(m, dx, dy, gx, gy, stiffness, a, b)
        for s in range(n_negative):
            again = mix(np.uint32(s), key)
            for k in range(m):
                others[k] = np.uint32((np.uint64(mix(edges[k], again)) * np.uint64(n)) >> np.uint64(32))
            _differences(m, others, own_x, own_y, points, dx, dy)
            _repel(m, dx, dy, gx, gy, a, b)
        _step(start, stop, ends, gx, gy, stiffness, alpha, points, moved)
