"""Open an image of any format, told by its content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import FormatError, ParameterError, check
from kithkin.io.images.image import (
    POSITION,
    REAL,
    About,
    ArrayLike,
    Image,
    guess_axes,
    letters_of,
    understand_axes,
)
from kithkin.io.streams.sequential import reason_of

PNG, NPY = b"\x89PNG\r\n\x1a\n", b"\x93NUMPY"


def open_image(
    source: Any,
    *,
    axes: str | None = None,
    z: int | None = None,
    t: int | None = None,
    position: int | None = None,
    panel: bool = True,
    name: str = "the image",
) -> Image:
    """Open an image of any format, told by its content.

    Parameters
    ----------
    source
        TIFF or OME-TIFF (highest resolution), a list or folder of TIFF files with one channel each, OME-Zarr or another
        Zarr array, PNG, `.npy`, or an array in memory with channels first.
    axes
        One letter for each axis, such as "CYX", where the file does not say or says it wrong.
    z, t, position
        Plane, time and stage position (tile of a mosaic, image of a file) to read, from 1, where there are several.
    panel
        True looks for names of channels in `panel.csv` or `markers.csv` beside an image that has none.
    name
        Name of an array in messages.

    Raises
    ------
    FormatError
        If it cannot be read, is truncated, or its pixels are no real numbers.
    ParameterError
        If z, t or position is out of range.

    Examples
    --------
    >>> open_image(np.zeros((3, 40, 50), np.uint8)).shape
    (3, 40, 50)
    """
    given = {"Z": z, "T": t, POSITION: position}
    for parameter, place in (("z", z), ("t", t), ("position", position)):
        whole = place is None or (isinstance(place, int | np.integer) and not isinstance(place, bool))
        check(whole, f"{parameter} must be the number of a plane, from 1, got {place!r}")
    image = _open(source, axes, {axis: place - 1 for axis, place in given.items() if place is not None}, name)
    if image.dtype.kind not in REAL:
        image.close()
        raise FormatError(f"{image.name} holds {image.dtype}: pixels must be real numbers")
    if panel and isinstance(source, (str, Path)) and not image.about.channel_names:
        from kithkin.io.images.description import names_beside

        image.about = About(names_beside(Path(source).expanduser().absolute(), image.shape[0]), image.about.pixel_size)
    return image


def _open(source: Any, axes: str | None, chosen: dict[str, int], name: str) -> Image:
    """Open a path, several paths, or an array."""
    from kithkin.io.images.array import ArrayImage, StackedImage

    if isinstance(source, (list, tuple)):
        check(len(source) > 0, "an image must have at least one file")
        images = [_open(part, axes, chosen, name) for part in source]
        return images[0] if len(images) == 1 else StackedImage(f"{images[0].name} and others", images)
    if isinstance(source, (str, Path)):
        return _open_path(Path(source).expanduser(), axes, chosen)
    if not isinstance(source, ArrayLike):
        raise ParameterError(f"an image must be a path or an array, got {type(source).__name__}")
    dims: Sequence[Any] | None = getattr(source, "dims", None)  # of an xarray
    if axes is None and dims is not None and all(isinstance(d, str) and d for d in dims):
        axes = letters_of(dims)
    return ArrayImage(name, source, understand_axes(name, axes or guess_axes(source.shape), source.shape, chosen))


def _open_path(path: Path, axes: str | None, chosen: dict[str, int]) -> Image:
    """Open a file or folder by its content."""
    from kithkin.io.images import array, tiff, zarr

    if not path.exists():
        raise FormatError(f"{path} does not exist")
    if zarr.is_zarr(path):
        return zarr.open_zarr_image(path, axes, chosen)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and tiff.is_tiff(p))
        if not files:
            raise FormatError(f"{path.name} is a folder with neither Zarr nor TIFF in it")
        return array.StackedImage(path.name, [tiff.open_tiff_image(p, axes, chosen) for p in files])
    with path.open("rb") as file:
        start = file.read(8)
    if start == PNG or start.startswith(NPY):
        try:
            if start != PNG:  # pickled objects are refused, since reading them runs what they say
                pixels = np.load(path, mmap_mode="r", allow_pickle=False)
            else:
                from PIL import Image as Picture

                with Picture.open(path) as picture:
                    pixels = np.asarray(picture)
        except Exception as error:  # damage is met in many ways
            form = "PNG" if start == PNG else "npy"
            raise FormatError(f"{path.name} cannot be read as {form}: {reason_of(error)}") from error
        meaning = understand_axes(path.name, axes or guess_axes(pixels.shape), pixels.shape, chosen)
        return array.ArrayImage(path.name, pixels, meaning)
    if not tiff.is_tiff(path):
        raise FormatError(f"{path.name} is neither TIFF nor Zarr")
    return tiff.open_tiff_image(path, axes, chosen)
