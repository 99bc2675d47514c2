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
from kithkin.io.images.image import About, Image, guess_axes, understand_axes

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}


def is_zarr(path: Path) -> bool:
    """Whether a path is a Zarr array or group, as a folder or a zip file.

    Examples
    --------
    >>> is_zarr(Path(__file__))
    False
    """
    if path.is_dir():
        return any((path / mark).is_file() for mark in MARKS)
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(mark in archive.namelist() for mark in MARKS)


def open_zarr_image(path: Path, axes: str | None, chosen: Mapping[str, int]) -> Image:
    """Open the highest resolution of an OME-Zarr image, or a plain array.

    Raises
    ------
    FormatError
        If there is no image, or it is damaged.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.zarr"
    >>> _ = zarr.create_array(path, shape=(3, 40, 50), dtype="uint8")
    >>> open_zarr_image(path, None, {}).shape
    (3, 40, 50)
    """
    try:
        node = zarr.open(_store(path), mode="r")
        array, scales, names = (node, None, []) if isinstance(node, zarr.Array) else _multiscale(path.name, node)
        use_pipeline(array)
    except FormatError:
        raise
    except (KeyError, ValueError, FileNotFoundError) as error:
        raise FormatError(f"{path.name} is Zarr that cannot be read: {error}") from error
    letters = axes or _letters(scales, array)
    pixel_size = _pixel_size(scales) if scales is not None else None
    return ArrayImage(
        path.name, array, understand_axes(path.name, letters, array.shape, chosen), About(names, pixel_size)
    )


def _store(path: Path) -> Any:
    return zarr.storage.ZipStore(path, mode="r") if path.is_file() else str(path)


def _multiscale(name: str, group: zarr.Group) -> tuple[zarr.Array[Any], dict[str, Any], list[str]]:
    attributes: Any = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    if "multiscales" not in attributes and "0" in group and isinstance(group["0"], zarr.Group):
        return _multiscale(name, group["0"])  # how bioformats2raw lays several series out
    if "multiscales" not in attributes:
        raise FormatError(f"{name} is a Zarr group without an image: it has no multiscales, as OME-Zarr has")
    scales = attributes["multiscales"][0]
    array = group[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise FormatError(f"{name}: the highest resolution of its multiscales is not an array")
    channels = attributes.get("omero", {}).get("channels", [])
    return array, scales, [str(c["label"]) for c in channels if "label" in c]


def _axes(scales: dict[str, Any]) -> list[dict[str, Any]]:
    return [axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", [])]


def _letters(scales: dict[str, Any] | None, array: zarr.Array[Any]) -> str:
    named = [str(axis["name"]) for axis in _axes(scales)] if scales is not None else []
    named = named or [str(d) for d in getattr(array.metadata, "dimension_names", None) or [] if d]
    return "".join(name[:1] for name in named) if len(named) == array.ndim else guess_axes(array.shape)


def _pixel_size(scales: dict[str, Any]) -> tuple[float, float] | None:
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
    return (size["Y"], size["X"]) if {"Y", "X"} <= set(size) else None
