"""Open an image of any format, told by its content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kithkin.core.errors import FormatError, ParameterError, check
from kithkin.io.images.image import REAL, ArrayLike, Image, guess_axes, understand_axes


def open_image(
    source: Any, *, axes: str | None = None, z: int | None = None, t: int | None = None, name: str = "the image"
) -> Image:
    """Open an image of any format, told by its content.

    Parameters
    ----------
    source
        TIFF or OME-TIFF (first series, highest resolution), a list or folder of TIFF files with one channel each,
        OME-Zarr or another Zarr array, or an array in memory with channels first.
    axes
        One letter for each axis, such as "CYX", where the file does not say or says it wrong.
    z, t
        Plane and time to read, from 1, where there are several.
    name
        Of an array in messages.

    Raises
    ------
    FormatError
        If it cannot be read, is truncated, or its pixels are no real numbers.
    ParameterError
        If z or t is out of range.

    Examples
    --------
    >>> open_image(np.zeros((3, 40, 50), np.uint8)).shape
    (3, 40, 50)
    """
    image = _open(
        source, axes, {letter: place - 1 for letter, place in (("Z", z), ("T", t)) if place is not None}, name
    )
    if image.dtype.kind not in REAL:
        image.close()
        raise FormatError(f"{image.name} holds {image.dtype}: pixels must be real numbers")
    return image


def _open(source: Any, axes: str | None, chosen: Mapping[str, int], name: str) -> Image:
    if isinstance(source, (list, tuple)):
        check(len(source) > 0, "an image must have at least one file")
        from kithkin.io.images.array import StackedImage

        images = [_open(part, axes, chosen, name) for part in source]
        return images[0] if len(images) == 1 else StackedImage(f"{images[0].name} and others", images)
    if isinstance(source, (str, Path)):
        return _open_path(Path(source).expanduser(), axes, chosen)
    if isinstance(source, ArrayLike):
        return _open_array(source, axes, chosen, name)
    raise ParameterError(f"an image must be a path or an array, got {type(source).__name__}")


def _open_array(source: ArrayLike, axes: str | None, chosen: Mapping[str, int], name: str) -> Image:
    from kithkin.io.images.array import ArrayImage

    dims = getattr(source, "dims", None)  # of an xarray
    if axes is None and dims is not None and all(isinstance(d, str) and d for d in dims):
        axes = "".join(d[0] for d in dims)
    return ArrayImage(name, source, understand_axes(name, axes or guess_axes(source.shape), source.shape, chosen))


def _open_path(path: Path, axes: str | None, chosen: Mapping[str, int]) -> Image:
    from kithkin.io.images import array, tiff, zarr

    if not path.exists():
        raise FormatError(f"{path} does not exist")
    if zarr.is_zarr(path):
        return zarr.open_zarr_image(path, axes, chosen)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and tiff.is_tiff(p))
        if not files:
            raise FormatError(f"{path.name} is a folder with neither Zarr nor TIFF in it")
        return array.StackedImage(path.name, [tiff.TiffImage(p, axes, chosen) for p in files])
    if not tiff.is_tiff(path):
        raise FormatError(f"{path.name} is neither TIFF nor Zarr")
    return tiff.TiffImage(path, axes, chosen)
