"""Ready-made animations from arrays: what spreads, partitions that follow each other, values along an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_range
from kithkin.plot.animation.animate import Animation, animate
from kithkin.plot.animation.colors import number
from kithkin.plot.animation.key_frames import Series, in_point_order, map_file, read_colors, series
from kithkin.plot.data import value_range

MOST_NAMED = 40  # groups of partitions that a legend lists


def animate_propagation(
    coords: Any, history: Any, *, to: str | Path, names: Sequence[str] | None = None, most: int = 60, **settings: Any
) -> Animation:
    """Show how scores or labels spread from their seeds, step by step.

    Parameters
    ----------
    coords
        n x 2.
    history
        Scores after every step: frames x n, or frames x n x s for s sets of seeds, such as Propagation(history=True)
        keeps them, or a list of n or n x s. One set is coloured by rank; of several, points take the colour of the set
        with the highest score.
    to
        The file.
    names
        Names of several sets.
    most
        Steps to show: where there are more, early ones are shown one by one and later ones in growing strides.
    settings
        As in animate().

    Raises
    ------
    ParameterError
        If the history is not frames x n or frames x n x s, or a setting is out of range.

    Examples
    --------
    >>> import tempfile
    >>> history = np.array([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.2], [0.0, 1.0]]])
    >>> to = tempfile.mkdtemp() + "/labels.gif"
    >>> animate_propagation(np.eye(3)[:, :2], history, to=to, names=["B", "T"]).n_frames
    2
    """
    check_range("most", most, 2, 10**6)
    scores = map_file(Path(history), "history") if isinstance(history, (str, Path)) else history
    if isinstance(scores, (list, tuple)) and len(scores):  # each is read as it is shown, from a file where it is there
        shape: tuple[int, ...] = (len(scores), *np.shape(scores[0]))
    else:
        scores = scores if hasattr(scores, "shape") else np.asarray(scores)
        shape = scores.shape
    good = len(shape) in (2, 3) and 0 not in shape
    check(good, f"history must be frames x n or frames x n x sets, got {' x '.join(map(str, shape))}")
    steps, n_sets = strides(shape[0], most), shape[2] if len(shape) == 3 else 1
    settings = {"titles": [f"step {k}" for k in steps]} | settings
    if n_sets == 1:
        check(names is None, "names has no effect on a single set of seeds")
        settings = {"label": "closeness"} | settings
    else:
        names = [str(k) for k in range(n_sets)] if names is None else list(names)
        check(len(names) == n_sets, f"names must be one per set: {n_sets}, got {len(names)}")
        settings = {"names": names} | settings

    def color(k: int) -> Array:
        now = np.asarray(scores[steps[k]])
        return now.ravel() if n_sets == 1 else leading(now)

    return animate(coords, Series("color", len(steps), shape[1:2], color), to=to, **settings)


def strides(n_steps: int, most: int) -> list[int]:
    """Choose steps to show among many: the first and the last, and between them strides that never shrink.

    Examples
    --------
    >>> strides(3, 10), strides(100, 8)
    ([0, 1, 2], [0, 1, 2, 5, 10, 21, 46, 99])
    """
    if n_steps <= most:
        return list(range(n_steps))
    wanted = np.geomspace(n_steps - 1, 1, most - 1)[::-1]
    # the smallest numbers round to the same: each is at least one after the one before
    ahead = np.maximum.accumulate(np.rint(wanted).astype(int) - np.arange(most - 1)) + np.arange(most - 1)
    return [0, *np.minimum(ahead, n_steps - most + 1 + np.arange(most - 1)).tolist()]


def leading(scores: Array) -> Array:
    """Find the set with the highest score of each row; -1 where none has a score above 0, or two share the highest."""
    scores = np.where(np.isfinite(scores), scores, 0)
    best = scores.argmax(axis=1)
    top = scores.max(axis=1)
    alone = (scores == top[:, None]).sum(axis=1) == 1
    return np.where((top > 0) & alone, best, -1)


def animate_partitions(
    coords: Any, partitions: Any, *, to: str | Path, n_frames: int | None = None, **settings: Any
) -> Animation:
    """Show partitions that follow each other, such as a sweep of resolutions or cuts of a tree, in stable colours.

    A group takes the colour of the group of the frame before with which it shares most points, largest shares first;
    the others take colours that are free. With coords of frames x n x 2 it shows the training of a deep clustering.

    Parameters
    ----------
    coords
        n x 2, or frames x n x 2.
    partitions
        frames x n codes of groups, -1 for none: an array, a list, the path of a .npy file, or a function of the frame.
    to
        The file.
    n_frames
        Number of frames, which a function needs.
    settings
        As in animate(). Titles say the number of groups where none are given.

    Raises
    ------
    ParameterError
        If partitions are not whole numbers.

    Examples
    --------
    >>> import tempfile
    >>> to = tempfile.mkdtemp() + "/cuts.gif"
    >>> animate_partitions(np.eye(4)[:, :2], [[0, 0, 1, 1], [1, 1, 0, 2]], to=to, between=3).n_frames
    5
    """
    codes = series(in_point_order(partitions, coords, "partitions"), "partitions", 1, n_frames)
    check(codes.at(0).dtype.kind in "iu", f"partitions must be whole numbers, got {codes.at(0).dtype}")
    tables = match_groups(codes.at, codes.n_frames or 1)
    top = max(int(table.max(initial=-1)) for table in tables)
    counts = [int((table >= 0).sum()) for table in tables]
    usual: dict[str, Any] = {"titles": [f"{count} groups" for count in counts], "legend": top < MOST_NAMED}
    usual["names"] = [str(k) for k in range(top + 1)]

    def color(k: int) -> Array:
        now = codes.at(k)
        return np.where(now >= 0, tables[k][now], -1) if len(tables[k]) else now

    return animate(coords, Series("color", len(tables), codes.shape, color), to=to, **usual | settings)


def match_groups(partition: Callable[[int], Array], n_frames: int) -> list[Array]:
    """Number the groups of partitions that follow each other, so that a group keeps its number.

    `partition` returns the codes of a frame, -1 for none. Returned is for each frame the number of each code, -1 for
    codes that do not occur.

    Examples
    --------
    >>> cuts = np.array([[0, 0, 0, 1, 1], [2, 2, 0, 1, 1]])
    >>> [table.tolist() for table in match_groups(cuts.__getitem__, 2)]
    [[0, 1], [2, 1, 0]]
    """
    before, tables = None, list[Array]()
    for k in range(n_frames):
        codes = np.asarray(partition(k))
        sizes = np.bincount(codes[codes >= 0])
        table = np.full(len(sizes), -1)
        taken: set[int] = set()
        if before is not None:
            both = (before >= 0) & (codes >= 0)
            span = int(codes.max(initial=0)) + 1
            counts = np.bincount(before[both] * span + codes[both])
            pairs = np.flatnonzero(counts)
            for pair in pairs[np.argsort(-counts[pairs], kind="stable")]:  # those that share most points first
                old, new = divmod(int(pair), span)
                if table[new] < 0 and old not in taken:
                    table[new] = old
                    taken.add(old)
        used = taken | (set() if not tables else set(tables[-1].tolist()))
        free = (number for number in range(len(used) + len(sizes) + 1) if number not in used)
        for code in np.argsort(-sizes, kind="stable"):  # the first frame: the largest group has the first colour
            if sizes[code] and table[code] < 0:
                table[code] = next(free)
        before = np.where(codes >= 0, table[codes], -1) if len(table) else codes
        tables.append(table)
    return tables


def animate_order(
    coords: Any,
    order: Any,
    values: Any = None,
    *,
    to: str | Path,
    n_frames: int = 60,
    tail: float | None = None,
    **settings: Any,
) -> Animation:
    """Show points as they come in an order such as pseudotime, coloured by a gene, a score or their group.

    Points that have not come yet are grey. As many come with each frame.

    Parameters
    ----------
    coords
        n x 2.
    order
        n numbers; points without one stay grey.
    values
        Colours of the points: floats, codes of groups or texts; the order itself when None.
    to
        The file.
    n_frames
        Pictures.
    tail
        Share of the points, up to 1, after which they turn grey again; None: they stay.
    settings
        As in animate(); values are coloured on one scale for all frames unless rank=True.

    Raises
    ------
    ParameterError
        If order has no finite number, or there is not one value for each point.

    Examples
    --------
    >>> import tempfile
    >>> to = tempfile.mkdtemp() + "/time.gif"
    >>> animate_order(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50.0), to=to, n_frames=4).n_frames
    4
    """
    when = np.asarray(in_point_order(order, coords, "order"), float)
    values = in_point_order(values, coords, "values")
    check(when.ndim == 1 and bool(np.isfinite(when).any()), "order must be one number per point, some of them finite")
    check_range("n_frames", n_frames, 2, 100_000)
    check(tail is None or 0 < tail <= 1, f"tail must be above 0 and at most 1, got {tail!r}")
    given, names = read_colors(when if values is None else values, settings.pop("names", None))
    check(given.shape == when.shape and not given.moves, f"values must be one per point: {len(when)}")
    shown = given.at(0)
    if names is None:
        settings = one_scale(shown) | settings if not settings.get("rank") else settings
    fractions, known = np.arange(1, n_frames + 1) / n_frames, when[np.isfinite(when)]
    ends = np.quantile(known, fractions)
    starts = np.full(n_frames, -np.inf) if tail is None else np.quantile(known, (fractions - tail).clip(0))
    shown, none = (shown, np.nan) if names is None else (shown.astype(np.int64), -1)

    def color(k: int) -> Array:
        return np.where((when <= ends[k]) & (when >= starts[k]), shown, none)

    settings = {"titles": [number(end) for end in ends]} | settings
    return animate(coords, Series("color", n_frames, when.shape, color), to=to, names=names, **settings)


def one_scale(values: Array) -> dict[str, Any]:
    """Return settings of animate() that colour all frames alike, from the first to the last percentile of values."""
    known = values[np.isfinite(values)]
    check(len(known) > 0, "values must have at least one finite number")
    low, high = value_range(known, (1, 99))
    return {"rank": False, "limits": (low, high) if low < high else (low - 0.5, high + 0.5)}
