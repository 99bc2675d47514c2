"""TIFF and OME-TIFF: tiles and strips decoded one by one, each when it is needed and no more than once for a piece.

tifffile's own Zarr store would read a plane of an uncompressed file as a whole for any part of it, with 80 times the
time and 25 times the memory at 6,000 x 6,000 pixels, and takes 2 to 7 times as long for strips and tiles.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.images.array import ArrayImage
from kithkin.io.images.description import complaints, describe_tiff
from kithkin.io.images.image import (
    CHANNELS,
    PIECE,
    POSITION,
    REAL,
    About,
    Axes,
    native_type,
    understand_axes,
)
from kithkin.io.streams.sequential import reason_of
from kithkin.optional import need

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# names of series that are no images of the sample
OF_THE_SLIDE = {f"{what}{image}" for what in ("thumbnail", "label", "macro") for image in ("", " image")}
log = logging.getLogger("kithkin")
JPEG = (6, 7, 33007, 34892)  # compressions of which a file keeps the tables in its header


def is_tiff(path: Path) -> bool:
    """Tell whether a file begins as TIFF or BigTIFF does."""
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def open_tiff_image(path: Path, axes: str | None, chosen: dict[str, int]) -> ArrayImage:
    """Open an image in a TIFF file at its highest resolution.

    An OME-TIFF of several files is opened by any of them. `axes` has one letter for each axis, where the file does not
    say or says it wrong; `chosen` the indices on Z, T and the position, from 0. Raises FormatError if it is no TIFF,
    truncated, has more than one plane, time or position and no choice, or a pixel type that cannot be read.
    """
    array = TiffArray(path, chosen.get(POSITION))
    if array.series > 1:
        chosen = {letter: place for letter, place in chosen.items() if letter != POSITION}
    meaning = understand_axes(path.name, axes or array.letters, array.shape, chosen)
    array.check_structure()
    about = About(array.names_of(meaning), array.about.pixel_size)
    return ArrayImage(path.name, array, meaning, about, array.close)


def name_apart(letters: str, shape: Sequence[int]) -> str:
    """Give axes of length 1 letters of their own where tifffile calls several by one."""
    axes = list(letters)
    for k, letter in enumerate(letters):
        if axes.count(letter) > 1 and shape[k] == 1:
            axes[k] = next(free for free in CHANNELS if free not in axes)
    return "".join(axes)


class TiffArray:
    """An image of a TIFF file at its highest resolution, sliced like an array.

    `position` is the index among the images of the file, of which there are `series`, from 0, pictures of the slide and
    its label apart; None: there must be one, or the first is larger than the others. `letters`, `shape` and `dtype` are
    the axes as the file names them, their lengths, and the type of the pixels; `chunks` the lengths that are decoded as
    a whole. It is `cheap` if rows of pixels lie uncompressed one behind the other.
    """

    def __init__(self, path: Path, position: int | None = None) -> None:
        self.name = path.name
        tifffile = need("tifffile", "images", "reading TIFF")
        try:
            with complaints() as said, tifffile.TiffFile(path) as file:
                series = [one for one in file.series if one.name.lower() not in OF_THE_SLIDE] or list(file.series)
                self.series, chosen = len(series), self._choose_series(series, position)
                level = chosen.levels[0]
                self._pages: list[Any] = list(level.pages)
                self._keyframe = keyframe = level.keyframe
                self.letters, self.shape, whole = (
                    name_apart(level.axes, level.shape),
                    tuple(level.shape),
                    level.dataoffset,
                )
                self._decoder, self._tables = keyframe.decode, {}
                if keyframe.compression in JPEG:  # what the decoder of each page needs besides a segment
                    tables = [(k, p.jpegtables) for k, p in enumerate(self._pages) if p is not None]
                    header = keyframe.jpegheader
                    self._tables = {k: {"jpegtables": table, "jpegheader": header} for k, table in tables}
                self.about = describe_tiff(file, level, file.series.index(chosen))
        except FormatError:
            raise
        except Exception as error:  # the parser meets damage in many ways, all of them its own
            raise FormatError(f"{self.name} cannot be read as TIFF: {reason_of(error)}") from error
        beyond = [message for message in said if "invalid" in message and "offset" in message]
        if beyond:
            raise FormatError(f"{self.name} is truncated or damaged: {beyond[0]}")
        if keyframe.dtype is None or np.dtype(keyframe.dtype).kind not in REAL:
            raise FormatError(f"{self.name} holds pixels of a type that cannot be read: {keyframe.dtype}")
        self._handles: dict[str, int] = {}
        self._lock = threading.Lock()
        self._inner = keyframe.axes
        self._outer = [k for k, letter in enumerate(self.letters) if letter not in self._inner]
        self.dtype = native_type(keyframe.dtype)
        together = keyframe.samplesperpixel if keyframe.planarconfig == 1 else 1
        self._together = int(together)  # samples of a pixel that lie side by side
        self._whole = whole if keyframe.is_contiguous else None
        pages = [page for page in self._pages if page is not None]
        self.cheap = bool(keyframe.is_contiguous and (whole is not None or all(p.is_contiguous for p in pages)))

    def _choose_series(self, series: Sequence[Any], position: int | None) -> Any:
        """Choose one of several images; the first without being asked only if it is the largest, with a note."""
        if len(series) == 1:
            return series[0]
        sizes = [prod(one.shape) for one in series]
        shapes = [" x ".join(map(str, one.shape)) for one in series]
        if position is None and sizes[0] > max(sizes[1:]):
            log.warning(
                "%s has %d images: the first (%s) is read, as it is the largest; position=2 takes the second (%s)",
                self.name,
                len(series),
                shapes[0],
                shapes[1],
            )
        elif position is None or not 0 <= position < len(series):
            says = "choose one" if position is None else f"there is no {position + 1}: choose one"
            kinds = f" ({', '.join(dict.fromkeys(shapes))})" if len(set(shapes)) > 1 else ""
            raise FormatError(f"{self.name} has {len(series)} images{kinds}: {says} with position=1..{len(series)}")
        return series[position or 0]

    def check_structure(self) -> None:
        """Check that all planes are there, and plan how they are read.

        Raises FormatError if planes are missing, are no planes of rows and columns, or the file is truncated.
        """
        keyframe, letters, name = self._keyframe, self.letters, self.name
        planes = int(np.prod([self.shape[k] for k in self._outer]))
        if sorted(self._inner.replace("S", "")) != ["X", "Y"] or not set(self._inner) <= set(letters):
            raise FormatError(f"{name} stores planes along {self._inner}, of axes {letters}: not supported")
        if None in self._pages:
            raise FormatError(f"{name} belongs to an OME-TIFF of several files, of which some are missing")
        if len(self._pages) != planes and not (len(self._pages) == 1 and keyframe.is_contiguous):
            raise FormatError(f"{name} promises {planes} planes (axes {letters}), but has {len(self._pages)}")
        lengths = dict(zip(letters, self.shape, strict=True))
        self._height, self._width = lengths["Y"], lengths["X"]
        if self.cheap:
            self._tile = max(1, min(self._height, PIECE // self._width)), self._width
        elif keyframe.is_tiled:
            self._tile = int(keyframe.tilelength), int(keyframe.tilewidth)
        else:
            self._tile = min(int(keyframe.rowsperstrip), self._height), self._width
        sizes = {"Y": self._tile[0], "X": self._tile[1], "S": self._together if "S" in self._inner else 1}
        self.chunks = tuple(sizes.get(letter, 1) for letter in letters)
        ends: dict[str, int] = {}  # where the last segment of each file ends
        for page in self._pages:
            path = str(page.parent.filehandle.path)
            segments = zip(page.dataoffsets, page.databytecounts, strict=False)
            ends[path] = max(ends.get(path, 0), max((o + n for o, n in segments), default=0))
        if self._whole is not None:
            path = str(self._pages[0].parent.filehandle.path)
            ends[path] = self._whole + int(np.prod(self.shape)) * self.dtype.itemsize
        for path, end in ends.items():
            size = os.stat(path).st_size
            if end > size:
                raise FormatError(
                    f"{Path(path).name} is truncated: its pixels end at byte {end:,}, but it has {size:,} bytes"
                )

    def names_of(self, axes: Axes) -> list[str]:
        """Names of the channels; names of all planes are narrowed to the planes in which the channels lie."""
        names, channels = self.about.channel_names, axes.image_shape[0]
        rows_in_planes = {"Y", "X"} <= {axes.letters[k] for k in range(len(axes.letters)) if k not in self._outer}
        if len(names) == channels or len(names) != len(self._pages) or not (rows_in_planes and self._outer):
            return names if len(names) == channels else []
        places = [axes.place(channel) for channel in range(channels)]
        sizes = [self.shape[k] for k in self._outer]
        indices = [[place[axes.letters[k]] for k in self._outer] for place in places]
        return [names[int(np.ravel_multi_index(index, sizes))] for index in indices]

    def __getitem__(self, key: tuple[slice, ...]) -> Array:
        """Decode a part, given by a slice of step 1 for each axis.

        Raises FormatError if a tile or strip cannot be decoded.
        """
        spans = dict(
            zip(self.letters, (one.indices(n)[:2] for one, n in zip(key, self.shape, strict=True)), strict=True)
        )
        outer = [self.letters[k] for k in self._outer]
        lengths = [spans[letter][1] - spans[letter][0] for letter in outer]
        rows, columns, samples = spans["Y"], spans["X"], spans.get("S", (0, 1)) if "S" in self._inner else (0, 1)
        shape = samples[1] - samples[0], rows[1] - rows[0], columns[1] - columns[0]
        out = np.empty((*lengths, *shape), self.dtype)
        for index in np.ndindex(*lengths):
            place = [spans[letter][0] + k for letter, k in zip(outer, index, strict=True)]
            page = int(np.ravel_multi_index(place, [self.shape[k] for k in self._outer])) if place else 0
            (self._read_rows if self.cheap else self._read_segments)(page, samples, rows, columns, out[index])
        if "S" not in self._inner:
            out = out[..., 0, :, :]
        order = [*outer, *(["S"] if "S" in self._inner else []), "Y", "X"]
        return out.transpose([order.index(letter) for letter in self.letters])

    def _read_rows(
        self, page: int, samples: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int], out: Array
    ) -> None:
        """Read rows of an uncompressed plane into samples x rows x columns."""
        together, height, width = self._together, self._height, self._width
        row_bytes = width * together * self.dtype.itemsize
        planes = self._keyframe.samplesperpixel // together
        stored = self._pages[0 if self._whole is not None else page]
        base = stored.dataoffsets[0] if self._whole is None else self._whole + page * planes * height * row_bytes
        path, dtype = str(stored.parent.filehandle.path), self.dtype.newbyteorder(stored.parent.byteorder)
        for plane in range(*samples) if together == 1 else [0]:
            start = base + (plane * height + rows[0]) * row_bytes
            data = self._read_bytes(path, start, (rows[1] - rows[0]) * row_bytes)
            pixels = np.frombuffer(data, dtype).reshape(-1, width, together)[:, columns[0] : columns[1]]
            if together == 1:
                out[plane - samples[0]] = pixels[..., 0]
            else:
                out[...] = pixels[..., slice(*samples)].transpose(2, 0, 1)

    def _read_segments(
        self, page: int, samples: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int], out: Array
    ) -> None:
        """Decode the tiles or strips of a plane that have a part of samples x rows x columns."""
        (th, tw), together = self._tile, self._together
        across, down = -(-self._width // tw), -(-self._height // th)
        for plane in range(*samples) if together == 1 else [0]:
            wanted = slice(plane - samples[0], plane - samples[0] + 1) if together == 1 else slice(None)
            taken = slice(0, 1) if together == 1 else slice(*samples)
            for i in range(rows[0] // th, -(-rows[1] // th)):
                for j in range(columns[0] // tw, -(-columns[1] // tw)):
                    pixels, y, x = self._decode(page, (plane * down + i) * across + j), i * th, j * tw
                    y0, y1 = max(y, rows[0]), min(y + pixels.shape[0], rows[1])
                    x0, x1 = max(x, columns[0]), min(x + pixels.shape[1], columns[1])
                    part = pixels[y0 - y : y1 - y, x0 - x : x1 - x, taken].transpose(2, 0, 1)
                    out[wanted, y0 - rows[0] : y1 - rows[0], x0 - columns[0] : x1 - columns[0]] = part

    def _decode(self, page: int, index: int) -> Array:
        """Decode a tile or strip: rows x columns x samples."""
        stored, keyframe = self._pages[page], self._keyframe
        try:
            size = stored.databytecounts[index]
            path = str(stored.parent.filehandle.path)
            data = self._read_bytes(path, stored.dataoffsets[index], size) if size else None
            pixels, _, shape = self._decoder(data, index, **self._tables.get(page, {}))
        except Exception as error:  # every codec has errors of its own
            what = "tile" if keyframe.is_tiled else "strip"
            raise FormatError(
                f"{self.name}: {what} {index} of plane {page + 1} cannot be decoded: {reason_of(error)}"
            ) from error
        if pixels is None:  # a segment that was never written
            pixels = np.full(shape, keyframe.nodata, self.dtype)
        plane: Array = pixels[0]
        return plane

    def _read_bytes(self, path: str, offset: int, size: int) -> bytes:
        """Read bytes of a file at an offset, from any thread."""
        with self._lock:
            if path not in self._handles:
                self._handles[path] = os.open(path, os.O_RDONLY)
        data = os.pread(self._handles[path], size, offset)
        if len(data) < size:
            raise FormatError(f"{Path(path).name} is truncated: {size:,} bytes at {offset:,} go beyond its end")
        return data

    def close(self) -> None:
        """Close the files."""
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
