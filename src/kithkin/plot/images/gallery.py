"""The most typical cells of every cluster, as small pictures of a few channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import is_color_like, to_rgb
from matplotlib.patches import Rectangle

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import ParameterError, check, check_range
from kithkin.core.execute import map_blocks
from kithkin.core.windows import inside_image
from kithkin.plot.data import Groups, groups
from kithkin.plot.images.channels import choose_channels, name_channels
from kithkin.plot.images.mean_image import means_of
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.scale_bar import bar_of, draw_bar, pixel_size
from kithkin.plot.look.style import DPI, INK, SMALL, TEXT, Picture, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

LIGHTS = ("#2F6BFF", "#FF4FC3", "#FFD23F", "#29E08A", "#FF7A2F", "#FFFFFF")  # light that adds up on black
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
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
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
        Number of cells of each cluster.
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
    clusters = groups(ds, by)
    check_range("n_cells", n_cells, 1, 100)
    check(0 <= clip[0] < clip[1] <= 100, f"clip must be two ascending percentiles, got {clip!r}")
    shape: tuple[int, ...] = ds.blocks(on).shape
    check(len(shape) == THUMBNAILS, f"on must be cells x channels x rows x columns, got {' x '.join(map(str, shape))}")
    names = name_channels(ds, shape[1])
    wanted = list(range(1, min(FEW, len(names)) + 1)) if channels is None else list(channels)
    check(1 <= len(wanted) <= len(LIGHTS), f"channels must be one to {len(LIGHTS)}, got {len(wanted)}")
    chosen = choose_channels(names, wanted)
    names = [names[k] for k in chosen]
    given = list(LIGHTS[: len(chosen)] if len(chosen) > 1 else LIGHTS[-1:]) if colors is None else list(colors)
    check(len(given) >= len(chosen), f"colors must be one for each of {len(chosen)} channels, got {len(given)}")
    wrong = [color for color in given if not is_color_like(color)]
    if wrong:
        raise ParameterError(f"colors must be colours, got {wrong[0]!r}")
    lights = np.array([to_rgb(color) for color in given[: len(chosen)]])
    typical = typical_rows(ds, clusters, n_cells, near)
    rows = np.concatenate(typical)
    pixels = np.asarray(ds.rows(rows, on))[:, chosen].astype(np.float64)
    outlines = np.asarray(ds.rows(rows, masks)) > 0 if masks is not None and masks in ds else None
    means = None
    if mean:
        means = np.nan_to_num(means_of(ds, clusters, on)).reshape(-1, *shape[1:])[:, chosen]
    inside = inside_image(ds, on)
    known = pixels if inside is None else pixels.copy()
    for picture, (top, bottom, left, right) in zip(known, () if inside is None else inside[rows], strict=False):
        picture[:, :top], picture[:, bottom:], picture[:, :, :left], picture[:, :, right:] = [np.nan] * 4
    low, high = np.nanpercentile(known, clip, axis=(0, 2, 3))
    strips, first = [], 0
    for k, some in enumerate(typical):
        cut = slice(first, first + len(some))
        own = pixels[cut] if means is None else np.concatenate([means[k : k + 1], pixels[cut]])
        marks = None if outlines is None else outlines[cut]
        if marks is not None and mean:
            marks = np.concatenate([np.zeros((1, *marks.shape[1:]), bool), marks])
        strips.append((composite(own, low, high, lights), marks))
        first += len(some)
    return _draw_strips(ds, clusters, strips, names, lights, own_colors(clusters, palette), mean=mean)


def typical_rows(ds: Dataset, clusters: Groups, n_cells: int, near: str | None = None) -> list[Array]:
    """Find the cells of each cluster with members that are nearest to its mean, the nearest first, at most `n_cells`.

    They are compared in the table `near`; None: the first of obsm/X_pca, obsm/features and X that is there. Columns of
    a table that is not obsm/X_pca are brought to one scale.
    """
    key = near or next((key for key in PLACES if key in ds), PLACES[-1])
    blocks = ds.blocks(key)
    codes = clusters.codes
    centres = np.zeros((len(clusters.names), blocks.shape[1]))
    centres[clusters.sizes() > 0] = means_of(ds, clusters, key)
    measure = partial(_distances, centres=centres, codes=codes, squares=key != PLACES[0])
    scale = np.ones(blocks.shape[1])
    if key != PLACES[0]:
        total = sum(map_blocks(measure, blocks, ds.execution, "typical cells"), np.zeros(blocks.shape[1]))
        scale = np.sqrt(np.where(total > 0, max(1, int((codes >= 0).sum())) / np.where(total > 0, total, 1), 0))
    apart = partial(_distances, centres=centres, codes=codes, squares=False, scale=scale)
    distance = np.concatenate(list(map_blocks(apart, blocks, ds.execution, "typical cells")))
    order = np.lexsort((distance, codes))
    bounds = np.searchsorted(codes[order], np.arange(len(clusters.names) + 1))
    spans = zip(bounds[:-1], bounds[1:], strict=True)  # noqa: RUF007  (pairwise gives the same, in more words)
    return [order[start : min(stop, start + n_cells)] for start, stop in spans if stop > start]


def _distances(
    block: Block, start: int, centres: Array, codes: Array, *, squares: bool, scale: Array | float = 1.0
) -> Array:
    """Compute the squared distance of each row to the centre of its cluster, or the sum of squares of each column."""
    rows = block.to_dense() if isinstance(block, SparseRows) else block
    here = codes[start : start + len(rows)]
    off = (rows - centres[np.maximum(here, 0)]) * scale
    off[here < 0] = 0
    out: Array = (off * off).sum(axis=0 if squares else 1)
    return out


def composite(pixels: Array, low: Array, high: Array, lights: Array) -> Array:
    """Mix pictures whose channels are light of one colour each: n x channels x rows x columns to a last axis of RGB."""
    span = np.where(high > low, high - low, 1.0)
    level = np.clip((pixels - low[:, None, None]) / span[:, None, None], 0, 1)
    out: Array = np.clip(np.einsum("ncyx,ck->nyxk", level, lights), 0, 1)
    return out


def _draw_strips(
    ds: Dataset,
    clusters: Groups,
    strips: list[tuple[Array, Array | None]],
    channels: list[str],
    lights: Array,
    colors: Array,
    *,
    mean: bool,
) -> Figure:
    """Draw a row of pictures for each cluster, its name before it, the channels above and a scale bar below."""
    present = np.flatnonzero(clusters.sizes())
    names = [shorten(clusters.names[k], 24) for k in present]
    counts = [f"{size:,}" for size in clusters.sizes()[present]]
    before = 0.3 + float(max(text_inches(names, TEXT)[:, 0].max(), text_inches(counts, SMALL - 1)[:, 0].max()))
    height, width = strips[0][0].shape[1:3]
    side = SIDE * max(1.0, round(SIDE * DPI / max(height, width)) * max(height, width) / (SIDE * DPI))
    wide, high = side * width / max(height, width), side * height / max(height, width)
    most = max(len(pictures) for pictures, _ in strips)
    steps = text_inches(channels, SMALL)[:, 0] + 0.32  # from one channel's name to the next
    page = max(MARGIN + before + most * (wide + GAP) + MARGIN, float(steps.sum()) + 2 * MARGIN)
    head = HEAD + (LINE if mean else 0)
    figure = Picture(page, head + len(strips) * (high + GAP) + FOOT)
    for k, (pictures, marks) in enumerate(strips):
        bottom = FOOT + (len(strips) - k - 1) * (high + GAP) + GAP
        across, gap = len(pictures) * (wide + GAP) - GAP, GAP / wide * width
        ax = figure.add_at(clusters.names[present[k]], MARGIN + before, bottom, across, high)
        for i, picture in enumerate(pictures):  # side by side in pixels of their own, with the outlines of the cells
            left = i * (width + gap)
            ax.imshow(picture, extent=(left, left + width, height, 0), interpolation="nearest", aspect="auto")
            if marks is not None and marks[i].any():
                x, y = np.arange(-1, width + 1) + 0.5 + left, np.arange(-1, height + 1) + 0.5
                edge = np.pad(marks[i].astype(float), 1)
                ax.contour(x, y, edge, [0.5], colors=OUTLINE, linewidths=0.45, alpha=0.8)
        ax.set(xlim=(0, len(pictures) * (width + gap) - gap), ylim=(height, 0), xticks=[], yticks=[])
        ax.axis("off")
        block = Rectangle(((0.05 - before) / across, 0), 0.06 / across, 1, color=colors[present[k]], clip_on=False)
        block.set_transform(ax.transAxes)
        ax.add_patch(block)
        left = (0.18 - before) / across
        ax.text(left, 0.54, names[k], fontsize=TEXT, color=INK, transform=ax.transAxes, va="bottom")
        ax.text(left, 0.46, counts[k], fontsize=SMALL - 1, color=GREY, transform=ax.transAxes, va="top")
        if mean and k == 0:
            ax.annotate("mean", (width / 2, 0), (0, 2), textcoords="offset points", ha="center", va="bottom",
                        fontsize=SMALL - 1, color=GREY, annotation_clip=False)  # fmt: skip
    length, text = bar_of(4 * width, pixel_size(ds))
    draw_bar(ax, 0, height + 0.12 * height, length, text)
    left, tall = MARGIN + before if MARGIN + before + steps.sum() < page else MARGIN, float(figure.get_size_inches()[1])
    for name, color, inches in zip(channels, lights, steps, strict=True):
        square = Rectangle((left / page, (tall - 0.22) / tall), 0.11 / page, 0.11 / tall, facecolor=color)
        square.set(transform=figure.transFigure, edgecolor=GREY, linewidth=0.5)
        figure.add_artist(square)
        figure.text((left + 0.16) / page, (tall - 0.165) / tall, name, fontsize=SMALL, color=INK, va="center")
        left += float(inches)
    return figure
