"""Open gates of clusters of images, over the mean image of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.data import Groups
from kithkin.plot.images.mean_image import RGB, means_of, one_channel, pixel_positions
from kithkin.plot.images.picture_grid import PictureGrid
from kithkin.plot.look.style import ABSENT

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
    clusters: Groups,
    *,
    shape: tuple[int, int] | None,
    on: str,
    n_columns: int | None,
    threshold: float,
) -> Figure:
    """Draw the mean image of each cluster in grey, and its open gates over it; `gates` are features x clusters.

    Raises
    ------
    ParameterError
        If nothing says which pixel a feature is, or the features are a whole image of another shape.
    """
    positions, size = pixel_positions(ds, on, shape)
    n, (height, width, channels) = len(positions), size
    # a few pixels of an image may be missing, but no edge
    reach = (int((positions // (width * channels)).max()) + 1, int((positions // channels % width).max()) + 1)
    whole = n == reach[0] * reach[1] * channels or bool((np.sort(positions) == np.arange(n)).all())
    pixels = f"{n} features" if channels == 1 else f"{n} features in {channels} channels"
    fits = not whole or n == height * width * channels
    check(fits, f"shape must have as many pixels as there are, {pixels}, got {(height, width)}")
    present = np.flatnonzero(clusters.sizes())
    means, masks = (np.full((len(present), int(np.prod(size))), np.nan) for _ in range(2))
    means[:, positions] = means_of(ds, clusters, on)
    masks[:, positions] = gates[:, present].T
    means = one_channel(means.reshape(-1, *size), None if size[2] in (1, RGB) else 0)
    masks = np.nan_to_num(masks.reshape(-1, *size)).max(axis=3)
    known = means[np.isfinite(means)]
    low, high = (min(float(known.min()), 0.0), float(known.max())) if len(known) else (0.0, 1.0)
    # the lower half of the colour map, over which the mask can be seen; pixels that there are not are tinted
    pale = LinearSegmentedColormap.from_list("pale", colormaps["Greys"](np.linspace(0, 0.62, 64)))
    greys = ScalarMappable(Normalize(low, high if high > low else low + 1), pale.with_extremes(bad=ABSENT))
    grid = PictureGrid.of(clusters, size[0], size[1], n_columns)
    figure = grid.page(SIDE * (1 if means.ndim == RGB + 1 else 2))
    for k, (mean, mask) in enumerate(zip(means, np.ma.masked_less_equal(masks, threshold), strict=True)):
        ax = grid.add(figure, k)
        seen = mean if mean.ndim == RGB else np.ma.masked_invalid(mean)
        ax.imshow(seen, cmap=greys.get_cmap(), clim=greys.get_clim(), aspect="auto", interpolation="nearest")
        ax.imshow(mask, cmap=MASK, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    grid.add_scale(figure, ScalarMappable(Normalize(0, 1), ON_WHITE), "gate")
    if means.ndim == RGB:
        grid.add_scale(figure, greys, "mean", SIDE)
    return figure
