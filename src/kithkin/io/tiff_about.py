"""What a TIFF says of its image beside the pixels: names of channels and the size of a pixel."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kithkin.io.image import About
from kithkin.optional import need

MICROMETRES = {
    **{"pm": 1e-6, "nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "micrometer": 1.0, "microns": 1.0},
    **{"mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0, "\\u00B5m": 1.0},
}
X_RESOLUTION, Y_RESOLUTION = 282, 283


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
