"""The paper of a tree: its lines, its axis, and the names of its leaves, side by side or around a circle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle

from kithkin.core.blocks import Array
from kithkin.plot.look.style import INK, SMALL, plain, text_inches
from kithkin.plot.trees.layout import Frame, Tree, ticks

LINE, PALE = "#6E6E6E", "#E4E4E4"
SMALL_PRINT, MANY = 6.5, 40  # points, of the names of more groups than these
SLANT = 40.0  # degrees, of names that are too long to stand level
BROADEST = 7.0  # inches that leaves may take so that their names stand level
OFF = 0.07  # inches between a leaf and its name
DISTANCE, SCALE = "Paris distance (links expected / found)", "log scale"


@dataclass(frozen=True)
class Placed:
    """A tree with the positions of its nodes, in inches."""

    tree: Tree
    frame: Frame
    depth: Array
    radii: Array  # 0 where there is no room for a node

    @property
    def centers(self) -> Array:
        """Return the middles of the nodes, nodes x 2."""
        return self.frame.at(self.tree.places, self.depth)

    @property
    def leaf(self) -> float:
        """Radius of the largest leaf."""
        return float(self.radii[: self.tree.n_leaves].max())

    def draw_lines(self, ax: Axes, colors: Mapping[int, str]) -> None:
        """Draw from each node down to those that it joins, in its colour; broken lines where nothing connects them."""
        solid: list[tuple[Array, str]] = []
        broken: list[tuple[Array, str]] = []
        for node in range(self.tree.n_leaves, len(self.depth)):
            children, depth, color = self.tree.children[node], self.depth[node], colors.get(node, LINE)
            lines = solid if np.isfinite(self.tree.heights[node]) else broken
            first, last = self.tree.places[[children[0], children[-1]]]
            n_steps = 1 if self.frame.spacing else 1 + int((last - first) * self.frame.step / 2)
            along = np.linspace(first, last, n_steps + 1)
            lines.append((self.frame.at(along, np.full(len(along), depth)), color))
            for child in children:
                down = self.frame.at(self.tree.places[[child, child]], np.array([depth, self.depth[child]]))
                lines.append((down, color))
        width = 1.0 if self.tree.n_leaves <= MANY else 0.7
        for lines, style in ((solid, "solid"), (broken, (0, (3, 2)))):
            ax.add_collection(LineCollection([line for line, _ in lines], colors=[color for _, color in lines] or LINE,
                                             linewidths=width, linestyles=[style],
                                             capstyle="projecting" if style == "solid" else "butt", zorder=2,
                                             clip_on=False))  # fmt: skip


class Rectangular:
    """Leaves side by side, the root above them."""

    def __init__(self, names: list[str]) -> None:
        k = len(names)
        self.names, self.font = names, SMALL if k <= MANY else SMALL_PRINT
        self.sizes = text_inches(names, self.font)
        usual = float(np.clip(5.0 / k, 1.45 * self.font / 72, 0.62))
        for_names = float((self.sizes[1:, 0] + self.sizes[:-1, 0]).max(initial=0.0) / 2 + 0.06)
        self.level = k * for_names <= max(BROADEST, k * usual)
        self.frame = Frame(k, max(usual, for_names) if self.level else usual)
        fits = usual * np.sin(np.deg2rad(SLANT)) > float(self.sizes[:, 1].max()) + 0.02
        self.turn = 0.0 if self.level else SLANT if fits else 90.0
        self.depth = float(np.clip(2.3 + 0.05 * k, 2.5, 4.5))  # inches from the root to the leaves, if there is room
        self.widest = min(0.44 * (self.frame.spacing or 0.0), 0.2)  # radius in inches that the largest leaf may have

    def extent(self, placed: Placed) -> tuple[float, float, float, float]:
        """Return the left, right, lower and upper end of the drawing, without names."""
        side = max(placed.leaf, 0.5 * (self.frame.spacing or 0.0))
        across = (self.frame.n_leaves - 1) * (self.frame.spacing or 0.0)
        return -side, across + side, -float(placed.depth[0]) - placed.leaf, float(placed.radii[-1])

    def margins(self, placed: Placed) -> tuple[float, float, float, float]:
        """Return inches for names and the axis beyond the extent: left, right, below, above."""
        side = max(placed.leaf, 0.5 * (self.frame.spacing or 0.0))
        labels, _ = ticks(placed.tree, placed.depth)
        axis = 0.5 + float(text_inches(labels, SMALL)[:, 0].max())
        turn = np.deg2rad(self.turn)
        reach = self.sizes @ np.array([[np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        before = reach[:, 0] * (0.5 if self.turn != SLANT else 1.0)
        left = float((before - np.arange(len(before)) * (self.frame.spacing or 0.0)).max()) - side
        right = 0.0 if self.turn == SLANT else max(0.0, float(before[-1]) - side)
        return max(axis, left), right, OFF + float(reach[:, 1].max()), 0.0

    def draw(self, ax: Axes, placed: Placed) -> list[str]:
        """Draw the axis and the names, and return no note."""
        y = -float(placed.depth[0]) - placed.leaf - OFF
        slanted, step = self.turn == SLANT, self.frame.spacing or 0.0
        for i, name in enumerate(self.names):
            ax.text(i * step, y, name, fontsize=self.font, color=INK, rotation=self.turn, va="top",
                    ha="right" if slanted else "center", rotation_mode="anchor" if slanted else None)  # fmt: skip
        labels, at = ticks(placed.tree, placed.depth)
        ax.set_xticks([])
        ax.set_yticks(-at, labels)
        plain(ax, keep="left")
        merges = placed.tree.heights > 0
        finite = -placed.depth[merges & np.isfinite(placed.tree.heights)]
        ax.spines["left"].set_visible(len(finite) > 1)
        if len(finite) > 1:
            ax.spines["left"].set_bounds(finite.min(), finite.max())
        ax.set_ylabel(f"{DISTANCE}\n{SCALE}", fontsize=SMALL, color=INK)
        return []


class Radial:
    """Leaves around a circle, the root in its middle."""

    def __init__(self, names: list[str]) -> None:
        k = len(names)
        self.names, self.font = names, SMALL if k <= MANY else SMALL_PRINT
        self.sizes = text_inches(names, self.font)
        self.frame = Frame(k)
        turn = np.deg2rad(self.frame.step)
        self.depth = max(1.7, min(1.45 + 0.02 * k, 2.2), 1.55 * self.font / 72 / turn)
        arc = self.depth * turn
        self.level = float(self.sizes.max()) < min(0.9 * arc, 0.6)
        self.widest = min(0.44 * arc, 0.2)

    def extent(self, placed: Placed) -> tuple[float, float, float, float]:
        """Return the left, right, lower and upper end of the drawing, without names."""
        side = float(placed.depth[0]) + placed.leaf
        return -side, side, -side, side

    def margins(self, placed: Placed) -> tuple[float, float, float, float]:
        """Return inches for names beyond the extent: left, right, below, above."""
        side = float(placed.depth[0]) + placed.leaf
        centers, along, across = self._boxes(placed)
        reach = np.abs(along) * self.sizes[:, :1] / 2 + np.abs(across) * self.sizes[:, 1:] / 2
        low, high = (centers - reach).min(axis=0), (centers + reach).max(axis=0)
        left, below, right, above = np.maximum(0.0, np.concatenate([-low, high]) - side)
        return float(left), float(right), float(below), float(above)

    def _boxes(self, placed: Placed) -> tuple[Array, Array, Array]:
        """Return the middles of the names, and the directions along and across the letters."""
        _, rays = self.frame.rays(np.arange(self.frame.n_leaves, dtype=float))
        start = (float(placed.depth[0]) + placed.leaf + OFF) * rays
        if self.level:
            flat = np.tile([1.0, 0.0], (len(rays), 1))
            half = (np.abs(rays) * self.sizes / 2).sum(axis=1, keepdims=True)
            return start + half * rays, flat, flat[:, ::-1]
        return start + rays * self.sizes[:, :1] / 2, rays, rays[:, ::-1]

    def draw(self, ax: Axes, placed: Placed) -> list[str]:
        """Draw the axis and the names, and return a note about the circles."""
        centers, along, _ = self._boxes(placed)
        for name, center, ray in zip(self.names, centers, along, strict=True):
            turn = float(np.rad2deg(np.arctan2(ray[1], ray[0])))
            turn = turn - 180 * np.sign(turn) if abs(turn) > 90.001 else turn
            x, y = float(center[0]), float(center[1])
            ax.text(x, y, name, rotation=turn, rotation_mode="anchor", ha="center", va="center_baseline",
                    fontsize=self.font, color=INK)  # fmt: skip
        labels, at = ticks(placed.tree, placed.depth)
        boxes = text_inches(labels, SMALL - 1)
        for label, radius, box in zip(labels, at, boxes, strict=True):
            if radius > 0:
                ax.add_patch(Circle((0, 0), radius, facecolor="none", edgecolor=PALE, linewidth=0.8, zorder=1))
            off = np.maximum(np.abs(placed.centers - [0, radius]) - box / 2, 0)
            if np.all(np.linalg.norm(off, axis=1) > placed.radii + 0.02):
                ax.text(0, radius, label, ha="center", va="center", fontsize=SMALL - 1, color=LINE, zorder=6,
                        bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5})  # fmt: skip
        ax.set(xticks=[], yticks=[])
        plain(ax, keep="")
        return [f"circles: {DISTANCE}, {SCALE}"] if (at > 0).any() else []
