"""Images in anything that is indexed like an array, and images made of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, KithkinError
from kithkin.io.images.image import PIECE, About, ArrayLike, Axes, Image, native_type
from kithkin.io.streams.sequential import reason_of


class ArrayImage:
    """An image in anything that is indexed like an array.

    The array is of NumPy, Zarr, Dask, xarray ...; `close` closes what it reads from.

    Examples
    --------
    >>> from kithkin.io.images.image import understand_axes
    >>> pixels = np.arange(24).reshape(2, 3, 4)
    >>> image = ArrayImage("pixels", pixels, understand_axes("pixels", "CYX", pixels.shape, {}))
    >>> image.shape, image.read([1], (0, 2), (1, 3)).tolist()
    ((2, 3, 4), [[[13, 14], [17, 18]]])
    """

    def __init__(
        self,
        name: str,
        array: ArrayLike,
        axes: Axes,
        about: About | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name, self._array, self._axes, self._close = name, array, axes, close
        self.axes: Axes | None = axes
        self.shape, self.about = axes.image_shape, about or About()
        self.dtype = native_type(array.dtype)
        chunks: Any = getattr(array, "shards", None) or getattr(array, "chunks", None)
        self.cheap = getattr(array, "cheap", chunks is None)
        if chunks is None:
            rows = max(1, PIECE // self.shape[2])
            pieces = [rows if a == "Y" else n for a, n in zip(axes.letters, axes.shape, strict=True)]
        else:
            pieces = [min(c[0] if isinstance(c, tuple) else c, n) for c, n in zip(chunks, axes.shape, strict=True)]
        self._pieces = dict(zip(axes.letters, pieces, strict=True))
        self.tile = self._pieces["Y"], self._pieces["X"]
        self.depth = 1 if chunks is None else prod(self._pieces[axes.letters[k]] for k in axes.channel_axes)
        self.piece_bytes = 0 if chunks is None else prod(pieces) * self.dtype.itemsize

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece; channels that lie in one chunk are decoded together."""
        out = np.empty((len(channels), rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        letters, channel_axes = self._axes.letters, [self._axes.letters[k] for k in self._axes.channel_axes]
        order = [*channel_axes, "Y", "X"]
        groups: dict[tuple[int, ...], list[int]] = {}
        places = [self._axes.place(channel) for channel in channels]
        for target, place in enumerate(places):
            groups.setdefault(tuple(place[a] // self._pieces[a] for a in channel_axes), []).append(target)
        for chunk, targets in groups.items():
            span: dict[str, Any] = {a: slice(place, place + 1) for a, place in self._axes.chosen.items()}
            for a, k in zip(channel_axes, chunk, strict=True):
                span[a] = slice(k * self._pieces[a], min((k + 1) * self._pieces[a], self._axes.shape[letters.index(a)]))
            inner = [tuple(places[target][a] - span[a].start for a in channel_axes) for target in targets]
            for (top, bottom), (left, right) in self._windows(len(targets), rows, columns):
                span["Y"], span["X"] = slice(top, bottom), slice(left, right)
                try:
                    part = np.asarray(self._array[tuple(span[a] for a in letters)])
                except (KithkinError, MemoryError):
                    raise
                except Exception as error:  # every codec and store has errors of its own
                    where = f"rows {top}..{bottom} of columns {left}..{right}"
                    raise FormatError(f"{self.name}: {where} cannot be decoded: {reason_of(error)}") from error
                part = part[tuple(0 if a in self._axes.chosen else slice(None) for a in letters)]
                kept = [a for a in letters if a not in self._axes.chosen]
                part = part.transpose([kept.index(a) for a in order])
                for target, index in zip(targets, inner, strict=True):
                    out[target, top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]] = part[index]
        return out

    def _windows(self, wanted: int, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[Any]:
        """Split a piece along the tiles if few of the channels in a chunk are wanted: all of them are decoded."""
        if wanted >= self.depth:
            return iter([(rows, columns)])
        spans = []
        for (first, stop), tile in ((rows, self.tile[0]), (columns, self.tile[1])):
            edges = [first, *range((first // tile + 1) * tile, stop, tile), stop]
            spans.append(list(pairwise(edges)))
        return product(*spans)

    def close(self) -> None:
        """Close its files."""
        if self._close is not None:
            self._close()


class StackedImage:
    """Several images of one size, one behind the other as channels: one file per channel.

    Raises FormatError if they differ in size or type.
    """

    def __init__(self, name: str, images: Sequence[Image]) -> None:
        first = images[0]
        for image in images[1:]:
            if image.shape[1:] != first.shape[1:] or image.dtype != first.dtype:
                says = [f"{i.name} has {i.shape[1]} x {i.shape[2]} pixels of {i.dtype}" for i in (first, image)]
                raise FormatError(f"{name} cannot be one image: {' and '.join(says)}")
        self.name, self._images, self.dtype, self.tile = name, list(images), first.dtype, first.tile
        self.depth, self.piece_bytes = max(i.depth for i in images), max(i.piece_bytes for i in images)
        self.axes: Axes | None = None
        self.cheap = all(image.cheap for image in images)
        self._home = [(image, k) for image in images for k in range(image.shape[0])]
        self.shape = len(self._home), first.shape[1], first.shape[2]
        names = [image.about.channel_names or [Path(image.name).stem] * image.shape[0] for image in images]
        named = all(image.about.channel_names and image.about.named for image in images)
        self.about = About([n for each in names for n in each], first.about.pixel_size, named)

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
