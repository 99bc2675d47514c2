"""Positions of the nodes of a tree, in inches, so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array

PAD, CLEAR = 0.06, 0.07  # inches between two nodes, and between a node and the line above it
ABOVE, BELOW = 0.4, 0.26  # inches from where parts are joined that nothing connects, and from the last merge to leaves
GAP = 24.0  # degrees of a circle without leaves
LEAST_FREE = 0.2  # share for which the tree is made deeper than wanted
MOST = 1.4  # times the wanted depth, for the sake of the heights; only nodes themselves may take more
FREE = 0.4  # share of the depth that is to follow the heights, where nodes can be made smaller for it


@dataclass(frozen=True)
class Tree:
    """Leaves, merges of connected groups, and the joint of what nothing connects, if there is any: the root is last."""

    children: list[list[int]]  # for each node those joined by it, from left to right; none for leaves
    parents: Array  # for each node that above it; -1 for the root
    heights: Array  # distance at which each node is made: 0 for leaves, infinite for the joint of what is not connected
    members: Array  # nodes x leaves, true where a leaf is below a node
    places: Array  # of each node along the leaves, which are at 0, 1, 2, ... from left to right

    @classmethod
    def of(cls, linkage: Array, order: Array) -> Tree:
        """Build from a linkage and the order of its leaves; all merges at infinite height become one."""
        k = len(order)
        finite = int(np.isfinite(linkage[:, 2]).sum())
        children: list[list[int]] = [[] for _ in range(k)]
        children += [[int(a), int(b)] for a, b in linkage[:finite, :2]]
        if finite < k - 1:
            below = {child for pair in children for child in pair}
            children.append([node for node in range(k + finite) if node not in below])
        n = len(children)
        parents, places, members = np.full(n, -1), np.empty(n), np.zeros((n, k), bool)
        places[order] = np.arange(k)
        members[np.arange(k), np.arange(k)] = True
        for node in range(k, n):
            children[node].sort(key=places.__getitem__)
            parents[children[node]] = node
            members[node] = members[children[node]].any(axis=0)
            places[node] = places[children[node]][[0, -1]].mean()
        heights = np.concatenate([np.zeros(k), linkage[:finite, 2], np.full(n - k - finite, np.inf)])
        return cls(children, parents, heights, members, places)

    @property
    def n_leaves(self) -> int:
        """Groups at the ends of the tree."""
        return int(self.members.shape[1])


@dataclass(frozen=True)
class Frame:
    """The paper of a tree: leaves side by side below the root, or around it."""

    n_leaves: int
    spacing: float | None = None  # inches from one leaf to the next; None for a circle

    def rays(self, places: Array) -> tuple[Array, Array]:
        """Return the points from which nodes start at depth 0, and their directions with depth; both n x 2."""
        if self.spacing is not None:
            flat = np.zeros_like(places)
            return np.column_stack([places * self.spacing, flat]), np.column_stack([flat, flat - 1])
        turn = np.deg2rad(self.angles(places))
        return np.zeros((len(places), 2)), np.column_stack([np.cos(turn), np.sin(turn)])

    def angles(self, places: Array) -> Array:
        """Return degrees from the right, against the clock: places run with the clock from a gap at the top."""
        out: Array = 90 - GAP / 2 - (places + 0.5) * self.step
        return out

    @property
    def step(self) -> float:
        """Degrees from one leaf to the next, on a circle."""
        return (360 - GAP) / self.n_leaves

    def at(self, places: Array, depths: Array) -> Array:
        """Return coordinates, n x 2."""
        starts, directions = self.rays(np.asarray(places, float))
        out: Array = starts + np.asarray(depths)[..., None] * directions
        return out


def depths(tree: Tree, frame: Frame, radii: Array, slope: float) -> Array:
    """Go down from the root: as far as the heights ask for, and farther where nodes would touch.

    The order of the heights is kept, so that all nodes share one axis. `slope` is inches for each factor of e in
    height. Returned are inches of each node below the root, or from the middle; all leaves have the same.
    """
    k, n = tree.n_leaves, len(tree.places)
    starts, directions = frame.rays(tree.places)
    out, at = np.zeros(n), starts.copy()
    for node in range(n - 2, k - 1, -1):
        last, height = tree.heights[node + 1], tree.heights[node]
        step = slope * np.log(last / height) if np.isfinite(last) else ABOVE
        parent = tree.parents[node]
        clear = out[parent] + max(radii[parent], radii[node]) + CLEAR  # neither hides the line at the other
        low = max(out[node + 1] + step, clear)
        if frame.spacing is None:  # on a circle a node must not reach the lines of leaves that it does not hold
            others = tree.places[:k][~tree.members[node]]
            angle = np.abs(others - tree.places[node]).min(initial=k) * frame.step
            low = max(low, float((radii[node] + PAD) / np.sin(np.deg2rad(np.clip(angle, 6.0, 90.0)))))
        above = slice(node + 1, n)
        out[node] = _pass(starts[node], directions[node], at[above], radii[above] + radii[node] + PAD, low)
        at[node] = starts[node] + out[node] * directions[node]
    low = float(out[k:].max()) + BELOW
    for leaf in range(k):
        low = max(low, out[tree.parents[leaf]] + radii[leaf] + CLEAR)
        low = _pass(starts[leaf], directions[leaf], at[k:], radii[k:] + radii[leaf] + PAD, low)
    out[:k] = low
    return out


def _pass(start: Array, direction: Array, others: Array, reach: Array, low: float) -> float:
    """Go along a ray, from `low` on, until nothing placed before is nearer than it may be."""
    off = start - others
    along = off @ direction
    inside = along**2 - (off**2).sum(axis=1) + reach**2
    return max(low, float((-along + np.sqrt(np.maximum(inside, 0.0)))[inside > 0].max(initial=low)))


def fit(tree: Tree, frame: Frame, radii: list[Array], depth: float) -> tuple[Array, int, float]:
    """Choose the scale of the heights such that the leaves are at a depth, with nodes as large as there is room for.

    The first of the radii with which enough of the depth is left to the heights is taken, or the last; then the depth
    may be exceeded. Returned are depths of the nodes, which radii were taken, and inches for each factor of e in
    height.
    """
    tight = ((i, depths(tree, frame, some, 0.0)) for i, some in enumerate(radii))
    taken, packed = next((i, d) for i, d in tight if d[0] <= (1 - FREE) * depth or i == len(radii) - 1)
    depth = max(depth, min(float(packed[0]) / (1 - LEAST_FREE), MOST * depth))
    if packed[0] >= depth:
        return packed, taken, 0.0
    some, low, high = radii[taken], 0.0, depth
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if depths(tree, frame, some, middle)[0] <= depth else (low, middle)
    out = depths(tree, frame, some, low)
    out[: tree.n_leaves] = depth
    return out, taken, low


def is_stretched(tree: Tree, depth: Array, slope: float) -> bool:
    """Tell whether some merges are farther apart than the scale of the heights asks for."""
    merges = np.flatnonzero(np.isfinite(tree.heights) & (tree.heights > 0))
    steps = slope * np.diff(np.log(tree.heights[merges]))
    return bool((-np.diff(depth[merges]) > steps + 0.02).any())


def ticks(tree: Tree, depth: Array, apart: float = 0.28) -> tuple[list[str], Array]:
    """Choose round heights for the axis, at least so many inches apart; between merges the axis is logarithmic.

    Returned are labels, from the lowest height to the highest, and inches below the root; infinity is among them if
    something has that height.
    """
    merges = np.flatnonzero(np.isfinite(tree.heights) & (tree.heights > 0))
    heights, at = tree.heights[merges], depth[merges]
    kept: list[tuple[str, float]] = []
    if len(merges):
        low, high = np.floor(np.log10(heights.min())), np.ceil(np.log10(heights.max()))
        decades = 10.0 ** np.arange(low, high + 1)
        rounds = [decades, 5 * decades, 2 * decades]
        inside = [v for some in rounds for v in some if heights.min() <= v <= heights.max()]
        inside = inside if len(inside) > 1 else [heights.min(), heights.max()]
        spots = np.interp(np.log(inside), np.log(heights), at)
        for value, spot in zip(inside, spots, strict=True):
            if all(abs(spot - other) >= apart for _, other in kept):
                kept.append((f"{value:.2g}" if value < 10 else f"{value:,.0f}", float(spot)))
    if np.isinf(tree.heights[-1]):
        kept.append(("∞", float(depth[-1])))
    kept.sort(key=lambda tick: -tick[1])
    return [label for label, _ in kept], np.array([spot for _, spot in kept])
