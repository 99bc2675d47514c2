"""Images in anything that is indexed like an array, and images made of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.images.image import PIECE, About, ArrayLike, Axes, Image


class ArrayImage:
    """An image in anything that is indexed like an array.

    Parameters
    ----------
    name
        For messages.
    array
        NumPy, Zarr, Dask, xarray ...
    axes
        What its axes are.
    about
        Names and sizes.

    Examples
    --------
    >>> from kithkin.io.images.image import understand_axes
    >>> pixels = np.arange(24).reshape(2, 3, 4)
    >>> image = ArrayImage("pixels", pixels, understand_axes("pixels", "CYX", pixels.shape, {}))
    >>> image.shape, image.read([1], (0, 2), (1, 3)).tolist()
    ((2, 3, 4), [[[13, 14], [17, 18]]])
    """

    def __init__(self, name: str, array: ArrayLike, axes: Axes, about: About | None = None) -> None:
        self.name, self._array, self._axes = name, array, axes
        self.shape, self.about = axes.image_shape, about or About()
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.cheap = getattr(array, "chunks", None) is None
        lengths = self._pieces()
        self.tile = lengths[axes.letters.index("Y")], lengths[axes.letters.index("X")]

    def _pieces(self) -> tuple[int, ...]:
        """Lengths of what the array decodes as a whole, along each axis."""
        chunks: Any = getattr(self._array, "shards", None) or getattr(self._array, "chunks", None)
        if chunks is None:
            rows = max(1, PIECE // self.shape[2])
            return tuple(rows if letter == "Y" else length for letter, length in self._axes_lengths())
        return tuple(min(c[0] if isinstance(c, tuple) else c, n) for c, n in zip(chunks, self._axes.shape, strict=True))

    def _axes_lengths(self) -> list[tuple[str, int]]:
        return list(zip(self._axes.letters, self._axes.shape, strict=True))

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece; channels that lie in one chunk are decoded together."""
        out = np.empty((len(channels), rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        spans = {"Y": slice(*rows), "X": slice(*columns)}
        last = self._axes.channel_axes[-1] if self._axes.channel_axes else None
        for targets, place in self._together(channels, last):
            key = tuple(spans.get(letter, place.get(letter)) for letter in self._axes.letters)
            part = np.asarray(self._array[key])
            kept = [letter for letter in self._axes.letters if letter in "YX" or isinstance(place.get(letter), slice)]
            part = part.transpose([kept.index(a) for a in kept if a not in "YX"] + [kept.index("Y"), kept.index("X")])
            if part.ndim == 3:
                letter = next(letter for letter in kept if letter not in "YX")
                for target in targets:
                    out[target] = part[self._axes.place(channels[target])[letter] - place[letter].start]
            else:
                out[targets] = part
        return out

    def _together(self, channels: Sequence[int], last: int | None) -> list[tuple[list[int], dict[str, Any]]]:
        """Requested channels in groups that one access decodes, each with its place on the axes."""
        if last is None:
            return [(list(range(len(channels))), self._axes.place(0))]
        letter, piece = self._axes.letters[last], self._pieces()[last]
        groups: dict[tuple[Any, ...], tuple[list[int], dict[str, Any]]] = {}
        for target, channel in enumerate(channels):
            place: dict[str, Any] = self._axes.place(channel)
            first = place[letter] // piece * piece
            place[letter] = slice(first, min(first + piece, self._axes.shape[last]))
            groups.setdefault((first, *(place[a] for a in place if a != letter)), ([], place))[0].append(target)
        return list(groups.values())

    def close(self) -> None:
        """Nothing to close."""


class StackedImage:
    """Several images of one size, one behind the other as channels: one file per channel.

    Raises
    ------
    FormatError
        If they differ in size or type.
    """

    def __init__(self, name: str, images: Sequence[Image]) -> None:
        first = images[0]
        for image in images[1:]:
            if image.shape[1:] != first.shape[1:] or image.dtype != first.dtype:
                says = [f"{i.name} has {i.shape[1]} x {i.shape[2]} pixels of {i.dtype}" for i in (first, image)]
                raise FormatError(f"{name} cannot be one image: {' and '.join(says)}")
        self.name, self._images, self.dtype, self.tile = name, list(images), first.dtype, first.tile
        self.cheap = all(image.cheap for image in images)
        self._home = [(image, k) for image in images for k in range(image.shape[0])]
        self.shape = len(self._home), first.shape[1], first.shape[2]
        names = [image.about.channel_names or [Path(image.name).stem] * image.shape[0] for image in images]
        self.about = About([n for each in names for n in each], first.about.pixel_size)

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece."""
        out = np.empty((len(channels), rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        for image in self._images:
            here = [(t, self._home[c][1]) for t, c in enumerate(channels) if self._home[c][0] is image]
            if here:
                out[[t for t, _ in here]] = image.read([k for _, k in here], rows, columns)
        return out

    def close(self) -> None:
        """Close all."""
        for image in self._images:
            image.close()
