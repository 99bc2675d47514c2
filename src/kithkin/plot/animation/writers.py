"""Files of moving pictures, written frame by frame: GIF, APNG, MP4, WebM and a page with a player."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import KithkinError, check, check_range
from kithkin.optional import need
from kithkin.plot.animation.film import Film
from kithkin.plot.animation.levels import SAME
from kithkin.plot.animation.player import page
from kithkin.plot.animation.video import CODECS, Video

# GIF and APNG are ours, not Pillow's save_all: it holds all frames (0.7 MB for each of 800 x 800, ours none), and makes
# files a third larger
WHOLE = 12  # in a page every so many frames one is whole: from there a player finds the others
ENDINGS = (".gif", ".mp4", ".webm", ".html", ".png")
FASTEST = {".gif": 50.0}  # what players show; faster is slowed down by them


def check_ending(path: Path, size: tuple[int, int], fps: float) -> str:
    """Check that a film can be written to a path, and return the ending that names the format.

    Raises
    ------
    ParameterError
        If the ending is unknown, or the format cannot hold such a film.
    KithkinError
        If the folder does not exist.
    """
    ending = path.suffix.lower()
    check(ending in ENDINGS, f"to must end in {', '.join(ENDINGS)}, got {path.name!r}")
    check_range("fps", fps, 0.1, FASTEST.get(ending, 120.0))
    even = size[0] % 2 == 0 and size[1] % 2 == 0
    check(even or ending not in CODECS, f"size must be even numbers for {ending}, got {size[0]} x {size[1]}")
    if not path.parent.is_dir():
        raise KithkinError(f"the folder {path.parent} does not exist")
    if path.is_dir():
        raise KithkinError(f"{path} is a folder, and an animation is a file")
    if ending in CODECS:
        need("av", "video", f"an animation in {ending}")
    return ending


def write_film(path: Path, frames: Iterable[Array], film: Film) -> None:
    """Write the frames of a film, height x width uint8, beside its place, and move the file there when it is whole."""
    # each takes frames with add(), and ends the file with close()
    writers: dict[str, Any] = {".gif": _Gif, ".png": _Apng, ".html": _Html, ".mp4": Video, ".webm": Video}
    ending = path.suffix.lower()
    staged = path.with_name(f".{path.name}.{uuid4().hex[:8]}{ending}")
    try:
        with ExitStack() as stack:
            writer = writers[ending](staged, film, stack)
            for frame in frames:
                writer.add(frame)
            writer.close()
        os.replace(staged, path)
    finally:
        staged.unlink(missing_ok=True)


def cut_changes(frame: Array, before: Array | None) -> tuple[int, int, Array]:
    """Cut out the part of a frame that differs from the one before, 255 where it does not: left, top and pixels."""
    if before is None:
        return 0, 0, frame
    other = frame != before
    rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
    top, left = (int(numbers[0]) if len(numbers) else 0 for numbers in (rows, columns))
    bottom, right = (int(numbers[-1]) + 1 if len(numbers) else 1 for numbers in (rows, columns))  # one pixel at least
    inside = np.s_[top:bottom, left:right]
    return left, top, np.where(other[inside], frame[inside], np.uint8(SAME))


class _Gif:
    """A GIF with one colour table; a frame is the part that changed, and what stays in it is transparent."""

    def __init__(self, path: Path, film: Film, stack: ExitStack) -> None:
        self.film, self.file = film, stack.enter_context(path.open("wb"))
        self.before: Array | None = None
        self.n = 0
        self.file.write(b"GIF89a" + struct.pack("<HH", *film.size) + b"\xf7\0\0" + film.palette.tobytes())
        if film.loop:
            self.file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")

    def add(self, frame: Array) -> None:
        """Write a frame."""
        left, top, part = cut_changes(frame, self.before)
        # hundredths of a second, so that the sum over all frames is right
        first, last = (round(100 * n / self.film.rate) for n in (self.n, self.n + 1))
        # bits: leave the frame in place (4), and one colour is transparent (1)
        self.file.write(struct.pack("<4sHBB", b"!\xf9\x04\x05", last - first, SAME, 0))
        self.file.write(struct.pack("<cHHHHB", b",", left, top, part.shape[1], part.shape[0], 0))
        self.file.write(lzw(part))
        self.before, self.n = frame, self.n + 1

    def close(self) -> None:
        """End the file."""
        self.file.write(b";")


def lzw(pixels: Array) -> bytes:
    """Compress pixels as GIF does: what Pillow writes behind the descriptor of a single picture."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "GIF", optimize=False, interlace=0)
    data = file.getbuffer()

    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 128 else 0

    at = 13 + table(data[10])
    while data[at] == ord("!"):  # an extension: blocks up to an empty one
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    return bytes(data[at + 10 + table(data[at + 9]) : -1])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _packed(part: Array) -> bytes:
    """Compress rows of pixels as PNG stores them: without a filter, which helps only where numbers are brightnesses."""
    return zlib.compress(np.pad(part, ((0, 0), (1, 0))).tobytes(), 6)


def _png_start(film: Film, control: bytes = b"") -> bytes:
    """Make all of a PNG that stands before its pixels; 255 is transparent."""
    header = struct.pack(">IIBBBBB", *film.size, 8, 3, 0, 0, 0)
    colors = _chunk(b"PLTE", film.palette.tobytes()) + _chunk(b"tRNS", b"\xff" * SAME + b"\0")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + control + colors


PNG_END = _chunk(b"IEND", b"")


class _Apng:
    """An animated PNG; a frame is the part that changed. Programs that do not know them show the first frame."""

    def __init__(self, path: Path, film: Film, stack: ExitStack) -> None:
        self.film, self.file = film, stack.enter_context(path.open("wb"))
        self.before: Array | None = None
        self.number = 0
        control = _chunk(b"acTL", struct.pack(">II", film.n_frames, 0 if film.loop else 1))
        self.file.write(_png_start(film, control))

    def add(self, frame: Array) -> None:
        """Write a frame."""
        left, top, part = cut_changes(frame, self.before)
        height, width = part.shape
        seconds = self.film.rate.denominator, self.film.rate.numerator
        where = struct.pack(">IIIIIHHBB", self.number, width, height, left, top, *seconds, 0, 1)
        data = _packed(part)
        self.file.write(_chunk(b"fcTL", where))
        self.number += 1
        if self.before is None:
            self.file.write(_chunk(b"IDAT", data))
        else:
            self.file.write(_chunk(b"fdAT", struct.pack(">I", self.number) + data))
            self.number += 1
        self.before = frame

    def close(self) -> None:
        """End the file."""
        self.file.write(PNG_END)


class _Html:
    """A page with a player, and the frames as PNG: whole ones, and between them what changed."""

    def __init__(self, path: Path, film: Film, stack: ExitStack) -> None:
        self.n, self.before = 0, np.zeros((0, 0), np.uint8)
        self.file: IO[str] = stack.enter_context(path.open("w", encoding="utf-8"))
        settings = {"fps": float(film.rate), "loop": film.loop, "every": WHOLE}
        around = {"start": _text(_png_start(film)), "end": _text(PNG_END)}
        head, self.tail = page(film.title, film.size, settings | around)
        self.file.write(head)

    def add(self, frame: Array) -> None:
        """Write a frame."""
        part = frame if self.n % WHOLE == 0 else np.where(frame == self.before, np.uint8(SAME), frame)
        self.file.write(("," if self.n else "") + f'"{_text(_chunk(b"IDAT", _packed(part)))}"\n')
        self.n, self.before = self.n + 1, frame

    def close(self) -> None:
        """End the page."""
        self.file.write(self.tail)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
