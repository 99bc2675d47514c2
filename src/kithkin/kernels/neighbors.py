"""Lists of neighbours: true distances, and repair by the neighbours of neighbours."""

import numpy as np
from numba import njit

from kithkin.kernels.distance import FINITE


@njit(cache=True, nogil=True, fastmath=FINITE)
def _squared(X, i, j):
    # in double precision, so that the order of the sum, which a processor's registers decide, is rounded away
    total = 0.0
    for c in range(X.shape[1]):
        step = np.float64(X[i, c]) - np.float64(X[j, c])
        total += step * step
    return np.float32(total)


@njit(cache=True, nogil=True)
def measure(X, start, stop, ids, squares):
    """Replace approximate scores by true squared distances, sort by them, and drop the row itself, in place.

    X: n x d float32.
    start, stop: the rows to do.
    ids: n x kept int32, candidates of each row, -1 where there is none; sorted on return, the row itself last as -1.
    squares: n x kept float32, overwritten with squared distances, infinite where ids is -1.
    """
    kept = ids.shape[1]
    for i in range(start, stop):
        filled = 0
        for a in range(kept):
            j = ids[i, a]
            if j < 0 or j == i:
                continue
            square = _squared(X, i, j)
            slot = filled
            while slot > 0 and (
                squares[i, slot - 1] > square or (squares[i, slot - 1] == square and ids[i, slot - 1] > j)
            ):
                squares[i, slot] = squares[i, slot - 1]
                ids[i, slot] = ids[i, slot - 1]
                slot -= 1
            squares[i, slot] = square
            ids[i, slot] = j
            filled += 1
        for a in range(filled, kept):
            squares[i, a] = np.inf
            ids[i, a] = -1


@njit(cache=True, nogil=True)
def _insert(ids, squares, fresh, i, j, square):
    """Insert j into the list of row i, which is not full of nearer ones, unless it is there."""
    kept = ids.shape[1]
    for a in range(kept):
        if ids[i, a] == j:
            return
    slot = kept - 1
    while slot > 0 and squares[i, slot - 1] > square:
        squares[i, slot] = squares[i, slot - 1]
        ids[i, slot] = ids[i, slot - 1]
        fresh[i, slot] = fresh[i, slot - 1]
        slot -= 1
    squares[i, slot] = square
    ids[i, slot] = j
    fresh[i, slot] = True


@njit(cache=True, nogil=True)
def offer(ids, squares, fresh):
    """Offer every row to its own neighbours, in place: one search may have met a row that did not meet it.

    ids, squares: n x kept, as measure leaves them.
    fresh: n x kept bool, True where an entry comes in.
    """
    n, kept = ids.shape
    for i in range(n):
        for a in range(kept):
            j = ids[i, a]
            if j >= 0 and squares[i, a] < squares[j, kept - 1]:
                # the order of rows is fixed; a list that changes under its own loop only gets nearer entries
                _insert(ids, squares, fresh, j, i, squares[i, a])


@njit(cache=True, nogil=True)
def join(X, start, stop, width, ids, squares, fresh, new_ids, new_squares, new_fresh):
    """Offer each row the neighbours of its neighbours.

    X: n x d float32.
    start, stop: the rows to do.
    width: number of neighbours, and of each one's own, that are followed.
    ids, squares: n x kept, as measure leaves them; only read.
    fresh: n x kept bool, entries that came in the round before: two old entries lead nowhere new.
    new_ids, new_squares, new_fresh: n x kept, the rows start to stop of which are written.
    Returns the number of new entries among the first `width` of these rows.
    """
    kept = ids.shape[1]
    last = kept - 1
    width = min(width, kept)
    changes = 0
    for i in range(start, stop):
        for a in range(kept):
            new_ids[i, a] = ids[i, a]
            new_squares[i, a] = squares[i, a]
            new_fresh[i, a] = False
        for a in range(width):
            via = ids[i, a]
            if via < 0:
                break
            for b in range(width):
                j = ids[via, b]
                if j < 0:
                    break
                if not (fresh[i, a] or fresh[via, b]) or j == i:
                    continue
                square = _squared(X, i, j)
                if square >= new_squares[i, last]:
                    continue
                _insert(new_ids, new_squares, new_fresh, i, j, square)
        for a in range(width):
            changes += new_fresh[i, a]
    return changes
