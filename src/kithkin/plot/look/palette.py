"""Colours that stay apart: for groups (also for colour-blind readers) and for values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import Colormap, is_color_like, to_hex, to_rgba_array

from kithkin.core.blocks import Array
from kithkin.core.errors import brief, check, check_known, check_range

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
MISSING = "#D9D9D9"
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"
MOST = 160  # beyond this many groups no two colours could be told apart anyway, and the order starts again

# Linear sRGB as seen without the M or the L cones (Machado et al. 2009, severity 1)
_DEUTAN = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
_PROTAN = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(rgb: Array) -> Array:
    """Convert sRGB colours in 0..1 to lightness, green-red and blue-yellow, where distance is what the eye sees.

    Oklab, B. Ottosson (2020), https://bottosson.github.io/posts/oklab/.
    """
    return _oklab(_linear(np.asarray(rgb, float)))


def _linear(rgb: Array) -> Array:
    out: Array = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return out


def _oklab(linear: Array) -> Array:
    out: Array = np.cbrt(np.clip(linear, 0, 1) @ _TO_LMS.T) @ _TO_LAB.T
    return out


def views(rgb: Array) -> Array:
    """Return the Oklab coordinates of colours for a normal eye, one without M cones and one without L cones, 3 x n x 3.

    Machado, Oliveira and Fernandes (2009), doi:10.1109/TVCG.2009.113.
    """
    linear = _linear(np.asarray(rgb, float))
    return np.stack([_oklab(linear), _oklab(linear @ _DEUTAN.T), _oklab(linear @ _PROTAN.T)])


@lru_cache(maxsize=1)
def _long_order() -> tuple[str, ...]:
    """Choose Okabe and Ito's colours without black, then each next colour as far as possible from all before it."""
    steps = np.linspace(0, 1, 18)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = to_oklab(rgb)
    # neither near the white paper, nor black, nor neon, nor grey: light grey means "missing"
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    keep = (lab[:, 0] > 0.27) & (lab[:, 0] < 0.88) & (chroma > 0.055) & (chroma < 0.26)
    start = to_rgba_array(OKABE_ITO[:7])[:, :3]
    rgb = np.concatenate([start, rgb[keep]])
    seen = views(rgb)
    # colour-blind distances weigh less: with forty groups in two dimensions they would otherwise decide alone
    weight = np.array([1.0, 1.8, 1.8])[:, None]
    chosen: list[int] = []
    nearest = np.full(len(rgb), np.inf)
    for i in range(MOST):
        pick = i if i < len(start) else int(np.argmax(nearest))
        chosen.append(pick)
        distance = (weight * np.linalg.norm(seen - seen[:, pick : pick + 1], axis=2)).min(axis=0)
        nearest = np.minimum(nearest, distance)
    return tuple(to_hex(rgb[i]).upper() for i in chosen)


def categorical(n: int) -> list[str]:
    """Return colours for n groups, as hex strings in a fixed order.

    Up to eight groups get the colours of Okabe and Ito, made for colour-blind readers. More groups get the first seven
    of these, followed by colours chosen one by one to be far from all before them, for a normal eye and for the two
    frequent kinds of colour blindness. Group i has the same colour for every n from 9 on.

    Parameters
    ----------
    n
        Number of groups; beyond 160 the colours repeat.

    Raises
    ------
    ParameterError
        If n is negative.

    Notes
    -----
    Okabe and Ito (2008), Color Universal Design, https://jfly.uni-koeln.de/color/.

    Examples
    --------
    >>> categorical(2)
    ['#0072B2', '#E69F00']
    >>> len(set(categorical(60)))
    60
    """
    check_range("n", n, 0, 10**9)
    if n <= len(OKABE_ITO):
        return list(OKABE_ITO[:n])
    order = _long_order()
    return [order[i % MOST] for i in range(n)]


def group_colors(
    names: Sequence[str], palette: str | Sequence[Any] | Mapping[str, Any] | pd.Series[Any] | None = None
) -> Array:
    """Give each group its colour.

    Parameters
    ----------
    names
        k group names, in order.
    palette
        Colours in the order of the names, or by name (a mapping or a Series), or the name of a colour map; chosen by
        `categorical` when None.

    Returns
    -------
    k x 4 RGBA in 0..1.

    Raises
    ------
    ParameterError
        If the palette has too few colours, no colour for a name, or something that is not a colour.

    Examples
    --------
    >>> group_colors(["B", "T"], {"T": "red", "B": "black"}).tolist()
    [[0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]
    """
    if isinstance(palette, str):  # one with few colours is meant for groups, the others run evenly
        many = colormap(palette, "palette")
        few = np.arange(len(names)) % many.N
        palette = list(many(few if many.N < 256 else np.linspace(0, 1, len(names))))
    if isinstance(palette, pd.Series) and not isinstance(palette.index, pd.RangeIndex):  # by name
        palette = {str(name): color for name, color in palette.items()}
    if palette is None:
        colors: list[Any] = list(categorical(len(names)))
    elif isinstance(palette, Mapping):
        absent = [name for name in names if name not in palette]
        check(not absent, f"palette has no colour for {', '.join(map(repr, absent[:5]))}")
        colors = [palette[name] for name in names]
    else:
        check(isinstance(palette, Iterable), f"palette must be a list of colours or a colour map, got {brief(palette)}")
        palette = list(palette)
        check(len(palette) >= len(names), f"palette must have at least {len(names)} colours, got {len(palette)}")
        colors = list(palette[: len(names)])
    wrong = [color for color in colors if not is_color_like(color)]
    check(not wrong, f"palette must hold colours, got {wrong[:1]}")
    return np.asarray(to_rgba_array(colors), float).reshape(-1, 4)


def to_hexes(colors: Array) -> list[str]:
    """Write colours, k x 4 in 0..1, as a browser reads them.

    Examples
    --------
    >>> to_hexes(np.array([[1.0, 0.5, 0.0, 1.0]]))
    ['#ff8000']
    """
    return [to_hex(color) for color in colors]


def colormap(cmap: Any, option: str = "cmap") -> Colormap:
    """Find a colour map by its name, as a copy that may be changed.

    Raises
    ------
    ParameterError
        If matplotlib has none of that name.
    """
    if isinstance(cmap, Colormap):
        return cmap.copy()
    name = SEQUENTIAL if cmap is None else cmap
    check_known([name], list(colormaps), f"{option} must be the name of a colour map, got")
    return colormaps[name]
