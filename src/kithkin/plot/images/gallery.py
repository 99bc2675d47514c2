"""The most typical cells of every cluster, as small pictures of a few channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_rgb
from matplotlib.patches import Rectangle

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import ParameterError, check, check_range
from kithkin.core.execute import map_blocks
from kithkin.plot.data import Groups, groups
from kithkin.plot.images.mean_image import group_means
from kithkin.plot.look.palette import group_colors
from kithkin.plot.look.scale_bar import bar_of, draw_bar, pixel_size
from kithkin.plot.look.style import DPI, INK, SMALL, TEXT, Picture, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

COLOURS = ("#2F6BFF", "#FF4FC3", "#FFD23F", "#29E08A", "#FF7A2F", "#FFFFFF")  # light that adds up on black
FEW = 3  # channels shown when none are named
SIDE, GAP, MARGIN, HEAD, FOOT, LINE = 0.62, 0.05, 0.15, 0.32, 0.34, 0.15  # inches
OUTLINE = "#FFFFFF"
GREY = "#777777"
PLACES = ("obsm/X_pca", "obsm/features", "X")  # where cells are compared, the first that is there
THUMBNAILS = 4  # dimensions of their table


def gallery(
    ds: Dataset,
    by: Any = "obs/leiden",
    *,
    channels: Sequence[str | int] | None = None,
    n_cells: int = 10,
    near: str | None = None,
    on: str = "obsm/thumbnails",
    masks: str | None = "obsm/masks",
    mean: bool = False,
    colors: Sequence[Any] | None = None,
    palette: Sequence[Any] | Mapping[str, Any] | None = None,
    clip: tuple[float, float] = (1.0, 99.7),
) -> Figure:
    """Draw the most typical cells of every cluster, one row each: those nearest to the cluster's mean.

    Each channel is light of one colour, from black at one percentile of the pixels shown to full at another, the same
    for all cells, so that clusters can be compared.

    Parameters
    ----------
    ds
        The dataset.
    by
        The clusters: a key, or an array with one entry per cell.
    channels
        Names, or numbers from 1, of up to six channels; the first three when None.
    n_cells
        Cells of each cluster.
    near
        Table in which cells are compared to the mean of their cluster; None: the first of obsm/X_pca, obsm/features
        and X that is there.
    on
        Thumbnails, n x channels x rows x columns.
    masks
        Masks whose outline is drawn, n x rows x columns, where they are there; None: no outlines.
    mean
        Begin each row with the mean of all thumbnails of the cluster, for which all are read.
    colors
        One for each channel.
    palette
        Colours of the clusters, in order or by name.
    clip
        Percentiles that are black and full light.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If there are no thumbnails or clusters.
    ParameterError
        If a channel is not there, or a colour is none.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(6), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obsm/thumbnails": np.random.default_rng(0).random((6, 2, 9, 9))})
    >>> figure = gallery(ds, ["a", "a", "b", "b", "b", "b"], n_cells=3)
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['a', '2']
    """
    found = groups(ds, by)
    check_range("n_cells", n_cells, 1, 100)
    check(0 <= clip[0] < clip[1] <= 100, f"clip must be two ascending percentiles, got {clip!r}")
    shape: tuple[int, ...] = ds.blocks(on).shape
    check(len(shape) == THUMBNAILS, f"on must be cells x channels x rows x columns, got {' x '.join(map(str, shape))}")
    chosen, names = _channels(ds, shape[1], channels)
    lights = _lights(colors, len(chosen))
    typical = typical_rows(ds, found, n_cells, near)
    rows = np.concatenate(typical)
    pixels = np.asarray(ds.rows(rows, on))[:, chosen].astype(np.float64)
    outlines = np.asarray(ds.rows(rows, masks)) > 0 if masks is not None and masks in ds else None
    means = None
    if mean:
        means = group_means(ds, found, on).reshape(-1, *shape[1:])[:, chosen]
    low, high = np.percentile(pixels, clip, axis=(0, 2, 3))
    strips, first = [], 0
    for k, some in enumerate(typical):
        cut = slice(first, first + len(some))
        own = pixels[cut] if means is None else np.concatenate([means[k : k + 1], pixels[cut]])
        marks = None if outlines is None else outlines[cut]
        if marks is not None and mean:
            marks = np.concatenate([np.zeros((1, *marks.shape[1:]), bool), marks])
        strips.append((composite(own, low, high, lights), marks))
        first += len(some)
    return _draw(ds, found, strips, (names, lights), group_colors(found.names, palette), mean=mean)


def typical_rows(ds: Dataset, found: Groups, n_cells: int, near: str | None = None) -> list[Array]:
    """Cells of each cluster with members that are nearest to its mean, the nearest first.

    Parameters
    ----------
    ds
        The dataset.
    found
        The clusters.
    n_cells
        Of each cluster at most.
    near
        Table of coordinates; None: the first of obsm/X_pca, obsm/features and X that is there. Columns of a table
        that is not obsm/X_pca are brought to one scale.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from kithkin.core.blocks import InMemory
    >>> table = InMemory(np.array([[0.0], [5.0], [1.0], [9.0]]))
    >>> ds = SimpleNamespace(blocks=lambda key: table, execution=None)
    >>> [rows.tolist() for rows in typical_rows(ds, Groups("", np.array([0, 1, 0, 0]), ["a", "b"]), 2, "X")]
    [[2, 0], [1]]
    """
    key = near or next((key for key in PLACES if key in ds), PLACES[-1])
    blocks = ds.blocks(key)
    centres = np.zeros((len(found.names), blocks.shape[1]))
    centres[found.sizes() > 0] = group_means(ds, found, key)
    measure = partial(_distances, centres=centres, codes=found.codes, squares=key != PLACES[0])
    scale = np.ones(blocks.shape[1])
    if key != PLACES[0]:
        total = sum(map_blocks(measure, blocks, ds.execution, "typical cells"), np.zeros(blocks.shape[1]))
        scale = np.sqrt(np.where(total > 0, max(1, int((found.codes >= 0).sum())) / np.where(total > 0, total, 1), 0))
    apart = partial(_distances, centres=centres, codes=found.codes, squares=False, scale=scale)
    distance = np.concatenate(list(map_blocks(apart, blocks, ds.execution, "typical cells")))
    order = np.lexsort((distance, found.codes))
    bounds = np.searchsorted(found.codes[order], np.arange(len(found.names) + 1))
    spans = zip(bounds[:-1], bounds[1:], strict=True)  # noqa: RUF007  (pairwise gives the same, in more words)
    return [order[start : min(stop, start + n_cells)] for start, stop in spans if stop > start]


def _distances(
    block: Block, start: int, centres: Array, codes: Array, *, squares: bool, scale: Array | float = 1.0
) -> Array:
    """Squared distance of each row to the centre of its cluster, or the sum of squares of each column."""
    rows = block.to_dense() if isinstance(block, SparseRows) else block
    here = codes[start : start + len(rows)]
    off = (rows - centres[np.maximum(here, 0)]) * scale
    off[here < 0] = 0
    out: Array = (off * off).sum(axis=0 if squares else 1)
    return out


def composite(pixels: Array, low: Array, high: Array, lights: Array) -> Array:
    """Pictures of which each channel is light of one colour.

    Parameters
    ----------
    pixels
        n x channels x rows x columns.
    low, high
        Values of each channel that are black and full light.
    lights
        Channels x 3, in 0..1.

    Returns
    -------
    n x rows x columns x 3, in 0..1.

    Examples
    --------
    >>> composite(np.ones((1, 2, 1, 1)), np.zeros(2), np.array([1.0, 2.0]), np.eye(3)[:2]).ravel().tolist()
    [1.0, 0.5, 0.0]
    """
    span = np.where(high > low, high - low, 1.0)
    share = np.clip((pixels - low[:, None, None]) / span[:, None, None], 0, 1)
    out: Array = np.clip(np.einsum("ncyx,ck->nyxk", share, lights), 0, 1)
    return out


def _channels(ds: Dataset, n_channels: int, channels: Sequence[str | int] | None) -> tuple[list[int], list[str]]:
    known = ds.read("uns/thumbnails").get("channels") if "uns/thumbnails" in ds else None
    sources = (names for names in (known, ds.var_names) if names is not None and len(names) == n_channels)
    names = [str(name) for name in next(sources, range(1, n_channels + 1))]
    wanted = list(range(1, min(FEW, n_channels) + 1)) if channels is None else list(channels)
    check(1 <= len(wanted) <= len(COLOURS), f"channels must be one to {len(COLOURS)}, got {len(wanted)}")
    chosen = []
    for channel in wanted:
        if isinstance(channel, str):
            check(channel in names, f"channels must be among {', '.join(names[:20])}, got {channel!r}")
            chosen.append(names.index(channel))
        else:
            check_range("channels", channel, 1, n_channels)
            chosen.append(int(channel) - 1)
    return chosen, [names[k] for k in chosen]


def _lights(colors: Sequence[Any] | None, n: int) -> Array:
    given = list(COLOURS[:n] if n > 1 else COLOURS[-1:]) if colors is None else list(colors)
    check(len(given) >= n, f"colors must be one for each of {n} channels, got {len(given)}")
    wrong = [color for color in given if not is_color_like(color)]
    if wrong:
        raise ParameterError(f"colors must be colours, got {wrong[0]!r}")
    return np.array([to_rgb(color) for color in given[:n]])


def _draw(
    ds: Dataset,
    found: Groups,
    strips: list[tuple[Array, Array | None]],
    light: tuple[list[str], Array],
    colors: Array,
    *,
    mean: bool,
) -> Figure:
    """One row of pictures for each cluster, its name before it, the channels above and a scale bar below."""
    present = np.flatnonzero(found.sizes())
    names = [shorten(found.names[k], 24) for k in present]
    counts = [f"{size:,}" for size in found.sizes()[present]]
    before = 0.3 + float(max(text_inches(names, TEXT)[:, 0].max(), text_inches(counts, SMALL - 1)[:, 0].max()))
    height, width = strips[0][0].shape[1:3]
    side = SIDE * max(1.0, round(SIDE * DPI / max(height, width)) * max(height, width) / (SIDE * DPI))
    wide, high = side * width / max(height, width), side * height / max(height, width)
    most = max(len(pictures) for pictures, _ in strips)
    page = max(MARGIN + before + most * (wide + GAP) + MARGIN, _legend_width(light[0]) + 2 * MARGIN)
    head = HEAD + (LINE if mean else 0)
    figure = Picture(page, head + len(strips) * (high + GAP) + FOOT)
    for k, (pictures, marks) in enumerate(strips):
        ax = figure.add_axes((0, 0, 1, 1), label=found.names[present[k]])
        bottom = FOOT + (len(strips) - k - 1) * (high + GAP) + GAP
        figure.place(ax, MARGIN + before, bottom, len(pictures) * (wide + GAP) - GAP, high)
        _strip(ax, pictures, marks, GAP / wide * width)
        _name(ax, names[k], counts[k], colors[present[k]], (before, len(pictures) * (wide + GAP) - GAP))
        if mean and k == 0:
            ax.annotate("mean", (width / 2, 0), (0, 2), textcoords="offset points", ha="center", va="bottom",
                        fontsize=SMALL - 1, color=GREY, annotation_clip=False)  # fmt: skip
    length, text = bar_of(4 * width, pixel_size(ds))
    draw_bar(ax, 0, height + 0.12 * height, length, text)
    _legend(figure, light, MARGIN + before if MARGIN + before + _legend_width(light[0]) < page else MARGIN)
    return figure


def _strip(ax: Axes, pictures: Array, marks: Array | None, gap: float) -> None:
    """Pictures side by side in pixels of their own, the outline of each cell above it."""
    height, width = pictures.shape[1:3]
    for k, picture in enumerate(pictures):
        left = k * (width + gap)
        ax.imshow(picture, extent=(left, left + width, height, 0), interpolation="nearest", aspect="auto")
        if marks is not None and marks[k].any():
            edge = np.pad(marks[k].astype(float), 1)
            x, y = np.arange(-1, width + 1) + 0.5 + left, np.arange(-1, height + 1) + 0.5
            ax.contour(x, y, edge, [0.5], colors=OUTLINE, linewidths=0.45, alpha=0.8)
    ax.set(xlim=(0, len(pictures) * (width + gap) - gap), ylim=(height, 0), xticks=[], yticks=[])
    ax.axis("off")


def _name(ax: Axes, name: str, count: str, color: Array, inches: tuple[float, float]) -> None:
    before, wide = inches
    left = (0.18 - before) / wide
    ax.add_patch(
        Rectangle(((0.05 - before) / wide, 0), 0.06 / wide, 1, transform=ax.transAxes, color=color, clip_on=False)
    )
    ax.text(left, 0.54, name, fontsize=TEXT, color=INK, transform=ax.transAxes, va="bottom")
    ax.text(left, 0.46, count, fontsize=SMALL - 1, color=GREY, transform=ax.transAxes, va="top")


def _legend_width(names: Sequence[str]) -> float:
    return float((text_inches(list(names), SMALL)[:, 0] + 0.32).sum())


def _legend(figure: Picture, light: tuple[list[str], Array], left: float) -> None:
    """Name each channel beside a square of its light, above all rows."""
    wide, high = figure.get_size_inches()
    for name, color, inches in zip(*light, text_inches(light[0], SMALL)[:, 0], strict=True):
        square = Rectangle((left / wide, (high - 0.22) / high), 0.11 / wide, 0.11 / high, facecolor=color)
        square.set(transform=figure.transFigure, edgecolor=GREY, linewidth=0.5)
        figure.add_artist(square)
        figure.text((left + 0.16) / wide, (high - 0.165) / high, name, fontsize=SMALL, color=INK, va="center")
        left += float(inches) + 0.32
