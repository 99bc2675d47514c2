"""Images of any format as one thing: channels x rows x columns, decoded piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, check

CHOSEN = "ZT"  # axes of which one place must be chosen
CHANNELS = "CSIQE"  # axes that together number the channels: channel, sample, sequence, other, wavelength
POSITION = "position"  # key of the choice on all other axes: stage positions, tiles of a mosaic, angles ...
POSITIONS = {"position", "scene", "stage", "tile", "mosaic", "fov", "region", "series", "view"}  # names of such axes
REAL = "biuf"  # kinds of pixels
RGB = 4  # a last axis of at most so many is one of colours
PIECE = 1 << 16  # pixels of the pieces of what has none of its own


@dataclass(frozen=True)
class About:
    """Names and sizes that a file gives for its image."""

    channel_names: list[str] = field(default_factory=list)  # empty where the file has none
    pixel_size: tuple[float, float] | None = None  # height and width in micrometres; None if the file does not say
    named: bool = True  # the names are the file's own; False: they were taken from the names of files


class Image(Protocol):
    """An opened image, of which nothing but the header has been read."""

    name: str  # for messages
    cheap: bool  # a part costs no more than its pixels, wherever it lies
    shape: tuple[int, int, int]  # channels, rows, columns
    dtype: np.dtype[Any]  # in the machine's byte order
    tile: tuple[int, int]  # rows and columns decoded as a whole: reading costs least along its multiples
    depth: int  # channels that are decoded together
    piece_bytes: int  # bytes that are decoded as a whole
    about: About
    axes: Axes | None  # as they are stored; None where there are no such axes, as of several files

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece: len(channels) x rows x columns, in the order of the channels."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


class ImageOver:
    """Base of an image that reads from another one, whose properties it takes over."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.name, self.shape, self.dtype, self.cheap = image.name, image.shape, image.dtype, image.cheap
        self.tile, self.depth, self.piece_bytes = image.tile, image.depth, image.piece_bytes
        self.about: About = image.about
        self.axes = image.axes

    def close(self) -> None:
        """Close its files."""
        self._image.close()


class WholeNumbers(ImageOver):
    """A label image stored as floating-point numbers, read as integers."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.dtype = np.dtype(np.int64)

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece.

        Raises FormatError if a value is not a whole number.
        """
        values = self._image.read(channels, rows, columns)
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int64)
        if not np.array_equal(whole, values):
            raise FormatError(f"{self.name} holds {self._image.dtype}: a mask has one whole number for each cell")
        return whole


class Plane(ImageOver):
    """One channel of an image as an image of its own."""

    def __init__(self, image: Image, plane: int) -> None:
        super().__init__(image)
        self.shape, self._plane = (1, *image.shape[1:]), plane

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece; there is one channel."""
        return self._image.read([self._plane] * len(channels), rows, columns)


@runtime_checkable
class ArrayLike(Protocol):
    """Anything of which a part can be taken by slices: NumPy, Zarr and Dask arrays, xarray."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the values."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Take a part."""
        ...


@dataclass(frozen=True)
class Axes:
    """Meaning of the axes of a stored image."""

    letters: str  # one of OME's for each axis: Y, X, C, Z, T, S and others
    shape: tuple[int, ...]  # length of each axis
    chosen: dict[str, int]  # index to read on the axes that are neither channels nor Y and X

    @property
    def channel_axes(self) -> list[int]:
        """Positions of the axes that together number the channels."""
        return [k for k, letter in enumerate(self.letters) if letter not in {"Y", "X", *self.chosen}]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        channels = prod(self.shape[k] for k in self.channel_axes)
        return channels, self.shape[self.letters.index("Y")], self.shape[self.letters.index("X")]

    def place(self, channel: int) -> dict[str, int]:
        """Index of a channel on every axis but Y and X."""
        sizes = [self.shape[k] for k in self.channel_axes]
        places = np.unravel_index(channel, sizes) if sizes else ()
        return {self.letters[k]: int(p) for k, p in zip(self.channel_axes, places, strict=True)} | self.chosen


def understand_axes(name: str, letters: str, shape: Sequence[int], chosen: Mapping[str, int]) -> Axes:
    """Tell channels from planes, times and positions.

    There is one letter and one length for each stored axis. `chosen` are the indices on Z, T and the position, from 0,
    as far as the user has chosen them. Raises FormatError if there is no Y or X, or more than one plane, time or
    position and no choice; ParameterError if the choice is out of range.

    Examples
    --------
    >>> axes = understand_axes("a.tif", "TCYX", (1, 3, 100, 200), {})
    >>> axes.image_shape, axes.place(2)
    ((3, 100, 200), {'C': 2, 'T': 0})
    """
    letters = letters.upper()
    if len(letters) != len(shape) or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise FormatError(
            f"{name} has axes {letters} of lengths {tuple(shape)}, which is not an image with one Y and one X: "
            f"name its {len(shape)} axes with axes, such as {'TZCYX'[-len(shape) :]!r}"
        )
    if 0 in shape:
        raise FormatError(f"{name} is empty: its axes {letters} have the lengths {tuple(shape)}")
    places = {}
    for letter in CHOSEN:
        length = shape[letters.index(letter)] if letter in letters else 1
        places[letter] = _choose(name, "planes", letter, letter.lower(), length, chosen.get(letter))
    others = [letter for letter in letters if letter not in {*CHOSEN, *CHANNELS, "Y", "X"}]
    lengths = [shape[letters.index(letter)] for letter in others]
    position = _choose(name, "positions", "".join(others), POSITION, prod(lengths), chosen.get(POSITION))
    places |= dict(zip(others, map(int, np.unravel_index(position, lengths) if lengths else ()), strict=True))
    return Axes(letters, tuple(shape), {letter: places[letter] for letter in places if letter in letters})


def _choose(name: str, planes: str, letter: str, parameter: str, length: int, chosen: int | None) -> int:
    """Check the choice on an axis; an axis of more than one needs one."""
    if chosen is None and length > 1:
        raise FormatError(f"{name} has {length} {planes} along {letter}: choose one with {parameter}=1..{length}")
    said = f"{parameter} must be in 1..{length} for {name}, got {(chosen or 0) + 1}"
    check(chosen is None or 0 <= chosen < length, said)
    return chosen or 0


def native_type(dtype: Any) -> np.dtype[Any]:
    """Return a type in the machine's byte order; each size has one type, where C has several."""
    native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    return np.dtype(native.str) if native.kind in "iu" else native


def guess_axes(shape: Sequence[int]) -> str:
    """Guess the axes of an array that does not name them: channels first, unless the last axis is one of colours."""
    if len(shape) == 3 and shape[2] in (3, RGB) and shape[0] > RGB:
        return "YXS"
    return {2: "YX", 3: "CYX", 4: "ZCYX", 5: "TCZYX"}.get(len(shape), "?" * len(shape))


def letters_of(dimensions: Sequence[str]) -> str:
    """Letters of named dimensions: Y, X, Z, T, R for positions, and C for what has another name."""
    names = [name.lower() for name in dimensions]
    return "".join("R" if n in POSITIONS else n[0].upper() if n[0] in "yxztcs" else "C" for n in names)
