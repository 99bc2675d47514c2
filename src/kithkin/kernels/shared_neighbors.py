"""Number of neighbours that two linked nodes share."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def jaccard_of_links(indptr, indices, start, stop, out):
    """Compute the Jaccard index of the closed neighbourhoods of the ends of each link: |N(i) & N(j)| / |N(i) | N(j)|.

    indptr, indices: symmetric graph in compressed rows, each column once in a row; a node counts as its own neighbour
        whether it has a self-loop or not.
    start, stop: rows to do.
    out (out): float32 for each link of these rows, from indptr[start] on.
    """
    n = len(indptr) - 1
    seen = np.full(n, -1, np.int64)
    first = indptr[start]
    for i in range(start, stop):
        seen[i] = i
        size_i = 1
        for t in range(indptr[i], indptr[i + 1]):
            seen[indices[t]] = i
            size_i += indices[t] != i
        for t in range(indptr[i], indptr[i + 1]):
            j = indices[t]
            shared = np.int64(seen[j] == i)
            size_j = 1
            for u in range(indptr[j], indptr[j + 1]):
                k = indices[u]
                if k != j:
                    size_j += 1
                    shared += seen[k] == i
            out[t - first] = shared / (size_i + size_j - shared)
