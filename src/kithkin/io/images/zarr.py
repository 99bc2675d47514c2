"""Images in Zarr: OME-Zarr (NGFF 0.4 and 0.5), its label images, and plain arrays; as folders or zip files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

from kithkin.core.arrays import use_pipeline
from kithkin.core.errors import FormatError
from kithkin.io.images.array import ArrayImage
from kithkin.io.images.image import POSITION, About, Image, guess_axes, letters_of, understand_axes
from kithkin.io.streams.sequential import reason_of

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}


def is_zarr(path: Path) -> bool:
    """Tell whether a path is a Zarr array or group, as a folder or a zip file."""
    if path.is_dir():
        return any((path / mark).is_file() for mark in MARKS)
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(mark in archive.namelist() for mark in MARKS)
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def open_zarr_image(path: Path, axes: str | None, chosen: Mapping[str, int]) -> Image:
    """Open the highest resolution of an OME-Zarr image, or a plain array.

    Raises FormatError if there is no image, or it is damaged.
    """
    scales: dict[str, Any] | None = None
    names: list[str] = []
    try:
        store: Any = zarr.storage.ZipStore(path, mode="r") if path.is_file() else str(path)
        array: Any = zarr.open(store, mode="r")
        if not isinstance(array, zarr.Array):
            array, scales, names, chosen = _multiscale(path.name, array, dict(chosen))
        use_pipeline(array)
        named = [str(axis["name"]) for axis in _axes(scales)] if scales is not None else []
        named = named or [str(d) for d in getattr(array.metadata, "dimension_names", None) or [] if d]
        letters = axes or (letters_of(named) if len(named) == array.ndim else guess_axes(array.shape))
        about = About(names, None if scales is None else _pixel_size(scales))
    except FormatError:
        raise
    except Exception as error:  # headers can be wrong in many ways, each with an error of its own
        raise FormatError(f"{path.name} is Zarr that cannot be read: {reason_of(error)}") from error
    return ArrayImage(path.name, array, understand_axes(path.name, letters, array.shape, chosen), about)


def _multiscale(
    name: str, group: zarr.Group, chosen: dict[str, int]
) -> tuple[zarr.Array[Any], dict[str, Any], list[str], dict[str, int]]:
    """Find the highest resolution of an image, its axes and scales, names of channels, and the choices left."""
    attributes: Any = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    if "multiscales" not in attributes and isinstance(group.get("0"), zarr.Group):
        # as bioformats2raw lays several images out
        images = [number for number in map(str, range(len(group))) if isinstance(group.get(number), zarr.Group)]
        position = chosen.pop(POSITION, 0 if len(images) == 1 else None)
        if position is None or not 0 <= position < len(images):
            raise FormatError(f"{name} has {len(images)} images: choose one with position=1..{len(images)}")
        inner: Any = group[str(position)]
        return _multiscale(name, inner, chosen)
    if "multiscales" not in attributes:
        raise FormatError(f"{name} is a Zarr group without an image: it has no multiscales, as OME-Zarr has")
    scales = attributes["multiscales"][0]
    array = group[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise FormatError(f"{name}: the highest resolution of its multiscales is not an array")
    channels = attributes.get("omero", {}).get("channels", [])
    names = [str(c["label"]) for c in channels if c.get("label")]
    return array, scales, names if len(names) == len(channels) else [], chosen


def _axes(scales: dict[str, Any]) -> list[dict[str, Any]]:
    """Axes of an image; they were plain names in early versions of the format."""
    return [axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", [])]


def _pixel_size(scales: dict[str, Any]) -> tuple[float, float] | None:
    """Height and width of a pixel in micrometres, if the image says them."""
    axes = _axes(scales)
    moves = [*scales["datasets"][0].get("coordinateTransformations", []), *scales.get("coordinateTransformations", [])]
    factors = [move["scale"] for move in moves if move.get("type") == "scale" and len(move["scale"]) == len(axes)]
    size = {}
    for k, axis in enumerate(axes):
        unit = MICROMETRES.get(str(axis.get("unit", "")))
        if unit is not None and factors:
            size[str(axis["name"]).upper()] = unit
            for factor in factors:
                size[str(axis["name"]).upper()] *= float(factor[k])
    return (size["Y"], size["X"]) if min(size.get("Y", 0), size.get("X", 0)) > 0 else None
