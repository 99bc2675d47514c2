"""Names of channels and sizes of pixels, from what a TIFF file or a table beside it says."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from kithkin.io.images.image import About
from kithkin.optional import need

log = logging.getLogger("kithkin")
PAGE_NAME, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 285, 282, 283, 296
MICROMETRES = {"pm": 1e-6, "nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "\\u00B5m": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
MICROMETRES |= {"micron": 1.0, "microns": 1.0, "micrometer": 1.0, "inch": 25400.0}
PER_UNIT = {2: 25400.0, 3: 1e4}  # micrometres in the unit of a resolution: inch, centimetre
PANELS = {"panel.csv": ("name", "keep"), "markers.csv": ("marker_name", "remove")}  # steinbock; mcmicro


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what the parser of TIFF logs, which it does where it reads on without what it did not find."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    parser = logging.getLogger("tifffile")
    parser.addFilter(keep)
    try:
        yield said
    finally:
        parser.removeFilter(keep)


def describe_tiff(file: Any, level: Any, number: int = 0) -> About:
    """Read names and sizes of an image in an open TiffFile: OME-XML, ImageJ, QPTIFF, SVS, or the names of the pages.

    Examples
    --------
    >>> import tempfile, numpy as np, tifffile
    >>> path = tempfile.mkdtemp() + "/a.ome.tif"
    >>> said = {"axes": "CYX", "Channel": {"Name": ["DNA", "007"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    >>> tifffile.imwrite(path, np.zeros((2, 40, 50), "uint8"), photometric="minisblack", metadata=said)
    >>> with tifffile.TiffFile(path) as file:
    ...     describe_tiff(file, file.series[0].levels[0]).channel_names
    ['DNA', '007']
    """
    if file.is_ome:
        return _describe_ome(file.ome_metadata, number)
    if file.is_imagej:
        said = file.imagej_metadata or {}
        labels = said.get("Labels", [])
        names = [str(label) for label in labels] if isinstance(labels, list) else [str(labels)]
        return About(names, _resolution(file.pages[0].tags, MICROMETRES.get(str(said.get("unit", "")))))
    keyframe = level.keyframe
    if file.is_qpi:
        names = [_name_of_qpi(page.aspage().description) for page in level.pages]
        unit = PER_UNIT.get(int(keyframe.tags.valueof(RESOLUTION_UNIT, 1)))
        return About(names if all(names) else [], _resolution(keyframe.tags, unit))
    if file.is_svs:
        said = need("tifffile", "images", "reading TIFF").tifffile.svs_description_metadata(keyframe.description)
        size = said.get("MPP")
        return About([], (float(size), float(size)) if isinstance(size, (int, float)) and size > 0 else None)
    if PAGE_NAME not in keyframe.tags:
        return About()
    names = [str(page.aspage().tags.valueof(PAGE_NAME, "")).strip() for page in level.pages]
    return About(names if all(names) else [])


def _describe_ome(text: str, number: int) -> About:
    """Read OME-XML as it stands: names that look like numbers are names."""
    root = ElementTree.fromstring(text)  # noqa: S314  expat bounds what entities expand to, and loads nothing
    images = [one for one in root.iter() if one.tag.rpartition("}")[2] == "Image"]
    pixels = [one for one in images[number] if one.tag.rpartition("}")[2] == "Pixels"] if number < len(images) else []
    if not pixels:
        return About()
    names = [one.get("Name") for one in pixels[0] if one.tag.rpartition("}")[2] == "Channel"]
    sizes = []
    for axis in ("PhysicalSizeY", "PhysicalSizeX"):
        unit = MICROMETRES.get(pixels[0].get(f"{axis}Unit", "µm"))
        try:
            value = float(pixels[0].get(axis) or 0)
        except ValueError:
            value = 0.0
        sizes.append(value * unit if unit is not None and 0 < value < float("inf") else 0.0)
    return About([n for n in names if n] if all(names) else [], (sizes[0], sizes[1]) if all(sizes) else None)


def _name_of_qpi(text: str) -> str:
    """Name of the stain of a plane: its biomarker, or what it was called on the microscope."""
    try:
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))  # noqa: S314  as above
    except ElementTree.ParseError:
        return ""
    return (root.findtext("Biomarker") or root.findtext("Name") or "").strip()


def _resolution(tags: Any, unit: float | None) -> tuple[float, float] | None:
    """Height and width of a pixel, from pixels per unit of so many micrometres."""
    if unit is None or X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return None
    (y_pixels, y_units), (x_pixels, x_units) = tags[Y_RESOLUTION].value, tags[X_RESOLUTION].value
    if not (y_pixels and x_pixels and y_units and x_units):
        return None
    return unit * y_units / y_pixels, unit * x_units / x_pixels


def names_beside(path: Path, n_channels: int) -> list[str]:
    r"""Find names of channels in `panel.csv` or `markers.csv` beside an image or one folder up; none if numbers differ.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "panel.csv").write_text("channel,name,keep\nIr191,DNA,1\nXe134,,0\nLu175,CD3,1\n")
    >>> names_beside(folder / "a.tif", 2)
    ['DNA', 'CD3']
    """
    for folder in (path.parent, path.parent.parent):
        for file, (column, choice) in PANELS.items():
            try:
                table = pd.read_csv(folder / file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            except (OSError, ValueError):
                continue
            if column not in table.columns:
                continue
            if choice in table.columns:
                yes = table[choice].str.strip().str.lower().isin(["1", "1.0", "true", "yes"])
                table = table[~yes if choice == "remove" else yes]
            names = table[column].str.strip().tolist()
            if len(names) == n_channels and all(names):
                log.warning("%s: names of channels are taken from %s", path.name, file)
                return names
            log.warning("%s has %d channels, but %s names %d", path.name, n_channels, file, len(names))
    return []
