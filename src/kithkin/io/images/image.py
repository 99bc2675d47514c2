"""Images of any format as one thing: channels x rows x columns, decoded piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, check

CHOSEN = "ZT"  # axes of which one place must be chosen; all others but Y and X are channels
REAL = "biuf"  # kinds of pixels
RGB = 4  # a last axis of at most so many is one of colours
PIECE = 1 << 16  # pixels of the pieces of what has none of its own


@dataclass(frozen=True)
class About:
    """What a file says of its image.

    Attributes
    ----------
    channel_names
        One for each channel; "channel 1", ... where the file has none.
    pixel_size
        Height and width of a pixel in micrometres; None if the file does not say.
    """

    channel_names: list[str] = field(default_factory=list)
    pixel_size: tuple[float, float] | None = None


class Image(Protocol):
    """An opened image, of which nothing but the header has been read.

    Attributes
    ----------
    name
        For messages.
    shape
        Channels, rows, columns.
    dtype
        Of the pixels, in the machine's byte order.
    tile
        Rows and columns of what is decoded as a whole: reading costs least along its multiples.
    about
        Names and sizes.
    cheap
        Whether a part costs no more than its pixels, wherever it lies.
    """

    name: str
    cheap: bool
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    tile: tuple[int, int]
    about: About

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece: len(channels) x rows x columns, in the order of the channels."""
        ...

    def close(self) -> None:
        """Close its files."""
        ...


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
    """What the axes of a stored image are.

    Attributes
    ----------
    letters, shape
        One letter of OME's (Y, X, C, Z, T, S and others) and one length for each axis.
    chosen
        Where to read on the axes that are neither channels nor Y and X.
    """

    letters: str
    shape: tuple[int, ...]
    chosen: dict[str, int]

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
        """Where a channel lies on every axis but Y and X."""
        sizes = [self.shape[k] for k in self.channel_axes]
        places = np.unravel_index(channel, sizes) if sizes else ()
        return {self.letters[k]: int(p) for k, p in zip(self.channel_axes, places, strict=True)} | self.chosen


def understand_axes(name: str, letters: str, shape: Sequence[int], chosen: Mapping[str, int]) -> Axes:
    """Tell channels from planes.

    Parameters
    ----------
    name
        For messages.
    letters, shape
        Of the stored axes.
    chosen
        Places on Z and T, from 0, as far as the user has chosen them.

    Raises
    ------
    FormatError
        If there is no Y or X, or more than one Z or T and no choice.
    ParameterError
        If the choice is out of range.

    Examples
    --------
    >>> axes = understand_axes("a.tif", "TCYX", (1, 3, 100, 200), {})
    >>> axes.image_shape, axes.place(2)
    ((3, 100, 200), {'C': 2, 'T': 0})
    """
    letters = letters.upper()
    if len(letters) != len(shape) or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise FormatError(
            f"{name} has axes {letters} of lengths {tuple(shape)}, which is no image with one Y and one X"
        )
    if 0 in shape:
        raise FormatError(f"{name} is empty: its axes {letters} have the lengths {tuple(shape)}")
    places = {}
    for letter in CHOSEN:
        length = shape[letters.index(letter)] if letter in letters else 1
        place = chosen.get(letter)
        if place is None and length > 1:
            raise FormatError(
                f"{name} has {length} planes along {letter}: choose one with {letter.lower()}=1..{length}"
            )
        said = f"{letter.lower()} must be in 1..{length} for {name}, got {(place or 0) + 1}"
        check(place is None or 0 <= place < length, said)
        if letter in letters:
            places[letter] = place or 0
    return Axes(letters, tuple(shape), places)


def guess_axes(shape: Sequence[int]) -> str:
    """Axes of an array that does not name them: channels first, unless the last axis is one of colours.

    Examples
    --------
    >>> guess_axes((40, 50)), guess_axes((5, 40, 50)), guess_axes((40, 50, 3))
    ('YX', 'CYX', 'YXS')
    """
    if len(shape) == 3 and shape[2] in (3, RGB) and shape[0] > RGB:
        return "YXS"
    return {2: "YX", 3: "CYX", 4: "ZCYX", 5: "TCZYX"}.get(len(shape), "?" * len(shape))
