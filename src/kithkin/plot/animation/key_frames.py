"""Key frames of an animation: arrays that stay, arrays by frame in memory or on disk, and functions of the frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.alignment import align
from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, KithkinError, check
from kithkin.plot.data import groups

MOST_GROUPS = 10_000  # beyond, whole numbers are hardly labels


@dataclass(frozen=True)
class Series:
    """Arrays of one shape, read one at a time."""

    name: str  # of the parameter, for messages
    n_frames: int | None  # None: one array for all frames
    shape: tuple[int, ...]  # of each array
    read: Callable[[int], Any]  # returns the array of a frame
    ordered: bool = False  # whether frames should be asked for one after the other: a function of the user

    @property
    def moves(self) -> bool:
        """True where the array differs from frame to frame."""
        return self.n_frames is not None

    def at(self, frame: int) -> Array:
        """Read the array of a frame, and refuse one of another shape."""
        found = np.asarray(self.read(frame))
        if found.shape != self.shape:
            wanted, got = (" x ".join(map(str, shape)) or "a single value" for shape in (self.shape, found.shape))
            check(False, f"{self.name} of frame {frame} must be {wanted}, got {got}")
        return found


def series(what: Any, name: str, ndim: int, n_frames: int | None = None) -> Series:
    """Read frames one by one: an array of `ndim` dimensions for all frames, or frames of such arrays.

    Frames are an array with a dimension more, a list, the path of a .npy file, or a function of the frame number, which
    needs `n_frames`. Anything that has a shape is read frame by frame, so that a memory map stays on disk.

    Raises
    ------
    ParameterError
        If it is none of these, or a function without n_frames.
    KithkinError
        If there is no such file.
    FormatError
        If the file is no .npy file.
    """
    if isinstance(what, Series):
        return what
    if callable(what):
        check(n_frames is not None, f"n_frames must be given where {name} is a function of the frame")
        read = lru_cache(maxsize=2)(what)  # the frame that follows in-between pictures is asked for twice
        return Series(name, n_frames, np.shape(read(0)), read, ordered=True)
    if isinstance(what, (str, Path)):
        what = map_file(Path(what), name)
    if isinstance(what, (list, tuple)) and len(what) and np.ndim(what[0]) == ndim:
        return Series(name, len(what), np.shape(what[0]), what.__getitem__)
    found = what if hasattr(what, "shape") else np.asarray(what)
    got = " x ".join(map(str, found.shape)) or "a single value"
    shape = "n" if ndim == 1 else "n x 2"
    check(len(found.shape) in (ndim, ndim + 1), f"{name} must be {shape}, or frames x {shape}, got {got}")
    if len(found.shape) == ndim:
        return Series(name, None, tuple(found.shape), lambda _frame: found)
    check(found.shape[0] > 0, f"{name} must have at least one frame, got {got}")
    return Series(name, int(found.shape[0]), tuple(found.shape[1:]), found.__getitem__)


def map_file(path: Path, name: str) -> Array:
    """Map the array of a .npy file into memory.

    Raises
    ------
    KithkinError
        If there is no such file.
    FormatError
        If it is no .npy file.
    """
    if not path.is_file():
        raise KithkinError(f"{name}: there is no file {path}")
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FormatError(f"{path.name} is not an array in NumPy's .npy format") from error
    check(isinstance(found, np.ndarray), f"{name} must be a .npy file, got {path.name}")
    return found


def in_point_order(values: Any, coords: Any, name: str) -> Any:
    """Bring a Series, or each one of a list, into the order of coordinates that are a DataFrame with names.

    Raises
    ------
    ParameterError
        If the index has as many entries, but other ones than the coordinates.
    """
    first = coords[0] if isinstance(coords, (list, tuple)) and len(coords) else coords
    if not isinstance(first, pd.DataFrame) or isinstance(first.index, pd.RangeIndex):
        return values
    names = first.index.astype(str)
    if isinstance(values, (list, tuple)):
        return [align(one, names, name) for one in values]
    return align(values, names, name) if isinstance(values, pd.Series) else values


def read_coordinates(coords: Any, n_frames: int | None = None) -> Series:
    """Read the coordinates of the points, by frame where they move.

    Raises
    ------
    ParameterError
        If they are not n x 2, or frames x n x 2, numbers.
    """
    found = series(coords, "coords", 2, n_frames)
    first = found.at(0)
    got = " x ".join(map(str, first.shape))
    check(first.ndim == 2 and first.shape[1] == 2 and len(first) > 0, f"coords must be n x 2 in each frame, got {got}")
    check(first.dtype.kind in "buif", f"coords must be numbers, got {first.dtype}")
    return found


def read_colors(
    color: Any, names: Sequence[str] | None, n_frames: int | None = None
) -> tuple[Series, list[str] | None]:
    """Read the colours of the points, by frame where they change: codes, -1 for none, and names; or values and None.

    `names` are the names of the groups, where the colours are codes.

    Raises
    ------
    ParameterError
        If the numbers are neither values nor codes, or a code has no name.
    """
    if not callable(color) and not isinstance(color, (Series, str, Path)):
        listed = isinstance(color, (list, tuple)) and len(color) > 0 and np.ndim(color[0]) == 1
        frames = list(color) if listed else [color]
        dtypes = [frame.dtype if hasattr(frame, "dtype") else np.asarray(frame).dtype for frame in frames]
        if all(isinstance(t, pd.api.extensions.ExtensionDtype) or t.kind in "OUSTb" for t in dtypes):
            check(names is None, "names has no effect where the colours are names themselves")
            shape = (len(frames), len(frames[0])) if listed else np.shape(color)
            lengths = {len(frame) for frame in frames}
            check(len(lengths) == 1, f"color must have as many entries in each frame, got {sorted(lengths)}")
            flat = pd.concat([pd.Series(np.ravel(frame) if np.ndim(frame) > 1 else frame) for frame in frames])
            length: Any = SimpleNamespace(n_obs=len(flat))
            labels = groups(length, flat.array)
            color, names = labels.codes.reshape(shape), labels.names
    values = _without_columns(series(_flat_frames(color), "color", 1, n_frames))
    dtype = values.at(0).dtype
    check(dtype.kind in "iuf", f"color must be numbers, texts or groups, got {dtype}")
    if dtype.kind == "f":
        check(names is None, "names has no effect on values: give the colours as whole numbers, one per group")
        return values, None
    if names is None:
        top = max(int(values.at(k).max(initial=-1)) for k in range(values.n_frames or 1))
        names = [str(k) for k in range(top + 1)]
    check(len(names) <= MOST_GROUPS, f"whole numbers are groups, and {len(names)} are too many: give values as floats")
    return values, [str(name) for name in names]


def _flat_frames(color: Any) -> Any:
    """Take scores of one set of seeds, frames x n x 1 as a history of Propagation is, or a list of n x 1, by frame."""
    if isinstance(color, (str, Path)):
        color = map_file(Path(color), "color")
    shape = tuple(getattr(color, "shape", ()))
    if isinstance(color, (list, tuple)) and len(color):
        shape = (len(color), *np.shape(color[0]))
    if len(shape) != 3 or shape[2] != 1:
        return color
    return _without_columns(Series("color", shape[0], shape[1:], color.__getitem__))


def _without_columns(found: Series) -> Series:
    """Take each frame of n x 1 as n values."""
    if len(found.shape) != 2 or found.shape[1] != 1:
        return found
    return replace(found, shape=found.shape[:1], read=lambda k: found.at(k)[:, 0])


def agree(first: Series, second: Series, n_frames: int | None) -> int:
    """Return the number of frames on which coordinates, colours and the caller agree.

    Raises
    ------
    ParameterError
        If they do not, or none says how many.
    """
    given = {one.name: one.n_frames for one in (first, second) if one.n_frames is not None}
    given |= {} if n_frames is None else {"n_frames": n_frames}
    numbers = set(given.values())
    check(len(numbers) <= 1, "the numbers of frames differ: " + ", ".join(f"{k} has {v}" for k, v in given.items()))
    return numbers.pop() if numbers else 1
