"""Share of simulated doublets among the neighbours of a cell, as Scrublet counts it."""

from __future__ import annotations

from functools import partial

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.distance import keep_smallest
from kithkin.models.doublets.reference import Reference
from kithkin.models.kmeans import KMeans
from kithkin.models.table.blas import single_threaded

TILE = 1024  # rows of either side of one matrix product, so that its result stays in the second cache
HUGE = np.finfo(np.float32).max
LIST_ROWS, PROBED = 400, 6000  # cells of a partition, and those nearest to it that its cells are compared with
N_COMPARED = 4000  # simulated doublets that are scored, at most
FEWEST = 8  # cells among the neighbours that are looked at, at least
OF_ROOT = 0.25  # cells among the neighbours, in the root of the number of cells


def simulated_shares(reference: Reference, seed: int, execution: Execution) -> tuple[Array, Array]:
    """Compute the share of simulated doublets among the neighbours of every cell, n, and of a part of these doublets.

    A cell, or a simulated doublet, is no neighbour of itself. A share is (f + 1) / (k + 2) of f among k, as if one of
    each had been seen. Where the reference is large, neighbours are looked for among the 6,000 of its points that are
    nearest to the partition that a cell lies in.
    """
    m = len(reference.chosen)
    others = np.concatenate([reference.points[reference.chosen], reference.simulated])
    k = max(FEWEST, round(OF_ROOT * np.sqrt(m))) * len(others) // m
    k = min(k, len(others) - 1)
    itself = np.full(len(reference.points), -1, np.int32)
    itself[reference.chosen] = np.arange(m)
    some = reference.simulated[:N_COMPARED]
    points = np.concatenate([reference.points, some])
    itself = np.concatenate([itself, np.arange(m, m + len(some), dtype=np.int32)])
    counts = np.empty(len(points), np.int64)
    with single_threaded():
        center = others.mean(axis=0)
        points -= center
        others -= center
        n_lists = max(1, len(others) // LIST_ROWS)
        model = KMeans(n_lists, max_iter=0, start="random", n_starts=1, seed=seed).fit(others, execution)
        lists = nearest_lists(model.cluster_centers_, model.labels_)
        label = model.predict(points, execution)
        order = np.argsort(label, kind="stable")
        bounds = np.searchsorted(label[order], np.arange(n_lists + 1))
        tasks = [
            (order[bounds[one] + low : bounds[one] + high], lists[one])
            for one in range(n_lists)
            for low, high in even_ranges(int(bounds[one + 1] - bounds[one]), TILE)
        ]
        work = partial(count_simulated, points=points, others=others, itself=itself, k=k, first=m)
        for (rows, _), found in zip(tasks, map_tasks(work, tasks, execution, "doublets: neighbors"), strict=True):
            counts[rows] = found
    shares = (counts + 1) / (k + 2)
    return shares[: len(shares) - len(some)], shares[len(shares) - len(some) :]


def nearest_lists(centers: Array, labels: Array) -> list[Array]:
    """List for each partition the points of those nearest to it, itself first, until they are enough."""
    members = np.argsort(labels, kind="stable").astype(np.int32)
    bounds = np.searchsorted(labels[members], np.arange(len(centers) + 1))
    sizes, squares = np.diff(bounds), np.einsum("ij,ij->i", centers, centers)
    found = []
    for number, center in enumerate(centers):
        distance = squares - 2 * (centers @ center)
        distance[number] = -np.inf
        near = np.argsort(distance, kind="stable")
        near = near[: 1 + int(np.searchsorted(np.cumsum(sizes[near]), PROBED))]
        found.append(np.concatenate([members[bounds[one] : bounds[one + 1]] for one in near]))
    return found


def count_simulated(
    task: tuple[Array, Array], points: Array, others: Array, itself: Array, k: int, first: int
) -> Array:
    """Count the simulated doublets, whose numbers begin at `first`, among the k nearest of some points."""
    rows, near = task
    left = np.ones((len(rows), others.shape[1] + 1), np.float32)
    left[:, :-1] = points[rows]
    best, ids = np.full((len(rows), k + 1), HUGE, np.float32), np.full((len(rows), k + 1), -1, np.int32)
    for begin, end in even_ranges(len(near), TILE):
        part = others[near[begin:end]]
        right = np.empty((len(part), left.shape[1]), np.float32)
        right[:, -1] = np.einsum("ij,ij->i", part, part)
        np.multiply(part, -2, out=right[:, :-1])
        keep_smallest(left @ right.T, near[begin:end], best, ids)
    is_itself = ids == itself[rows, None]
    is_itself[~is_itself.any(axis=1), -1] = True  # it is none of the others
    counts: Array = ((ids >= first) & ~is_itself).sum(axis=1)
    return counts


def scrublet_score(share: Array, rate: float, ratio: float) -> Array:
    r"""Turn shares of simulated neighbours into Scrublet's score, 0 to 1.

    .. math:: L = \frac{q \rho / r}{1 - \rho - q (1 - \rho - \rho / r)}

    with share q, rate :math:`\rho`, and r simulated doublets for each cell.

    Examples
    --------
    >>> scrublet_score(np.array([0.0, 2 / 3, 1.0]), 0.1, 2.0).round(3).tolist()
    [0.0, 0.1, 1.0]
    """
    score: Array = share * rate / ratio / (1 - rate - share * (1 - rate - rate / ratio))
    return score
