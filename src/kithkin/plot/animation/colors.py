"""Colours of an animation: one palette for all frames, with slots for values and groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, is_color_like, to_rgba_array

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.animation.key_frames import Series
from kithkin.plot.animation.levels import INK, LEVELS, MISSING, SHADES, frame_levels, rank_levels, value_levels
from kithkin.plot.animation.margin import bar_of, legend_of
from kithkin.plot.look.palette import MISSING as GREY
from kithkin.plot.look.palette import MOST, SEQUENTIAL, categorical, colormap, group_colors
from kithkin.plot.look.style import DARK_MISSING, LIGHT_INK
from kithkin.plot.look.style import INK as DARK_INK

Limits: TypeAlias = tuple[float, float] | Literal["frame"] | None  # of a scale: of all frames where None
WHITE, BLACK = "#FFFFFF", "#101014"


def palette_of(colors: Array, dark: bool) -> Array:
    """Make the 256 colours of all frames, uint8: background, k x 3 colours, the missing ones' grey, shades of ink."""
    out = np.zeros((256, 3))
    paper, grey, ink = (
        to_rgba_array(c)[0, :3] for c in ((BLACK, DARK_MISSING, LIGHT_INK) if dark else (WHITE, GREY, DARK_INK))
    )
    out[0], out[MISSING] = paper, grey
    out[1 : 1 + len(colors)] = colors
    share = np.arange(1, SHADES + 1)[:, None] / SHADES
    out[INK : INK + SHADES] = paper + (ink - paper) * share
    return np.rint(out * 255).astype(np.uint8)


def value_colors(palette: Any) -> Array:
    """Return the colours of the levels of values, 224 x 3: of a colour map or its name, or mixed from a list.

    Raises
    ------
    ParameterError
        If the palette is none of these.
    """
    palette = SEQUENTIAL if palette is None else palette
    if isinstance(palette, (list, tuple)):
        good = len(palette) > 1 and all(is_color_like(color) for color in palette)
        check(good, f"palette must hold two colours or more, got {palette!r}")
        palette = LinearSegmentedColormap.from_list("palette", list(palette), N=LEVELS)
    palette = colormap(palette, "palette")
    return np.asarray(palette(np.linspace(0, 1, LEVELS)), float)[:, :3]


def slots_of(names: list[str], palette: Any, dark: bool) -> tuple[Array, Array]:
    """Return the different colours of groups, k x 3, and for each group 1 + the number of its colour.

    Raises
    ------
    ParameterError
        If there are more than 224 colours, or the palette lacks one.
    """
    if palette is None:  # the colours of few groups end with black
        palette = categorical(max(9 if dark else 0, min(len(names), MOST)))
        palette = [palette[k % len(palette)] for k in range(len(names))]
    colors, which = np.unique(group_colors(names, palette)[:, :3], axis=0, return_inverse=True)
    check(len(colors) <= LEVELS, f"palette must have at most {LEVELS} different colours, got {len(colors)}")
    return colors.reshape(-1, 3), (1 + which.reshape(-1)).astype(np.uint8)


def number(value: float) -> str:
    """Write three digits of a number, without an exponent where it can be read without.

    Examples
    --------
    >>> number(12689.0), number(0.12345), number(3e-9)
    ('12,700', '0.123', '3e-09')
    """
    text = f"{value:.3g}"
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e7 else text


@dataclass(frozen=True)
class Paint:
    """Colours of points, and the legend beside them."""

    colors: Array  # k x 3, in 0..1: the colours 1..k of a frame
    levels: Callable[[Array], Array] | None  # from the values of a frame; None where there are groups
    slots: Array  # colour of each group
    side: Array  # legend or colour bar, as high as the picture


def paint_values(values: Series, palette: Any, rank: bool, limits: Limits, label: str, size: tuple[int, int]) -> Paint:
    """Colours of values by rank, on one scale for all frames, or on a scale of each frame.

    Raises
    ------
    ParameterError
        If limits are neither two ascending numbers nor "frame", or no value is finite.
    """
    colors, none = value_colors(palette), np.zeros(0, np.uint8)
    if rank:
        check(limits is None, "limits has no effect on ranks: set rank=False")
        return Paint(colors, rank_levels, none, bar_of("low", "high", label, size))
    if isinstance(limits, str):
        check(limits == "frame", f"limits must be two ascending numbers, 'frame' or None, got {limits!r}")
        return Paint(colors, frame_levels, none, bar_of("low", "high", label, size))
    if limits is None:
        low, high = np.inf, -np.inf
        for k in range(values.n_frames or 1):
            known = values.at(k)
            known = known[np.isfinite(known)]
            low, high = min(low, float(known.min(initial=np.inf))), max(high, float(known.max(initial=-np.inf)))
        check(low <= high, "color must have at least one finite value")
        low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
    else:
        low, high = limits
    good = bool(np.isfinite([low, high]).all()) and low < high
    check(good, f"limits must be two ascending numbers, 'frame' or None, got {limits!r}")
    levels = partial(value_levels, low=float(low), high=float(high))
    return Paint(colors, levels, none, bar_of(number(low), number(high), label, size))


def paint_groups(codes: Series, names: list[str], palette: Any, dark: bool, size: tuple[int, int]) -> Paint:
    """Colour groups."""
    colors, slots = slots_of(names, palette, dark)
    # a function is not called once more only for the legend
    some = not codes.ordered and any(codes.at(k).min(initial=0) < 0 for k in range(codes.n_frames or 1))
    return Paint(colors, None, slots, legend_of(names, slots, size, some))
