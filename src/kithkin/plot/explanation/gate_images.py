"""Open gates of clusters of images, over the mean image of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.data import Groups
from kithkin.plot.images.mean_image import (
    ABSENT,
    GAP,
    GREY,
    LINE,
    MARGIN,
    RGB,
    fitted_titles,
    group_means,
    one_channel,
    picture_inches,
    pixel_places,
)
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

# clear at 0, so that the mean shows through; light to dark, so that gates differ also without colour
MASK = LinearSegmentedColormap.from_list(
    "mask", [(0.98, 0.72, 0.35, 0.0), (0.95, 0.5, 0.1, 0.75), (0.75, 0.1, 0.0, 0.92)]
)
ON_WHITE = LinearSegmentedColormap.from_list("mask on white", [(1, 1, 1), (0.963, 0.625, 0.325), (0.77, 0.172, 0.08)])
SIDE = 0.7  # inches for the two scales


def draw_images(
    ds: Dataset,
    gates: Array,
    found: Groups,
    *,
    shape: tuple[int, int] | None,
    on: str,
    n_columns: int | None,
    threshold: float,
) -> Figure:
    """Draw the mean image of each cluster in grey, and its open gates over it.

    Parameters
    ----------
    ds
        The dataset.
    gates
        p x K.
    found
        The clusters.
    shape
        Rows and columns of an image; None: as far as the places of the variables reach.
    on
        What is averaged.
    n_columns
        Pictures side by side; about as many as make a wide page when None.
    threshold
        Gates up to it are not drawn.

    Raises
    ------
    ParameterError
        If nothing says which pixel a feature is, or the features are a whole image of another shape.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.arange(12.0).reshape(3, 4), to=tempfile.mkdtemp() + "/a.zarr")
    >>> settings = {"shape": (2, 2), "on": "X", "n_columns": None, "threshold": 0.1}
    >>> figure = draw_images(ds, np.eye(4)[:, :1], Groups("", np.zeros(3, int), ["a"]), **settings)
    >>> figure.axes[0].images[1].get_array().filled(0).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    place, size = pixel_places(ds, on, shape)
    _check_whole(place, size)
    present = np.flatnonzero(found.sizes())
    means, masks = (np.full((len(present), int(np.prod(size))), np.nan) for _ in range(2))
    means[:, place] = group_means(ds, found, on)
    masks[:, place] = gates[:, present].T
    means = one_channel(means.reshape(-1, *size), None if size[2] in (1, RGB) else 0)
    masks = np.nan_to_num(masks.reshape(-1, *size)).max(axis=3)
    known = means[np.isfinite(means)]
    low, high = (min(float(known.min()), 0.0), float(known.max())) if len(known) else (0.0, 1.0)
    greys = ScalarMappable(Normalize(low, high if high > low else low + 1), _pale("Greys"))
    return _draw(means, np.ma.masked_less_equal(masks, threshold), found, n_columns, greys)


def _check_whole(place: Array, size: tuple[int, int, int]) -> None:
    """Refuse a shape with room to spare for features that are a whole image: a few may be missing, but no edge."""
    n, (height, width, channels) = len(place), size
    reach = (int((place // (width * channels)).max()) + 1, int((place // channels % width).max()) + 1)
    whole = n == reach[0] * reach[1] * channels or bool((np.sort(place) == np.arange(n)).all())
    pixels = f"{n} features" if channels == 1 else f"{n} features in {channels} channels"
    fits = not whole or n == height * width * channels
    check(fits, f"shape must have as many pixels as there are, {pixels}, got {(height, width)}")


def _pale(name: str) -> Colormap:
    """The lower half of a colour map, over which the mask can be seen; pixels that there are not are tinted."""
    import matplotlib as mpl

    shades = LinearSegmentedColormap.from_list("pale", mpl.colormaps[name](np.linspace(0, 0.62, 64)))
    return shades.with_extremes(bad=ABSENT)


def _draw(means: Array, masks: Array, found: Groups, n_columns: int | None, greys: ScalarMappable) -> Figure:
    sizes = found.sizes()
    present = np.flatnonzero(sizes)
    columns = min(len(present), n_columns or max(4, int(np.ceil(np.sqrt(1.6 * len(present))))))
    wide, high = picture_inches(*means.shape[1:3])
    names, counts, lines = fitted_titles([found.names[i] for i in present], sizes[present], wide)
    head, down = 0.04 + LINE * lines, -(-len(present) // columns)
    tall = 2 * MARGIN + down * (high + head + GAP) - GAP
    figure = Picture(2 * MARGIN + columns * (wide + GAP) + SIDE * (1 if means.ndim == RGB + 1 else 2), tall)
    top = tall - MARGIN
    for k, (mean, mask) in enumerate(zip(means, masks, strict=True)):
        ax = figure.add_axes((0, 0, 1, 1), label=found.names[present[k]])
        row, column = divmod(k, columns)
        figure.place(ax, MARGIN + column * (wide + GAP), top - row * (high + head + GAP) - head - high, wide, high)
        shown = mean if mean.ndim == RGB else np.ma.masked_invalid(mean)
        ax.imshow(shown, cmap=greys.get_cmap(), clim=greys.get_clim(), aspect="auto", interpolation="nearest")
        ax.imshow(mask, cmap=MASK, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        plain(ax, keep="left right top bottom")
        ax.set(xticks=[], yticks=[])
        _write_title(ax, (names[k], f"{counts[k]}"), lines, high)
    left, bottom = MARGIN + columns * (wide + GAP), top - head - high
    _scale(figure, ScalarMappable(Normalize(0, 1), ON_WHITE), "gate", (left, bottom, high))
    if means.ndim == RGB:
        _scale(figure, greys, "mean", (left + SIDE, bottom, high))
    return figure


def _write_title(ax: Axes, texts: tuple[str, str], lines: int, high: float) -> None:
    up = 1 + 0.045 / high
    ax.text(0, up + (lines - 1) * LINE / high, texts[0], fontsize=TEXT, color=INK, transform=ax.transAxes)
    ax.text(float(lines == 1), up, texts[1], fontsize=SMALL - 1, color=GREY, transform=ax.transAxes,
            ha="right" if lines == 1 else "left")  # fmt: skip


def _scale(figure: Picture, shades: ScalarMappable, title: str, box: tuple[float, float, float]) -> None:
    left, bottom, high = box
    ax = figure.add_axes((0, 0, 1, 1), label=f"scale of {title}")
    figure.place(ax, left, bottom, 0.09, high)
    bar = figure.colorbar(shades, cax=ax)
    bar.outline.set_edgecolor(FAINT)
    ax.tick_params(labelsize=SMALL - 1, length=2, color=FAINT, labelcolor=INK)
    bar.set_label(title, fontsize=SMALL, color=INK)
