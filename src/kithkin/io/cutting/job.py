"""Settings of a cut, from inputs that fit together: windows, channels, padding, and the table of the cells."""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import Execution
from kithkin.io.cutting.cutter import Look, Sheet
from kithkin.io.cutting.inputs import Sample, choose_channels, identity_of, match_channels, pieces_of
from kithkin.io.cutting.scaling import Scaling, image_limits
from kithkin.io.images.image import Image

log = logging.getLogger("kithkin")
SQUARE = 0.01  # height and width of a pixel that differ by less are equal


def note_strangers(samples: Sequence[Sample]) -> None:
    """Warn if most centroids lie outside their cells: a sign that the table is of another image."""
    for sample in samples:
        if sample.apart * 2 > len(sample.cells.ids):
            log.warning(
                "%d of %d centroids of %s lie outside their cells in the mask: is it the table of another image, "
                "or are X and Y swapped?",
                sample.apart,
                len(sample.cells.ids),
                sample.cells.name,
            )


def make_sheets(samples: Sequence[Sample], channels: Sequence[int | str] | None, *, masks: bool) -> list[Sheet]:
    """Choose the channels to cut of each image: those of the first, by name in the others; the windows come later.

    Raises ParameterError if images differ in channels or type.
    """
    sheets: list[Sheet] = []
    first, place = samples[0], 0
    by_name = isinstance(channels, str) or (channels is not None and all(isinstance(one, str) for one in channels))
    for sample in samples:
        alike = channels is not None or sample.image.shape[0] == first.image.shape[0]
        if alike and (by_name or not sheets):
            chosen = choose_channels(channels, sample.image)
        elif alike:
            chosen = match_channels(sheets[0].channels, first.image, sample.image)
            alike = max(chosen) < sample.image.shape[0]
        if not alike or sample.image.dtype != first.image.dtype:
            says = [f"{s.image.name} has {s.image.shape[0]} channels of {s.image.dtype}" for s in (first, sample)]
            raise ParameterError(f"images for one array must have channels and type in common: {' and '.join(says)}")
        empty = np.zeros(0, np.int64)
        sheets.append(
            Sheet(sample.image, sample.mask if masks else None, chosen, sample.cells.ids, empty, empty, place)
        )
        place += len(sample.cells.ids)
    if len(set(sheets[0].channels)) < len(sheets[0].channels):
        log.warning("channels are repeated: %s", ", ".join(str(k + 1) for k in sheets[0].channels))
    return sheets


def window_of(window_size: int | str | None, samples: Sequence[Sample], pixel_size: float | None) -> int:
    """Compute the side of the windows of all images in pixels: as given, or the largest side of a bounding box.

    Raises ParameterError if it is not a size, or micrometres without the size of a pixel.
    """
    if window_size is None:
        return max(sample.largest for sample in samples)
    sizes = {pixels_of(window_size, sample.image, pixel_size) for sample in samples}
    check(len(sizes) == 1, f"images differ in the size of a pixel, so that {window_size} is not one number of pixels")
    return sizes.pop()


def check_pixel_size(pixel_size: float | None) -> None:
    """Check that the size of a pixel is above 0."""
    fits = pixel_size is None or (isinstance(pixel_size, (int, float, np.number)) and 0 < pixel_size < np.inf)
    check(bool(fits), f"pixel_size must be above 0 micrometres, got {pixel_size}")


def parse_micrometres(length: object) -> float | None:
    """Read a length such as "30um"; None if it is not text in micrometres."""
    text = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*(um|µm|μm)\s*", length) if isinstance(length, str) else None
    return float(text[1]) if text else None


def is_square(pixel_size: tuple[float, float]) -> bool:
    """Tell whether height and width of a pixel are equal, within what rounding in headers makes of them."""
    return abs(pixel_size[0] / pixel_size[1] - 1) < SQUARE


