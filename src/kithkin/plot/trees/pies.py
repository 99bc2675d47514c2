"""Composition of groups of observations: pies of another column, or discs coloured by the mean of a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, Wedge

from kithkin.core.blocks import Array
from kithkin.metrics.partition import contingency as count_pairs
from kithkin.plot.data import Groups, Numbers
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.palette import MISSING, SEQUENTIAL
from kithkin.plot.partitions.contingency import compact

EDGE = "#5A5A5A"
SMALLEST = 0.03  # inches, radius of a pie


@dataclass(frozen=True)
class Sizes:
    """Areas of numbers of observations."""

    unit: float  # inches of radius for the square root of one observation
    least: float  # numbers between which areas are in proportion: fewer are drawn as these, more as the most
    most: float

    @classmethod
    def of(cls, counts: Array, n_leaves: int, radius: float, largest: float) -> Sizes:
        """Give radii in inches to the largest leaf, of the first ones among the counts, and to the largest of all."""
        unit = radius / float(np.sqrt(counts[:n_leaves].max()))
        return cls(unit, (SMALLEST / unit) ** 2, max(_round((largest / unit) ** 2), float(counts[:n_leaves].max())))

    def radii(self, counts: Array) -> Array:
        """Return radii in inches."""
        out: Array = self.unit * np.sqrt(np.clip(counts, self.least, self.most))
        return out

    def examples(self, counts: Array) -> list[tuple[str, float]]:
        """Name a few round numbers of observations, and their radii."""
        low, high = max(float(counts.min()), self.least), min(float(counts.max()), self.most)
        wanted = [_round(v) for v in np.geomspace(max(low, 1.0), max(high, 1.0), 3)]
        if counts.max() > self.most:
            wanted[-1] = self.most
        values = sorted(set(wanted))
        names = [compact(value) for value in values]
        if counts.max() > self.most:
            names[-1] += " or more"
        return [(name, float(self.radii(np.array(value)))) for name, value in zip(names, values, strict=True)]


def _round(value: float) -> float:
    """Find the nearest of 1, 2, 3, 5, 10, 20, ... below a number, or 1."""
    steps = np.array([1.0, 2.0, 3.0, 5.0]) * 10.0 ** np.floor(np.log10(max(value, 1.0)))
    return float(steps[steps <= max(value, 1.0) * 1.0001].max())


@dataclass(frozen=True)
class Pies:
    """Shares of colours for each of some sets of observations."""

    shares: Array  # sets x colours; a row of zeros where nothing is known of a set
    colors: Array  # RGBA of each column
    names: list[str]  # groups that the colours stand for; empty if there is a colour bar
    title: str  # of the column
    scale: ScalarMappable | None = None  # colours of values
    unit: str = ""  # of the values
    n_missing: int = 0  # observations without a value, among those in any set

    @classmethod
    def of(
        cls,
        fill: Groups | Numbers,
        codes: Array,
        members: Array,
        palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    ) -> Pies:
        """Sum up a column over sets of groups (sets x groups, true where a group is in a set); code -1 is no group."""
        k = members.shape[1]
        if isinstance(fill, Numbers):
            known = (codes >= 0) & np.isfinite(fill.values)
            n = members @ np.bincount(codes[known], minlength=k)
            sums = members @ np.bincount(codes[known], weights=fill.values[known], minlength=k)
            means = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)
            finite = means[np.isfinite(means)]
            low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
            half = 0.5 if low == high else 0.0  # one value only: the middle of the scale
            scale = ScalarMappable(Normalize(low - half, high + half), SEQUENTIAL)
            scale.set_array(means)
            colors = np.asarray(scale.to_rgba(np.ma.masked_invalid(means)))
            n_missing = int(((codes >= 0) & ~np.isfinite(fill.values)).sum())
            return cls(np.diag((n > 0).astype(float)), colors, [], fill.title, scale, fill.unit, n_missing)
        table, pairs = np.zeros((k, len(fill.names))), count_pairs(codes, fill.codes)
        table[: pairs.shape[0], : pairs.shape[1]] = pairs
        counts = members @ table
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        seen = np.flatnonzero(table.any(axis=0))
        colors = own_colors(fill, palette)[seen]
        n_missing = int(((codes >= 0) & (fill.codes < 0)).sum())
        return cls(shares[:, seen], colors, [fill.names[i] for i in seen], fill.title, n_missing=n_missing)

    def draw(self, ax: Axes, centers: Array, radii: Array) -> None:
        """Draw each set where it belongs: the first colour starts at the top, and they follow with the clock.

        A radius of 0 leaves a set out.
        """
        for i, (center, radius) in enumerate(zip(centers, radii, strict=True)):
            if radius == 0:
                continue
            x, y = float(center[0]), float(center[1])
            present = np.flatnonzero(self.shares[i])
            start = 90.0
            for j in present:
                end = start - 360 * self.shares[i, j]
                wedge = Wedge(
                    (x, y), radius, end, start, facecolor=self.colors[j], linewidth=0, zorder=4, clip_on=False
                )
                wedge.set_gid(f"node {i} part {j}")
                ax.add_patch(wedge)
                start = end
            inside = "none" if len(present) else MISSING
            ax.add_patch(
                Circle((x, y), radius, facecolor=inside, edgecolor=EDGE, linewidth=0.5, zorder=5, clip_on=False)
            )
