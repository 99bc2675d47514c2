"""A bar that says how long something in a picture is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kithkin.plot.look.style import INK, SMALL

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

SHARE = 0.25  # of the width, at most
THICK = 2.2  # points


def pixel_sides(ds: Dataset, region: str | None = None) -> tuple[float, float] | None:
    """Read the height and width of a pixel in micrometres, as the image (or the first) said it; None if it did not."""
    sources: list[dict[str, Any]] = []
    if region is not None and "uns/spatial" in ds:
        sources.append(ds.read("uns/spatial").get(region, {}).get("metadata", {}))
    if "uns/thumbnails" in ds:
        sources.append(ds.read("uns/thumbnails"))
    for source in sources:
        if "pixel_size" in source:
            return float(source["pixel_size"]), float(source["pixel_size"])
        if "pixel_width" in source and "pixel_height" in source:  # where pixels are not square
            return float(source["pixel_height"]), float(source["pixel_width"])
    return None


def pixel_size(ds: Dataset, region: str | None = None) -> float | None:
    """Return the width of a pixel in micrometres, for a level bar; None if the image did not say it."""
    sides = pixel_sides(ds, region)
    return None if sides is None else sides[1]


def bar_of(width: float, size: float | None) -> tuple[float, str]:
    """Choose the length of a bar in pixels and its text: 1, 2 or 5 times a power of ten, a quarter of a width at most.

    `size` is the micrometres of a pixel; None: pixels are written.

    Examples
    --------
    >>> bar_of(100, 0.5), bar_of(50, None)
    ((20.0, '10 µm'), (10.0, '10 px'))
    """
    most = SHARE * width * (size or 1.0)
    power = 10.0 ** np.floor(np.log10(max(most, 1e-9)))
    length = float(power * max(step for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)))
    unit, shown = ("px", length) if size is None else ("µm", length) if length < 1000 else ("mm", length / 1000)
    return length / (size or 1.0), f"{shown:g} {unit}"


def draw_bar(ax: Axes, left: float, at: float, length: float, text: str) -> list[Any]:
    """Draw a bar in the data's coordinates, its text beneath it, also outside of the axes, and return the artists."""
    (line,) = ax.plot([left, left + length], [at, at], color=INK, linewidth=THICK, solid_capstyle="butt", clip_on=False)
    label = ax.annotate(
        text, (left + length / 2, at), (0, -3), textcoords="offset points", ha="center", va="top", fontsize=SMALL - 1,
        color=INK, annotation_clip=False,
    )  # fmt: skip
    artists: list[Line2D | Any] = [line, label]
    return artists
