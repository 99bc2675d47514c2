"""Order of bars in which the ribbons between them cross little."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array

SWEEPS = 24
MOST_BARS = 1500  # for the start from strongly linked bars, which takes the cube of their number


def crossing_matrix(flow: Array) -> Array:
    """Compute the weight of the crossings between the ribbons of each two bars, if the first stands above the second.

    `flow` has the observations that they share with the bars of the neighbouring column in its order; [a, b] is the sum
    of flow[a, j] flow[b, l] over all l above j.
    """
    flow = np.asarray(flow, float)
    out: Array = flow @ (np.cumsum(flow, axis=1) - flow).T
    return out


def uncross(flows: list[Array]) -> list[Array]:
    """Order the bars of each column such that ribbons cross little, given the flows between each two adjacent columns.

    From two starts, the given order and one in which strongly linked bars are close, columns are put in the order of
    their barycentres in the next one, to and fro; the best order seen is improved by exchanging neighbours. The first
    column runs rather along its own order than against it. Sugiyama, Tagawa and Toda (1981),
    doi:10.1109/TSMC.1981.4308636.

    Examples
    --------
    >>> [order.tolist() for order in uncross([np.array([[0, 2], [3, 0]])])]
    [[0, 1], [1, 0]]
    """
    starts = [[np.arange(n) for n in (flows[0].shape[0], *(flow.shape[1] for flow in flows))]]
    if sum(map(len, starts[0])) <= MOST_BARS:  # by the slowest mode of a walk along the ribbons
        edges = np.cumsum([0, *map(len, starts[0])])
        links = np.zeros((edges[-1], edges[-1]))
        for i, flow in enumerate(flows):
            links[edges[i] : edges[i + 1], edges[i + 1] : edges[i + 2]] = flow
        links += links.T
        root = np.sqrt(links.sum(axis=1))
        modes = np.linalg.eigh(links / root / root[:, None])[1]
        score = np.round(modes[:, -2] / root / np.abs(modes[:, -2] / root).max(), 9)
        starts.append([np.argsort(score[a:b], kind="stable") for a, b in pairwise(edges)])
    ordered = [_exchange(flows, _sweep(flows, start)) for start in starts]
    best = min(ordered, key=lambda orders: crossings(flows, orders))
    along = np.corrcoef(best[0], np.arange(len(best[0])))[0, 1] if len(best[0]) > 1 else 0.0
    return [order[::-1] for order in best] if along < 0 else best


def _sweep(flows: list[Array], orders: list[Array]) -> list[Array]:
    """Put columns in the order of their barycentres in the next one, to and fro, and keep the best that was seen."""
    best, least = orders, crossings(flows, orders)
    for sweep in range(SWEEPS):
        steps = range(1, len(orders)) if sweep % 2 == 0 else range(len(orders) - 2, -1, -1)
        for i in steps:
            beside = i - 1 if sweep % 2 == 0 else i + 1
            flow = _towards(flows, i, beside)[:, orders[beside]]
            height = np.cumsum(flow.sum(axis=0)) - flow.sum(axis=0) / 2
            orders = [*orders[:i], np.argsort(flow @ height / flow.sum(axis=1), kind="stable"), *orders[i + 1 :]]
        weight = crossings(flows, orders)
        if weight < least:
            best, least = orders, weight
    return best


def crossings(flows: list[Array], orders: list[Array]) -> float:
    """Sum, over all crossings, the product of the two ribbons' widths."""
    pairs = zip(flows, orders[:-1], orders[1:], strict=True)
    return float(sum(np.triu(crossing_matrix(flow[np.ix_(a, b)]), 1).sum() for flow, a, b in pairs))


def _towards(flows: list[Array], i: int, beside: int) -> Array:
    """Return the observations that the groups of column i share with those of the one beside it."""
    return flows[i] if beside > i else flows[beside].T


def _exchange(flows: list[Array], orders: list[Array]) -> list[Array]:
    """Exchange neighbours of a column as long as that lowers crossings."""
    orders, better = [order.copy() for order in orders], True
    for _ in range(SWEEPS):
        if not better:
            break
        better = False
        for i, order in enumerate(orders):
            sides = [j for j in (i - 1, i + 1) if 0 <= j < len(orders)]
            cost = sum(crossing_matrix(_towards(flows, i, j)[:, orders[j]]) for j in sides)
            for k in range(len(order) - 1):
                a, b = order[k], order[k + 1]
                if cost[a, b] > cost[b, a]:  # type: ignore[index]
                    order[k], order[k + 1] = b, a
                    better = True
    return orders
