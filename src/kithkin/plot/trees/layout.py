"""Positions of the nodes of a tree, in inches, and which of them can be drawn so that none covers another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array

PAD, CLEAR = 0.06, 0.07  # inches between two nodes, and between a node and the line above it
ABOVE, BELOW = 0.4, 0.26  # inches from where parts are joined that nothing connects, and from the last merge to leaves
GAP = 24.0  # degrees of a circle without leaves


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


def depths(tree: Tree, depth: float, leaf: float) -> tuple[Array, float]:
    """Place nodes on a logarithmic axis: inches below the root, or from the middle, and inches for a factor of e.

    All leaves, of the given radius, are at `depth`; what nothing connects is joined at 0, above the highest merge.
    """
    k, out = tree.n_leaves, np.zeros(len(tree.places))
    merges = np.flatnonzero(np.isfinite(tree.heights) & (tree.heights > 0))
    out[:k] = depth
    if len(merges) == 0:
        return out, 0.0
    logs = np.log(tree.heights[merges].max() / tree.heights[merges])
    first = 0.0 if np.isfinite(tree.heights[-1]) else ABOVE
    slope = (depth - max(BELOW, leaf + CLEAR) - first) / logs.max() if logs.max() > 0 else 0.0
    out[merges] = first + slope * logs
    return out, float(slope)


def shown(tree: Tree, frame: Frame, depth: Array, radii: Array) -> Array:
    """Tell which nodes can be drawn without touching another: all leaves, and merges from the root down."""
    k, at = tree.n_leaves, frame.at(tree.places, depth)
    out = np.arange(len(radii)) < k
    for node in range(len(radii) - 1, k - 1, -1):
        room = np.linalg.norm(at[out] - at[node], axis=1) - radii[out] - radii[node] - PAD
        free = bool((room >= 0).all())
        if frame.spacing is None and node < len(radii) - 1:  # nor the lines of leaves that it does not hold
            others = tree.places[:k][~tree.members[node]]
            angle = np.abs(others - tree.places[node]).min(initial=k) * frame.step
            free &= bool(depth[node] * np.sin(np.deg2rad(np.clip(angle, 0.0, 90.0))) >= radii[node] + PAD)
        out[node] = free
    return out


def fit(tree: Tree, frame: Frame, radii: list[Array], depth: float) -> tuple[Array, int, Array]:
    """Place the nodes, and choose the radii with which the most of them can be drawn, the first of equal ones.

    Returned are depths of the nodes, which radii were taken, and which nodes have room.
    """
    placed = [depths(tree, depth, float(some[: tree.n_leaves].max()))[0] for some in radii]
    seen = [shown(tree, frame, at, some) for at, some in zip(placed, radii, strict=True)]
    taken = int(np.argmax([some.sum() for some in seen]))
    return placed[taken], taken, seen[taken]


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
