"""The mean of the images in each group, as a picture."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check
from kithkin.core.keys import Key
from kithkin.core.windows import THUMBNAILS, inside_image
from kithkin.models.table.group_means import group_means
from kithkin.plot.data import Groups, groups
from kithkin.plot.images.channels import choose_channels, name_channels
from kithkin.plot.images.picture_grid import PictureGrid
from kithkin.plot.look.palette import colormap
from kithkin.plot.look.style import ABSENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

RGB = 3
CUT = 4  # dimensions of the thumbnails that read_image makes: cells x channels x rows x columns


def mean_image(
    ds: Dataset,
    by: Any = "obs/leiden",
    *,
    shape: tuple[int, int] | None = None,
    on: str = "X",
    channel: int | str | None = None,
    n_columns: int | None = None,
    cmap: str = "Greys",
) -> Figure:
    """Draw the mean of the members of each group as a picture, all with the same scale of shades.

    The table is streamed once. Each variable's place is read from var/row and var/column (and var/channel); or from
    names such as pixel_3_17; or from names such as 101 or pixel101, which count along the rows of an image of the
    given shape, from 1 if the last is its number of pixels, else from 0; or variables fill the shape row by row.
    Pixels that the dataset does not have are tinted. Pixels of thumbnails that lie beyond the edge of the image are no
    part of the mean.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key, or an array with one entry per observation.
    shape
        Rows and columns of an image. None: as far as the places of the variables reach.
    on
        Table that is averaged: "X", a layer, or images in obsm: n x rows x columns (x channels); obsm/thumbnails, as
        read_image makes them, n x channels x rows x columns.
    channel
        Number from 1, or name, of the channel to draw, where there are several. None: three of them as red, green and
        blue.
    n_columns
        Pictures side by side; about as many as make a wide page when None.
    cmap
        A matplotlib colour map.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the groups or the table are not there.
    ParameterError
        If nothing says which pixel a variable is, or a pixel lies outside the shape.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.arange(12.0).reshape(3, 4), to=tempfile.mkdtemp() + "/a.zarr")
    >>> figure = mean_image(ds, ["a", "b", "b"], shape=(2, 2))
    >>> figure.axes[1].images[0].get_array().tolist()
    [[6.0, 7.0], [8.0, 9.0]]
    """
    labels = groups(ds, by)
    check(n_columns is None or n_columns >= 1, f"n_columns must be at least 1, got {n_columns!r}")
    positions, size = pixel_positions(ds, on, shape)
    means = means_of(ds, labels, on)
    images = np.full((len(means), int(np.prod(size))), np.nan)
    images[:, positions] = means
    chosen = None if channel is None else choose_channels(name_channels(ds, size[2]), [channel], "channel")[0]
    images = one_channel(images.reshape(-1, *size), chosen)
    known = images[np.isfinite(images)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    low = min(low, 0.0)  # counts and intensities begin at nothing
    shades = ScalarMappable(Normalize(low, high if high > low else low + 1), colormap(cmap))
    shades.get_cmap().set_bad(ABSENT)
    grid = PictureGrid.of(labels, size[0], size[1], n_columns)
    figure = grid.page(0.5)
    for k, image in enumerate(images):
        ax = grid.add(figure, k)
        seen = np.where(np.isnan(image), to_rgb(ABSENT), image) if image.ndim == RGB else np.ma.masked_invalid(image)
        ax.imshow(seen, cmap=shades.get_cmap(), clim=shades.get_clim(), aspect="auto", interpolation="nearest")
    if images.ndim == RGB:
        grid.add_scale(figure, shades)
    return figure


def means_of(ds: Dataset, labels: Groups, on: str = "X") -> Array:
    """Compute the mean of each variable over each group with members, as `kithkin.means`.

    Further dimensions of an array in obsm are made one. NaN where no member has a pixel inside its image.
    """
    inside = inside_image(ds, on)
    means, sizes = group_means(ds.blocks(on), labels.codes, len(labels.names), inside, ds.execution, "mean images")
    return means[sizes > 0].reshape(np.count_nonzero(sizes), -1)


def pixel_positions(ds: Dataset, on: str, shape: tuple[int, int] | None) -> tuple[Array, tuple[int, int, int]]:
    """Return the position of each variable in a flattened image, and the image's rows, columns and channels.

    Raises
    ------
    ParameterError
        If the shape does not go with the variables.
    """
    pair = isinstance(shape, (tuple, list)) and len(shape) == 2
    sound = shape is None or (pair and all(isinstance(n, (int, np.integer)) and n > 0 for n in shape))
    check(sound, f"shape must be rows and columns, such as (28, 28), got {shape!r}")
    stored: tuple[int, ...] = ds.blocks(on).shape
    if len(stored) > 2:
        first = on == THUMBNAILS and len(stored) == CUT  # these have their channels first
        height, width, channels = (*stored[2:], stored[1]) if first else (*stored[1:], 1)[:3]
        fits = len(stored) <= 4 and (shape is None or tuple(shape) == (height, width))
        check(fits, f"shape must be that of the images in {on}, {stored[1:]}, got {shape!r}")
        flat = np.arange(height * width * channels)
        if first:
            flat = flat.reshape(height, width, channels).transpose(2, 0, 1).ravel()
        return flat, (height, width, channels)
    axes: list[Array] | None = None
    if Key.parse(on, option="on").place != "obsm":
        if "var/row" in ds and "var/column" in ds:
            named = [key for key in ("var/row", "var/column", "var/channel") if key in ds]
            axes = [np.asarray(ds.read(key)) for key in named]
        else:
            axes = _parse_names(list(ds.var_names), shape)
    if axes is None and shape is not None and stored[1] == shape[0] * shape[1]:
        axes = list(np.indices(shape).reshape(2, -1))
    if axes is None:
        what = "shape must be given" if shape is None else f"shape {tuple(shape)} must have {stored[1]} pixels"
        raise ParameterError(f"{what}, or var/row and var/column must say which pixels the variables of {on} are")
    if any(axis.dtype.kind not in "iu" for axis in axes):
        raise ParameterError("var/row, var/column and var/channel must be whole numbers")
    places = np.array([*axes, *[np.zeros(stored[1], np.int64)] * (3 - len(axes))], dtype=np.int64)
    reach = tuple(int(n) + 1 for n in places.max(axis=1))
    height, width = reach[:2] if shape is None else shape
    outside = (places < 0).any(axis=0) | (places[0] >= height) | (places[1] >= width)
    check(not outside.any(), f"{outside.sum()} of {stored[1]} pixels lie outside of shape {(height, width)}")
    flat = np.ravel_multi_index(tuple(places), (height, width, reach[2]))
    check(len(np.unique(flat)) == len(flat), f"{len(flat) - len(np.unique(flat))} variables share a pixel with another")
    return flat, (height, width, reach[2])


def _parse_names(names: list[str], shape: tuple[int, int] | None) -> list[Array] | None:
    """Parse positions from names that all are like pixel_3_17, or like pixel101 or 101; None if they are not."""
    pairs = [re.fullmatch(r"\D*?(\d+)_(\d+)(?:_(\d+))?", name) for name in names]
    if names and all(pairs):
        rows = [[int(part) for part in match.groups(default="0")] for match in pairs if match]
        return list(np.array(rows).T)
    counts = [re.fullmatch(r"(\D*)(\d+)", name) for name in names]
    if shape is None or not names or not all(counts) or len({match[1] for match in counts if match}) > 1:
        return None
    numbers = np.array([int(match[2]) for match in counts if match])
    size = shape[0] * shape[1]
    if numbers.max() == size and numbers.min() > 0:
        numbers -= 1
    if numbers.max() >= size:
        check(len(names) == size, f"shape {tuple(shape)} has no pixel {names[int(numbers.argmax())]}")
        return None
    return list(np.divmod(numbers, shape[1]))


def one_channel(images: Array, position: int | None) -> Array:
    """Select one channel, groups x rows x columns, or scale three to red, green and blue in 0..1 on a last axis.

    Raises
    ------
    ParameterError
        If there are other than one or three channels, and none is named.
    """
    n_channels = images.shape[3]
    if position is not None:
        return images[..., position]
    if n_channels == 1:
        return images[..., 0]
    check(n_channels == RGB, f"channel must be one of 1..{n_channels} or a name, got None")
    out: Array = images / max(float(np.nanmax(images)), 1e-300)
    return np.clip(out, 0, 1)
