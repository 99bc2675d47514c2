"""The mean of the images in each group, as a picture."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import ParameterError, check, check_range
from kithkin.core.execute import map_blocks
from kithkin.plot.data import Groups, groups
from kithkin.plot.look.style import DPI, FAINT, INK, SMALL, TEXT, Picture, plain, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

SIDE, GAP, MARGIN = 0.95, 0.16, 0.2  # inches of a picture, between two of them, and around all
ABSENT = "#EEF1F5"  # pixels that the dataset does not have
LINE, NARROWEST = 0.15, 0.6  # inches of a line of text, and of a picture's width
GREY = "#777777"
RGB = 3
THUMBNAILS, CUT = "obsm/thumbnails", 4  # which read_image makes: cells x channels x rows x columns
CAST = 1 << 20  # values that are float64 at a time


def mean_image(
    ds: Dataset,
    by: Any = "obs/leiden",
    *,
    shape: tuple[int, int] | None = None,
    on: str = "X",
    channel: int | None = None,
    n_columns: int | None = None,
    cmap: str = "Greys",
) -> Figure:
    """Draw the mean of the members of each group as a picture, all with the same scale of shades.

    The table is streamed once. Each variable's place is read from var/row and var/column (and var/channel); or from
    names such as pixel_3_17; or from names such as 101 or pixel101, which count along the rows of an image of the
    given shape, from 1 if the last is its number of pixels, else from 0; or variables fill the shape row by row.
    Pixels that the dataset does not have are tinted.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key, or an array with one entry per observation.
    shape
        Rows and columns of an image. None: as far as the places of the variables reach.
    on
        What is averaged: "X", a layer, or images in obsm: n x rows x columns (x channels); obsm/thumbnails, as
        read_image makes them, n x channels x rows x columns.
    channel
        Which channel to draw, where there are several; None: three of them as red, green and blue.
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
    found = groups(ds, by)
    check(n_columns is None or n_columns >= 1, f"n_columns must be at least 1, got {n_columns!r}")
    place, size = pixel_places(ds, on, shape)
    means = group_means(ds, found, on)
    images = np.full((len(means), int(np.prod(size))), np.nan)
    images[:, place] = means
    images = one_channel(images.reshape(-1, *size), channel)
    known = images[np.isfinite(images)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    low = min(low, 0.0)  # counts and intensities begin at nothing
    shades = ScalarMappable(Normalize(low, high if high > low else low + 1), cmap)
    shades.get_cmap().set_bad(ABSENT)
    return _draw(images, found, n_columns, shades)


def group_means(ds: Dataset, found: Groups, on: str = "X") -> Array:
    """Mean of each variable over each group with members, summed in float64 block by block.

    Parameters
    ----------
    ds
        The dataset.
    found
        The groups; observations without one are left out.
    on
        "X", a layer, or an array in obsm, whose further dimensions are made one.

    Returns
    -------
    Groups with members x p.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from kithkin.core.blocks import InMemory
    >>> ds = SimpleNamespace(blocks=lambda key: InMemory(np.arange(6).reshape(3, 2)), execution=None)
    >>> group_means(ds, Groups("", np.array([1, 0, 1]), ["a", "b"])).tolist()
    [[2.0, 3.0], [2.0, 3.0]]
    """
    blocks, sizes = ds.blocks(on), found.sizes()
    total = np.zeros((len(sizes), int(np.prod(blocks.shape[1:]))))
    part = partial(_sums, codes=found.codes, n_groups=len(sizes))
    for sums in map_blocks(part, blocks, ds.execution, "mean images"):
        total += sums
    out: Array = total[sizes > 0] / sizes[sizes > 0, None]
    return out


def _sums(block: Block, start: int, codes: Array, n_groups: int) -> Array:
    """Sum of the rows of each group in a block, groups x p."""
    here = codes[start : start + block.shape[0]]
    if isinstance(block, SparseRows):
        row = np.repeat(here, np.diff(block.indptr))
        known, width = row >= 0, block.n_columns
        flat = row[known] * width + block.indices[known]
        sums: Array = np.bincount(flat, weights=block.data[known], minlength=n_groups * width)
        return sums.reshape(n_groups, width)
    rows = block.reshape(len(block), -1)
    sums, step = np.zeros((n_groups, rows.shape[1])), max(1, CAST // rows.shape[1])
    for at in range(0, len(rows), step):  # values are widened as they are summed, so a few at a time
        some = here[at : at + step]
        order = np.argsort(some, kind="stable")[np.count_nonzero(some < 0) :]
        if len(order):
            present, first = np.unique(some[order], return_index=True)
            sums[present] += np.add.reduceat(rows[at : at + step][order], first, axis=0, dtype=np.float64)
    return sums


def pixel_places(ds: Dataset, on: str, shape: tuple[int, int] | None) -> tuple[Array, tuple[int, int, int]]:
    """Where each variable lies in an image that is made one line, and the image's rows, columns and channels.

    Raises
    ------
    ParameterError
        If the shape does not go with the variables.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> pixel_places(SimpleNamespace(blocks=lambda on: np.zeros((5, 2, 3))), "obsm/thumbnails", None)
    (array([0, 1, 2, 3, 4, 5]), (2, 3, 1))
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
        place = np.arange(height * width * channels)
        if first:
            place = place.reshape(height, width, channels).transpose(2, 0, 1).ravel()
        return place, (height, width, channels)
    places, reach = _named_places(ds, on, stored[1], shape)
    height, width = reach[:2] if shape is None else shape
    outside = (places < 0).any(axis=0) | (places[0] >= height) | (places[1] >= width)
    check(not outside.any(), f"{outside.sum()} of {stored[1]} pixels lie outside of shape {(height, width)}")
    flat = np.ravel_multi_index(tuple(places), (height, width, reach[2]))
    check(len(np.unique(flat)) == len(flat), f"{len(flat) - len(np.unique(flat))} variables share a pixel with another")
    return flat, (height, width, reach[2])


def _named_places(
    ds: Dataset, on: str, n_vars: int, shape: tuple[int, int] | None
) -> tuple[Array, tuple[int, int, int]]:
    """Row, column and channel of each variable, and how far they reach."""
    found: list[Array] | None = None
    if on.partition("/")[0] != "obsm":
        if "var/row" in ds and "var/column" in ds:
            axes = ["row", "column"] + ["channel"] * ("var/channel" in ds)
            found = [np.asarray(ds.read(f"var/{axis}")) for axis in axes]
        else:
            found = _read_names(list(ds.var_names), shape)
    if found is None and shape is not None and n_vars == shape[0] * shape[1]:
        found = list(np.indices(shape).reshape(2, -1))
    if found is None:
        what = "shape must be given" if shape is None else f"shape {tuple(shape)} must have {n_vars} pixels"
        raise ParameterError(f"{what}, or var/row and var/column must say which pixels the variables of {on} are")
    if any(axis.dtype.kind not in "iu" for axis in found):
        raise ParameterError("var/row, var/column and var/channel must be whole numbers")
    places = np.array([*found, *[np.zeros(n_vars, np.int64)] * (3 - len(found))], dtype=np.int64)
    height, width, channels = (int(n) + 1 for n in places.max(axis=1))
    return places, (height, width, channels)


def _read_names(names: list[str], shape: tuple[int, int] | None) -> list[Array] | None:
    """Places from names that all are like pixel_3_17, or like pixel101 or 101; None if they are not."""
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


def one_channel(images: Array, channel: int | None) -> Array:
    """Groups x rows x columns of one channel, or with a last axis of red, green and blue between 0 and 1.

    Raises
    ------
    ParameterError
        If there are other than one or three channels, and none is named.

    Examples
    --------
    >>> one_channel(np.zeros((4, 2, 3, 5)), 1).shape
    (4, 2, 3)
    """
    n_channels = images.shape[3]
    if channel is not None:
        check_range("channel", channel, 0, n_channels - 1)
        return images[..., channel]
    if n_channels == 1:
        return images[..., 0]
    check(n_channels == RGB, f"channel must be one of 0..{n_channels - 1}, got None")
    out: Array = images / max(float(np.nanmax(images)), 1e-300)
    return np.clip(out, 0, 1)


def _draw(images: Array, found: Groups, n_columns: int | None, shades: ScalarMappable) -> Figure:
    sizes = found.sizes()
    present = np.flatnonzero(sizes)
    columns = min(len(present), n_columns or max(4, int(np.ceil(np.sqrt(1.6 * len(present))))))
    wide, high = picture_inches(*images.shape[1:3])
    names, counts, lines = fitted_titles([found.names[i] for i in present], sizes[present], wide)
    head = 0.04 + LINE * lines
    down = -(-len(present) // columns)
    figure = Picture(2 * MARGIN + columns * (wide + GAP) + 0.5, 2 * MARGIN + down * (high + head + GAP) - GAP)
    top = float(figure.get_size_inches()[1]) - MARGIN
    for k, (image, name, count) in enumerate(zip(images, names, counts, strict=True)):
        ax = figure.add_axes((0, 0, 1, 1), label=found.names[present[k]])
        row, column = divmod(k, columns)
        figure.place(ax, MARGIN + column * (wide + GAP), top - row * (high + head + GAP) - head - high, wide, high)
        shown = np.where(np.isnan(image), to_rgb(ABSENT), image) if image.ndim == RGB else np.ma.masked_invalid(image)
        ax.imshow(shown, cmap=shades.get_cmap(), clim=shades.get_clim(), aspect="auto", interpolation="nearest")
        plain(ax, keep="left right top bottom")
        ax.set(xticks=[], yticks=[])
        up = 1 + 0.045 / high
        ax.text(0, up + (lines - 1) * LINE / high, name, fontsize=TEXT, color=INK, transform=ax.transAxes)
        ax.text(float(lines == 1), up, count, fontsize=SMALL - 1, color=GREY, transform=ax.transAxes,
                ha="right" if lines == 1 else "left")  # fmt: skip
    if images.ndim == RGB:
        bar_ax = figure.add_axes((0, 0, 1, 1), label="colours")
        figure.place(bar_ax, MARGIN + columns * (wide + GAP), top - head - high, 0.09, high)
        bar = figure.colorbar(shades, cax=bar_ax)
        bar.outline.set_edgecolor(FAINT)
        bar_ax.tick_params(labelsize=SMALL - 1, length=2, color=FAINT, labelcolor=INK)
    return figure


def picture_inches(rows: int, columns: int) -> tuple[float, float]:
    """Inches of a picture: a whole number of screen pixels for each of its pixels, where that leaves it small.

    Examples
    --------
    >>> wide, high = picture_inches(28, 28)
    >>> wide == high and round(wide * DPI) % 28
    0
    """
    longer = max(rows, columns)
    scale = max(1, round(SIDE * DPI / longer)) / DPI if longer <= 2 * SIDE * DPI else 2 * SIDE / longer
    return max(columns * scale, NARROWEST), max(rows * scale, 0.05)


def fitted_titles(names: list[str], sizes: Array, wide: float) -> tuple[list[str], list[str], int]:
    """Names and sizes as they are written, and whether both stand on one line or on two.

    Examples
    --------
    >>> fitted_titles(["7"], np.array([1234]), 1.0)
    (['7'], ['1,234'], 1)
    """
    counts = [f"{size:,}" for size in sizes]
    beside = text_inches(names, TEXT)[:, 0] + text_inches(counts, SMALL - 1)[:, 0] + 0.06
    return [_cut(name, wide) for name in names], counts, 1 if (beside <= wide).all() else 2


def _cut(name: str, wide: float) -> str:
    """Take out the middle of a name until it is no wider than its picture: names often differ at their ends."""
    kept, most = name, len(name)
    while most > 2 and text_inches([kept], TEXT)[0, 0] > wide + 0.5 * GAP:
        most -= 1
        kept = f"{name[: most - most // 2]}…{name[len(name) - most // 2 :]}"
    return kept