def note_pixels(images: Iterable[Image], pixel_size: float | None) -> None:
    """Warn of pixels that are not square: windows, shapes and distances in pixels are distorted."""
    for image in images:
        size = image.about.pixel_size
        if pixel_size is None and size is not None and not is_square(size):
            log.warning(
                "%s has pixels %g um high and %g um wide, which are not square: windows and shapes are in pixels",
                image.name,
                size[0],
                size[1],
            )


def pixels_of(window_size: int | str, image: Image, pixel_size: float | None) -> int:
    """Compute the side of a window in pixels.

    Raises ParameterError if it is not a size, or micrometres without the size of a pixel, or pixels are not square.
    """
    length = parse_micrometres(window_size)
    if length is not None:
        size = image.about.pixel_size or (0.0, 0.0)
        one = pixel_size or size[1]
        check(one > 0, f"{image.name} does not say how large a pixel is: give pixel_size for a window of {window_size}")
        told = f"{image.name} has pixels {size[0]:g} um high and {size[1]:g} um wide, of which no square window is "
        check(pixel_size is not None or is_square(size), f"{told}{window_size}: give window_size in pixels")
        pixels = round(length / one)
    else:
        whole = re.fullmatch(r"\s*-?[0-9]+\s*", str(window_size)) and not isinstance(window_size, bool)
        check(bool(whole), f"window_size must be a number of pixels or such as '30um', got {window_size!r}")
        pixels = int(window_size)
    check(pixels >= 1, f"window_size must be at least 1 pixel, got {window_size}")
    return pixels


def fill_of(fill: float, image: Image) -> float:
    """Check that the type of the image holds the value of padding.

    Raises ParameterError if it does not.
    """
    fits = image.dtype.kind == "f" or (
        float(fill).is_integer()
        and image.dtype.kind in "iu"
        and np.iinfo(image.dtype).min <= fill <= np.iinfo(image.dtype).max
    )
    check(fits or fill in (0, 1), f"fill must be a value of {image.dtype}, got {fill}")
    return fill


def scaling_of(normalize: str | None, sheets: Sequence[Sheet], execution: Execution) -> Scaling | None:
    """Choose how values are scaled; for "image" every image is decoded once for it."""
    if normalize != "image":
        return None if normalize is None else Scaling()
    limits = []
    for sheet in sheets:
        pieces, room = pieces_of(sheet.image, len(sheet.channels), execution)
        limits.append(image_limits(sheet.image, sheet.channels, pieces, room))
    return Scaling(limits)


def table_of(samples: Sequence[Sample], sheets: Sequence[Sheet], size: int, *, several: bool) -> pd.DataFrame:
    """Make a table of ids, centroids, windows and bounding boxes of all cells."""
    frames = []
    for sample, sheet in zip(samples, sheets, strict=True):
        frame = sample.frame()
        _, height, width = sample.image.shape
        outside = np.zeros(len(frame), np.bool_)
        for axis, start, length in (("X", sheet.x, width), ("Y", sheet.y, height)):
            frame[f"{axis}_start"], frame[f"{axis}_stop"] = start, start + size
            outside |= (start < 0) | (start + size > length)
        frame["OutOfBounds"] = outside
        if several:
            frame.insert(0, "Image", sample.name)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def identity_of_job(
    given: Sequence[Sequence[Any]], sheets: Sequence[Sheet], look: Look, others: Sequence[Any]
) -> str | None:
    """Identify a job, so that only the same is taken up again; None if an input has no file."""
    # the table of cells enters by what was read of it
    sources = [identity_of(part) for parts in given for part in parts[:2]]
    if None in sources:
        return None
    windows = [zlib.crc32(np.stack([s.ids, s.y, s.x]).tobytes()) for s in sheets]
    chosen = [s.channels for s in sheets]
    return json.dumps([sources, windows, chosen, look.size, look.fill, look.mask_cells, *others])


def channel_names(names: Sequence[str], channels: Iterable[int]) -> list[str]:
    """List the names of the chosen channels; numbered from 1 where the image names none."""
    return [names[k] if k < len(names) else f"channel {k + 1}" for k in channels]
