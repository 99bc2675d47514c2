"""TIFF and OME-TIFF: tiles and strips decoded one by one, each when it is needed and no more than once for a piece."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.images.image import PIECE, About, understand_axes
from kithkin.optional import need

X_RESOLUTION, Y_RESOLUTION = 282, 283
MICROMETRES = {
    **{"pm": 1e-6, "nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "micrometer": 1.0, "microns": 1.0},
    **{"mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0, "\\u00B5m": 1.0},
}

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG = (6, 7, 33007, 34892)  # compressions of which a file keeps the tables in its header


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFF or BigTIFF does.

    Examples
    --------
    >>> is_tiff(Path(__file__))
    False
    """
    with path.open("rb") as file:
        return file.read(4) in MAGIC


def _jpeg_tables(level: Any) -> dict[int, dict[str, Any]]:
    """What the decoder of each page needs besides the bytes of a segment; read while the file is open."""
    if level.keyframe.compression not in JPEG:
        return {}
    header = level.keyframe.jpegheader
    return {k: {"jpegtables": p.jpegtables, "jpegheader": header} for k, p in enumerate(level.pages) if p is not None}


class _Files:
    """Descriptors of the files of an image, read at any offset from any thread."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    def read(self, path: str, offset: int, size: int) -> bytes:
        with self._lock:
            if path not in self._open:
                self._open[path] = os.open(path, os.O_RDONLY)
        data = os.pread(self._open[path], size, offset)
        if len(data) < size:
            raise FormatError(f"{Path(path).name} is truncated: {size:,} bytes at {offset:,} go beyond its end")
        return data

    def close(self) -> None:
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()


class TiffImage:
    """The first series of a TIFF file at its highest resolution.

    Parameters
    ----------
    path
        The file; an OME-TIFF of several files is opened by any of them.
    axes
        One letter for each axis, where the file does not say or says it wrong.
    chosen
        Places on Z and T, from 0.

    Raises
    ------
    FormatError
        If it is no TIFF, truncated, has more than one Z or T and no choice, or a pixel type that cannot be read.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> path = Path(tempfile.mkdtemp()) / "a.tif"
    >>> tifffile.imwrite(path, np.arange(60, dtype="uint8").reshape(3, 4, 5), photometric="minisblack")
    >>> image = TiffImage(path)
    >>> image.shape, image.read([2], (1, 2), (0, 3)).tolist()
    ((3, 4, 5), [[[45, 46, 47]]])
    """

    def __init__(self, path: Path, axes: str | None = None, chosen: Mapping[str, int] | None = None) -> None:
        self.name = path.name
        tifffile = need("tifffile", "images", "reading TIFF")
        try:
            with complaints() as said, tifffile.TiffFile(path) as file:
                level = file.series[0].levels[0]
                self._pages: list[Any] = list(level.pages)
                self._keyframe = level.keyframe
                letters, lengths, whole = level.axes, level.shape, level.dataoffset
                self._decoder, self._tables = level.keyframe.decode, _jpeg_tables(level)
                self.about = describe_tiff(file)
        except FormatError:
            raise
        except Exception as error:  # the parser meets damage in many ways, all of them its own
            raise FormatError(f"{self.name} cannot be read as TIFF: {error or type(error).__name__}") from error
        beyond = [message for message in said if "invalid" in message and "offset" in message]
        if beyond:
            raise FormatError(f"{self.name} is truncated or damaged: {beyond[0]}")
        inner = self._keyframe.axes
        self._axes = understand_axes(self.name, axes or letters, lengths, chosen or {})
        self._files = _Files()
        self._outer = [k for k, letter in enumerate(letters) if letter not in inner]
        self._sample = next((k for k, letter in enumerate(letters) if letter in inner and letter == "S"), None)
        self.shape = self._axes.image_shape
        self._check_structure(len(inner) - ("S" in inner), letters)
        self._whole = whole if self._is_plain(self._keyframe) else None
        self.dtype = np.dtype(self._keyframe.dtype).newbyteorder("=")
        self._plain = self._is_plain(self._keyframe) and (whole is not None or all(map(self._is_plain, self._pages)))
        self.cheap = self._plain
        self.tile = self._pieces()
        self._check_length()

    def _check_structure(self, n_dimensions: int, letters: str) -> None:
        keyframe, planes = self._keyframe, int(np.prod([self._axes.shape[k] for k in self._outer]))
        if keyframe.dtype is None or np.dtype(keyframe.dtype).kind not in "iufb":
            raise FormatError(f"{self.name} holds pixels of a type that cannot be read: {keyframe.dtype}")
        if n_dimensions != 2 or {"Y", "X"} - set(keyframe.axes):
            raise FormatError(f"{self.name} stores planes along {keyframe.axes}, of axes {letters}: not supported")
        if None in self._pages:
            raise FormatError(f"{self.name} belongs to an OME-TIFF of several files, of which some are missing")
        if len(self._pages) != planes and not (len(self._pages) == 1 and self._is_plain(keyframe)):
            raise FormatError(f"{self.name} promises {planes} planes (axes {letters}), but has {len(self._pages)}")

    @staticmethod
    def _is_plain(page: Any) -> bool:
        """Whether rows of pixels lie uncompressed one behind the other."""
        return bool(page.is_contiguous)

    def _pieces(self) -> tuple[int, int]:
        keyframe, (_, height, width) = self._keyframe, self.shape
        if self._plain:
            return max(1, min(height, PIECE // width)), width
        if keyframe.is_tiled:
            return int(keyframe.tilelength), int(keyframe.tilewidth)
        return min(int(keyframe.rowsperstrip), height), width

    def _check_length(self) -> None:
        """Compare where the last segment ends with the size of each file."""
        ends: dict[str, int] = {}
        for page in self._pages:
            path = str(page.parent.filehandle.path)
            segments = zip(page.dataoffsets, page.databytecounts, strict=False)
            ends[path] = max(ends.get(path, 0), max((o + n for o, n in segments), default=0))
        if self._whole is not None:
            path = str(self._pages[0].parent.filehandle.path)
            ends[path] = self._whole + int(np.prod(self._axes.shape)) * self.dtype.itemsize
        for path, end in ends.items():
            size = os.stat(path).st_size
            if end > size:
                raise FormatError(
                    f"{Path(path).name} is truncated: its pixels end at byte {end:,}, but it has {size:,} bytes"
                )

    def _home(self, channel: int) -> tuple[int, int]:
        """Page and sample in which a channel lies."""
        place = self._axes.place(channel)
        at = [place[self._axes.letters[k]] for k in self._outer]
        sizes = [self._axes.shape[k] for k in self._outer]
        page = int(np.ravel_multi_index(at, sizes)) if at else 0
        return page, 0 if self._sample is None else place[self._axes.letters[self._sample]]

    def read(self, channels: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Decode a piece; samples that are stored together are decoded once.

        Raises
        ------
        FormatError
            If a tile or strip cannot be decoded.
        """
        out = np.empty((len(channels), rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        homes: dict[int, list[tuple[int, int]]] = {}
        for target, channel in enumerate(channels):
            page, sample = self._home(channel)
            homes.setdefault(page, []).append((target, sample))
        for page, wanted in homes.items():
            if self._plain:
                self._read_rows(page, wanted, rows, columns, out)
            else:
                self._read_segments(page, wanted, rows, columns, out)
        return out

    def _read_rows(
        self,
        page: int,
        wanted: list[tuple[int, int]],
        rows: tuple[int, int],
        columns: tuple[int, int],
        out: Array,
    ) -> None:
        _, height, width = self.shape
        keyframe = self._keyframe
        together = keyframe.samplesperpixel if keyframe.planarconfig == 1 else 1
        row_bytes = width * together * self.dtype.itemsize
        samples = keyframe.samplesperpixel // together
        stored = self._pages[0 if self._whole is not None else page]
        base = stored.dataoffsets[0] if self._whole is None else self._whole + page * samples * height * row_bytes
        path, dtype = str(stored.parent.filehandle.path), self.dtype.newbyteorder(stored.parent.byteorder)
        planes: dict[int, Array] = {}
        for target, sample in wanted:
            plane = sample if together == 1 else 0
            if plane not in planes:
                start = base + (plane * height + rows[0]) * row_bytes
                data = self._files.read(path, start, (rows[1] - rows[0]) * row_bytes)
                planes[plane] = np.frombuffer(data, dtype).reshape(rows[1] - rows[0], width, together)
            out[target] = planes[plane][:, columns[0] : columns[1], 0 if together == 1 else sample]

    def _read_segments(
        self,
        page: int,
        wanted: list[tuple[int, int]],
        rows: tuple[int, int],
        columns: tuple[int, int],
        out: Array,
    ) -> None:
        apart = self._keyframe.planarconfig == 2 and self._keyframe.samplesperpixel > 1
        for sample in sorted({s for _, s in wanted}) if apart else [0]:
            targets = [(t, 0 if apart else s) for t, s in wanted if not apart or s == sample]
            for index, y, x in self._segments(sample, rows, columns):
                pixels = self._decode(page, index)
                y0, y1 = max(y, rows[0]), min(y + pixels.shape[0], rows[1])
                x0, x1 = max(x, columns[0]), min(x + pixels.shape[1], columns[1])
                for target, s in targets:
                    place = out[target, y0 - rows[0] : y1 - rows[0], x0 - columns[0] : x1 - columns[0]]
                    place[...] = pixels[y0 - y : y1 - y, x0 - x : x1 - x, s]

    def _segments(self, sample: int, rows: tuple[int, int], columns: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
        """Index, first row and first column of each tile or strip that has a part of a piece."""
        (th, tw), (_, height, width) = self.tile, self.shape
        across, down = -(-width // tw), -(-height // th)
        for i in range(rows[0] // th, -(-rows[1] // th)):
            for j in range(columns[0] // tw, -(-columns[1] // tw)):
                yield (sample * down + i) * across + j, i * th, j * tw

    def _decode(self, page: int, index: int) -> Array:
        stored, keyframe = self._pages[page], self._keyframe
        try:
            size = stored.databytecounts[index]
            path = str(stored.parent.filehandle.path)
            data = self._files.read(path, stored.dataoffsets[index], size) if size else None
            pixels, _, shape = self._decoder(data, index, **self._tables.get(page, {}))
        except Exception as error:  # every codec has errors of its own
            what = "tile" if keyframe.is_tiled else "strip"
            raise FormatError(f"{self.name}: {what} {index} of plane {page + 1} cannot be decoded: {error}") from error
        if pixels is None:  # a segment that was never written
            pixels = np.full(shape, keyframe.nodata, self.dtype)
        found: Array = pixels[0]
        return found

    def close(self) -> None:
        """Close the files."""
        self._files.close()


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what the parser of TIFF logs, which it does where it reads on without what it did not find.

    Examples
    --------
    >>> with complaints() as said:
    ...     logging.getLogger("tifffile").error("invalid page offset 17")
    >>> said
    ['invalid page offset 17']
    """
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    log = logging.getLogger("tifffile")
    log.addFilter(keep)
    try:
        yield said
    finally:
        log.removeFilter(keep)


def describe_tiff(file: Any) -> About:
    """Read the description of the first image of an open TiffFile: OME-XML, or what ImageJ writes.

    Examples
    --------
    >>> import tempfile, numpy as np, tifffile
    >>> path = tempfile.mkdtemp() + "/a.ome.tif"
    >>> said = {"axes": "CYX", "Channel": {"Name": ["DNA", "CD3"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    >>> tifffile.imwrite(path, np.zeros((2, 40, 50), "uint8"), photometric="minisblack", metadata=said)
    >>> with tifffile.TiffFile(path) as file:
    ...     describe_tiff(file)
    About(channel_names=['DNA', 'CD3'], pixel_size=(0.5, 0.5))
    """
    if file.is_ome:
        return _from_ome(file.ome_metadata)
    if file.is_imagej:
        return _from_imagej(file)
    return About()


def _from_ome(text: str) -> About:
    document = need("tifffile", "images", "reading TIFF").xml2dict(text)
    image = _first(document.get("OME", {}).get("Image", {}))
    pixels = image.get("Pixels", {})
    channels = pixels.get("Channel", [])
    channels = channels if isinstance(channels, list) else [channels]
    names = [str(channel["Name"]) for channel in channels if isinstance(channel, dict) and "Name" in channel]
    complete = len(names) == len(channels)
    return About(names if complete else [], _size(pixels.get, "PhysicalSizeY", "PhysicalSizeX"))


def _first(found: Any) -> Any:
    return found[0] if isinstance(found, list) and found else found


def _size(get: Any, *keys: str) -> tuple[float, float] | None:
    sizes = []
    for key in keys:
        unit = MICROMETRES.get(str(get(f"{key}Unit", "µm")))
        value = get(key)
        if value is None or unit is None or not float(value) > 0:
            return None
        sizes.append(float(value) * unit)
    return sizes[0], sizes[1]


def _from_imagej(file: Any) -> About:
    said = file.imagej_metadata or {}
    labels = said.get("Labels", [])
    names = [str(label) for label in labels] if isinstance(labels, list) else [str(labels)]
    unit = MICROMETRES.get(str(said.get("unit", "")))
    tags = file.pages[0].tags
    if unit is None or X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return About(names)
    (y_pixels, y_units), (x_pixels, x_units) = (tags[code].value for code in (Y_RESOLUTION, X_RESOLUTION))
    if not (y_pixels and x_pixels):
        return About(names)
    return About(names, (unit * y_units / y_pixels, unit * x_units / x_pixels))
