"""Animations of many points that change their colours, or move, from frame to frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.core.execute import Execution, map_tasks, track
from kithkin.plot.animation.colors import paint_groups, paint_values, palette_of
from kithkin.plot.animation.film import Film
from kithkin.plot.animation.key_frames import agree, in_point_order, read_colors, read_coordinates
from kithkin.plot.animation.margin import WIDEST, fitting, letters, write
from kithkin.plot.animation.player import to_html
from kithkin.plot.animation.renderer import Renderer, Window, usual_dot
from kithkin.plot.animation.writers import check_ending, write_film

SMALLEST, LARGEST = 32, 8192  # pixels of a side
BYTES = 64  # a point takes while its frame is drawn
DARK_ONE, LIGHT_ONE = "#4C6A92", "#8FB8E8"  # where all points have one colour


@dataclass(frozen=True)
class Animation(os.PathLike[str]):
    """An animation in a file, of `n_frames` pictures of width x height pixels; a notebook plays it.

    Examples
    --------
    >>> Animation(Path("search.gif"), 10, (800, 800), 10.0).seconds
    1.0
    """

    path: Path
    n_frames: int
    size: tuple[int, int]
    fps: float
    loop: bool = True

    @property
    def seconds(self) -> float:
        """Duration of one run through all frames."""
        return self.n_frames / self.fps

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        return to_html(self.path, self.size, self.loop)


def animate(
    coords: Any,
    color: Any = None,
    *,
    to: str | Path,
    fps: float = 10,
    size: tuple[int, int] = (800, 800),
    palette: Any = None,
    rank: bool = True,
    limits: tuple[float, float] | Literal["frame"] | None = None,
    n_frames: int | None = None,
    between: int = 0,
    titles: str | Sequence[str] | Callable[[int], str] | None = None,
    names: Sequence[str] | None = None,
    label: str = "",
    legend: bool = True,
    loop: bool = True,
    dark: bool = False,
    dot: int | None = None,
    execution: Execution | None = None,
) -> Animation:
    """Write an animation of points whose colours change, or that move, to a GIF, video, web page or PNG.

    Points are put into pixels directly: a pixel has the colour of the mean of its points' values, or of the group that
    most of them belong to. Key frames may be arrays on disk; a few are in memory at a time.

    Parameters
    ----------
    coords
        n x 2, or frames x n x 2 where points move: an array, a list of arrays, the path of a .npy file, or a function
        of the frame number. Points without finite coordinates are not shown.
    color
        One entry per point, for all frames or by frame: an array frames x n (a memory map too), a list of arrays, the
        path of a .npy file, or a function of the frame number, which is called in order; n x 1 are n values. Floats are
        values, NaN where missing; whole numbers are codes of groups, -1 where missing; texts and categoricals are
        groups. None: one colour.
    to
        The file. ".gif": frames after the first hold what changed. ".mp4", ".webm": H.264 and VP9, which mix the
        colours of neighbouring pixels. ".html": a page with a player that needs no network. ".png": animated as well;
        programs that do not know that show the first frame. Only videos lose any colour.
    fps
        Frames per second.
    size
        Width and height of the picture in pixels.
    palette
        For values a matplotlib colour map or colours to run through, for groups colours in order or by name.
    rank
        Colour values by their rank within the frame: the number of smaller values, so that what is equal looks equal.
        False: by value, on one scale for all frames or, with limits="frame", on one of each frame. Has no effect on
        groups.
    limits
        Values that the ends of the scale stand for without rank: two numbers; "frame": the smallest and largest of each
        frame; of all frames when None.
    n_frames
        Number of key frames, where color or coords are a function.
    between
        Pictures between a key frame and the next: points go straight, levels of colour change evenly, and groups
        change point by point.
    titles
        Above the points: one for all, one per key frame, or a function of its number.
    names
        Names of the groups, where colours are codes.
    label
        Title of the colour bar, and of the page in a browser.
    legend
        Whether to show the colour bar, or the names of the groups; never where it would need over 40 % of the width.
    loop
        Whether to begin again after the end. A video leaves that to the player.
    dark
        Light letters on a nearly black background.
    dot
        Diameter of a point in pixels; by the number of points when None.
    execution
        Threads, memory, and whether to show progress.

    Returns
    -------
    Animation
        Its path, number of frames and size. A notebook plays it.

    Raises
    ------
    ParameterError
        If the ending is unknown, shapes or numbers of frames do not agree, or a setting is out of range.
    KithkinError
        If there is no such folder, or a video is asked for and PyAV is not installed.

    Examples
    --------
    >>> import tempfile
    >>> near = np.exp(-np.arange(100.0)[None] / np.array([[1.0], [10.0], [100.0]]))
    >>> film = animate(np.random.default_rng(0).normal(size=(100, 2)), near, to=tempfile.mkdtemp() + "/a.gif")
    >>> film.n_frames, film.size
    (3, (800, 800))
    """
    pair = isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(s, (int, np.integer)) for s in size)
    good = pair and all(SMALLEST <= side <= LARGEST for side in size)
    check(good, f"size must be a width and a height in {SMALLEST}..{LARGEST} pixels, got {size!r}")
    path, size = Path(to), (int(size[0]), int(size[1]))
    check_ending(path, size, fps)
    _check_whole("between", between, 0, 1000)
    _check_whole("n_frames", 1 if n_frames is None else n_frames, 1, 10**6)
    color = in_point_order(color, coords, "color")
    points = read_coordinates(in_point_order(coords, coords, "coords"), n_frames)
    n = points.shape[0]
    if isinstance(color, np.ndarray) and color.shape == (n, 1) and n > 1:
        color = color[:, 0]
    what, names_ = read_colors(np.zeros(n, np.int64) if color is None else color, names, n_frames)
    got = " x ".join(map(str, what.shape))
    check(what.shape == (n,), f"color must have one entry per point: {n}, got {got}")
    n_keys = agree(points, what, n_frames)
    if color is None:
        palette, legend = palette or [LIGHT_ONE if dark else DARK_ONE], False
    if names_ is None:
        paint = paint_values(what, palette, rank, limits, label, size)
    else:
        check(limits is None, "limits has no effect on groups")
        paint = paint_groups(what, names_, palette, dark, size)
    listed = titles is not None and not isinstance(titles, str) and not callable(titles)
    check(not listed or len(titles) == n_keys, f"titles must be one per key frame: {n_keys}, got {len(titles or ())}")  # type: ignore[arg-type]
    (width, height), text = size, letters(size)

    def write_title(picture: Array, k: int) -> None:
        title = titles if isinstance(titles, str) else titles(k) if callable(titles) else titles[k]  # type: ignore[index]
        write(picture, fitting(str(title), picture.shape[1] - 2 * text, text), text, text // 2, text)

    stage, top = np.zeros((height, width), np.uint8), 0 if titles is None else round(2.2 * text)
    if legend and paint.side.shape[1] <= WIDEST * width:
        width -= paint.side.shape[1]
        stage[:, width:] = paint.side
    diameter = usual_dot(n, width, height - top) if dot is None else dot
    _check_whole("dot", diameter, 1, min(64, width, height - top))
    draw = Renderer(
        points,
        what,
        paint.levels,
        paint.slots,
        window=Window.around(points, width, height - top, diameter),
        stage=stage,
        corner=(top, 0),
        dot=diameter,
        between=between,
        write=None if titles is None else write_title,
    )
    total = (n_keys - 1) * (between + 1) + 1
    execution = execution or Execution()
    fit = execution.memory // (BYTES * n + 16 * stage.size)  # frames that are under way
    threads = 1 if points.ordered or what.ordered else int(np.clip(fit, 1, execution.threads))
    numbers = track(range(total), execution, "animate", unit="frame")
    film = Film(palette_of(paint.colors, dark), size, total, float(fps), loop, label or path.stem)
    write_film(path, map_tasks(draw, numbers, replace(execution, threads=threads)), film)
    return Animation(path, total, size, film.fps, loop)


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    check(isinstance(value, (int, np.integer)), f"{name} must be a whole number, got {value!r}")
    check_range(name, value, low, high)
