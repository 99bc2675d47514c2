"""Cells of images as a dataset, with their intensities and shapes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError, check
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.history import Step, digest, entry_of
from kithkin.io.cutting.cell_writer import MASKS, THUMBNAILS, CellWriter, whole_window
from kithkin.io.cutting.cells import counted, listed
from kithkin.io.cutting.cutter import Look, Sheet
from kithkin.io.cutting.gauge import Gauge
from kithkin.io.cutting.inputs import Reading, Sample, identity_of, open_sample, parts_of
from kithkin.io.cutting.job import (
    channel_names,
    check_pixel_size,
    identity_of_job,
    is_square,
    make_sheets,
    note_pixels,
    note_strangers,
    window_of,
)
from kithkin.io.cutting.output import check_apart, execution_of
from kithkin.io.streams.annotation import unique_names
from kithkin.models.images.features import SHAPES, measure_shapes

log = logging.getLogger("kithkin")
REVISION = 2
LARGE = 6  # times the side of a typical cell, from which on most of every thumbnail is not its cell
WRITTEN = ("X", f"obsm/{THUMBNAILS}", f"obsm/{MASKS}", "obsm/spatial", "obs/cell_id", "obs/region")
ABOUT = ("uns/spatial", "uns/thumbnails", "uns/spatialdata_attrs")


def read_image(
    image: Any,
    mask: Any = None,
    cells: Any = None,
    *,
    to: str | Path,
    window_size: int | str | None = None,
    channels: Sequence[int | str] | None = None,
    mask_cells: bool = False,
    overwrite: bool = False,
    id_column: str | None = None,
    x_column: str | None = None,
    y_column: str | None = None,
    image_column: str | None = None,
    skip_absent: bool = False,
    mask_plane: int | None = None,
    axes: str | None = None,
    z: int | None = None,
    t: int | None = None,
    position: int | None = None,
    pixel_size: float | None = None,
    memory: str | int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Dataset:
    """Import a multiplexed image and the mask of its cells as a dataset with one row for each cell.

    The image is decoded once, tile by tile. X is the mean intensity of each cell and channel. A run that was killed is
    taken up by the same call, if its inputs are files.

    Parameters
    ----------
    image
        TIFF or OME-TIFF (highest resolution), a folder of TIFF files with one channel each, OME-Zarr, PNG or `.npy`.
        In Python also a list of files, an array with channels first, or for several images in one dataset a mapping of
        names to (image, mask, cells); mask and cells are then left out, and channels are matched by their names.
    mask
        Label image of whole numbers: TIFF, Zarr, PNG or `.npy`. In Python also an array.
    cells
        Table with ids and centroids, which also gives the order: CSV, TSV, Parquet or h5ad. By default all cells of the
        mask, in the order of their labels. From a table of several images, the cells of this one. In Python also a
        DataFrame or AnnData.
    to
        Path of the new dataset, such as "tissue.zarr".
    window_size
        Side of the thumbnails in pixels, or in micrometres such as "30um". By default the smallest in which every cell
        is whole.
    channels
        Numbers from 1, or names, in the wanted order; all channels by default.
    mask_cells
        Set pixels of other cells and of the background to 0 in the thumbnails.
    overwrite
        Replace an existing dataset, once the import is whole.
    id_column
        Column of the table with the ids of the cells, where it does not have one of the usual names.
    x_column
        Column of the table with x, where it does not have one of the usual names.
    y_column
        Column of the table with y, where it does not have one of the usual names.
    image_column
        Column of the table with the name of the image of each cell, where it does not have one of the usual names.
    skip_absent
        Leave out the cells of the table that are not in the mask, instead of refusing the table.
    mask_plane
        Plane of the mask, from 1, where it has several; the first by default.
    axes
        One letter for each axis of the image, such as "CYX", where the file does not say or says it wrong.
    z
        Plane to read, from 1, where the image has several.
    t
        Time point to read, from 1, where the image has several.
    position
        Stage position, tile of a mosaic, or image of a file to read, from 1, where there are several.
    pixel_size
        Side of a pixel in micrometres, where the image does not say.
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    executor
        Any concurrent.futures.Executor for the work on blocks of the verbs that follow.
    progress
        Progress bars; by default they are shown on a terminal only.

    Returns
    -------
    Dataset
        X (n x channels, float32). obs: cell_id (label in the mask), region (name of the image), and the shape in
        pixels: area, eccentricity, perimeter, solidity, orientation and others as regionprops names them.
        obsm/spatial: centroids x, y in pixels. obsm/thumbnails: n x channels x side x side in the image's type.
        obsm/masks: n x side x side, bool. uns/spatial: a small picture (the first channels in blue, green and red) and
        its scale for each image, where squidpy looks for them. uns/spatialdata_attrs: which columns tell image and id.

    Raises
    ------
    FormatError
        If an input cannot be read, or inputs do not belong together.
    ParameterError
        If a value is not possible.
    KithkinError
        If `to` exists, or the disk is full.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> labels = np.zeros((40, 50), np.uint16)
    >>> labels[10:16, 20:28] = 3
    >>> ds = read_image(np.ones((2, 40, 50), np.uint8), labels, to=tempfile.mkdtemp() + "/tissue.zarr")
    >>> ds.shape, ds.read("obsm/spatial").tolist(), ds.read("obs/area").tolist()
    ((1, 2), [[23.5, 12.5]], [48.0])
    """
    execution, budget = Execution.of(memory, threads, executor, progress), execution_of(memory, threads, progress)
    given = parts_of(image, mask, cells)
    check_pixel_size(pixel_size)
    check(all(parts[1] is not None for parts in given.values()), "a mask must be given: it says where the cells are")
    target = Path(to).expanduser().absolute()
    check(target.parent.is_dir(), f"the folder {target.parent} does not exist")
    check_apart(target, [part for parts in given.values() for part in parts])
    if target.exists() and not overwrite:
        raise KithkinError(f"{to} exists already. Choose another name, or use overwrite=True to replace it.")
    settings = {
        "window_size": window_size,
        "channels": channels,
        "mask_cells": mask_cells,
        "axes": axes,
        "z": z,
        "t": t,
    }
    others = {"position": position, "mask_plane": mask_plane, "skip_absent": skip_absent or None}
    settings |= {name: value for name, value in others.items() if value is not None}
    regions = [
        name or (Path(parts[0]).name.partition(".")[0] if isinstance(parts[0], (str, Path)) else "image")
        for name, parts in given.items()
    ]
    source = digest([[name, *map(_identity, parts)] for name, parts in given.items()])
    reading = Reading(
        columns=(id_column, x_column, y_column),
        image_column=image_column,
        skip_absent=skip_absent,
        axes=axes,
        z=z,
        t=t,
        position=position,
        mask_plane=mask_plane,
        scratch=target.parent,
    )
    with ExitStack() as stack:
        samples = [open_sample(name, parts, reading, budget, stack) for name, parts in given.items()]
        note_strangers(samples)
        sheets = make_sheets(samples, channels, masks=True)
        check(len(set(sheets[0].channels)) == len(sheets[0].channels), "channels must name each channel once")
        size = whole_window(samples) if window_size is None else window_of(window_size, samples, pixel_size)
        note_pixels([sample.image for sample in samples], pixel_size)
        sheets = [sheet.about(sample.cells, size) for sheet, sample in zip(sheets, samples, strict=True)]
        _note_windows(samples, sheets, size, given=window_size is not None)
        tissue = _Tissue(samples, regions, sheets, Look(size, 0, mask_cells), pixel_size)
        others_ = [*reading.identity, budget.memory, budget.threads]
        identity = identity_of_job(list(given.values()), sheets, tissue.look, others_)
        step = Step("read_image", REVISION, settings, ("file:source",), (*WRITTEN, *tissue.shape_keys, *ABOUT))
        tissue.write(target, step, source, identity, budget, overwrite=overwrite)
    return open_dataset(to, memory=memory, threads=threads, executor=execution.executor, progress=progress)


def _identity(part: Any) -> str:
    """Tell an input by its files, or an array by its shape and type."""
    known = identity_of(part)
    return f"{getattr(part, 'shape', '')} {getattr(part, 'dtype', '')}" if known is None else known


def _note_windows(samples: Sequence[Sample], sheets: Sequence[Sheet], size: int, *, given: bool) -> None:
    """Warn if one large cell makes all thumbnails large, or if a given window cuts cells."""
    boxes = [np.zeros((0, 5), np.int64) if sample.boxes is None else sample.boxes for sample in samples]
    sides = np.sqrt(np.concatenate(boxes)[:, 4])
    usual = float(np.median(sides)) if len(sides) else 1.0
    if not given and size > LARGE * usual:
        log.warning(
            "thumbnails are %d pixels wide, so that the largest cell is whole, but a typical cell is about %d wide: "
            "give window_size for smaller ones",
            size,
            round(usual),
        )
    for sample, sheet, box in zip(samples, sheets, boxes, strict=True) if given else []:
        out = (
            (box[:, 0] < sheet.y) | (box[:, 1] > sheet.y + size) | (box[:, 2] < sheet.x) | (box[:, 3] > sheet.x + size)
        )
        if out.any():
            log.warning(
                "%s: windows of %d pixels do not hold %s whole, of which features then measure a part",
                sample.image.name,
                size,
                counted(sample.cells.ids[out], "cell"),
            )


class _Tissue:
    """Images with their cells, about to be written."""

    def __init__(
        self,
        samples: Sequence[Sample],
        regions: Sequence[str],
        sheets: Sequence[Sheet],
        look: Look,
        pixel_size: float | None,
    ) -> None:
        self._samples, self._sheets, self.look, self._pixel_size = samples, sheets, look, pixel_size
        self.shape_keys = tuple(f"obs/{name}" for name in SHAPES)
        names = channel_names(samples[0].image.about.channel_names, sheets[0].channels)
        self._channels = unique_names(pd.Index(names, dtype=object))
        self._regions = list(regions)

    def write(
        self, target: Path, step: Step, source: str, identity: str | None, execution: Execution, *, overwrite: bool
    ) -> None:
        """Decode, measure, cut and store everything."""
        began = time.perf_counter()
        n_cells = sum(len(sample.cells.ids) for sample in self._samples)
        with CellWriter(target, len(self._channels), overwrite=overwrite, n_rows=n_cells) as writer:
            gauges = writer.cut(self._samples, self._sheets, self.look, execution, identity)
            for gauge, sample in zip(gauges, self._samples, strict=True):
                means = gauge.means().astype(np.float32)
                lost = sample.cells.ids[~np.isfinite(means).all(axis=1)]
                if len(lost):
                    log.warning(
                        "%s: %s with pixels that are not finite numbers: %s",
                        sample.image.name,
                        counted(lost, "cell"),
                        listed(lost),
                    )
                writer.append(means)
            centres = [np.column_stack([sample.cells.x, sample.cells.y]) for sample in self._samples]
            writer.element("obsm/spatial", np.concatenate(centres))
            shapes = self._shapes(writer, execution)
            writer.element("uns/spatial", self._pictures(gauges, shapes[:, SHAPES.index("area")]))
            channels = np.array(self._channels, dtype=object)
            said = {"window_size": self.look.size, "mask_cells": self.look.mask_cells, "channels": channels}
            writer.element("uns/thumbnails", said | self._sizes(self._samples[0].image))
            regions = self._regions[0] if len(self._regions) == 1 else np.array(self._regions, dtype=object)
            about = {"region": regions, "region_key": "region", "instance_key": "cell_id"}
            writer.element("uns/spatialdata_attrs", about)
            numbers = np.array(self._sheets[0].channels) + 1
            entry = entry_of(step, {"file:source": source}, time.perf_counter() - began)
            writer.move()
            ids = np.concatenate([sample.cells.ids for sample in self._samples])
            codes = np.repeat(np.arange(len(self._samples)), [len(sample.cells.ids) for sample in self._samples])
            alone = len(self._samples) == 1
            names = [str(k) if alone else f"{self._regions[code]}_{k}" for k, code in zip(ids, codes, strict=True)]
            obs = pd.DataFrame({"cell_id": ids}, index=pd.Index(names, dtype=object))
            obs["region"] = pd.Categorical.from_codes(codes, pd.Index(self._regions))
            obs[list(SHAPES)] = shapes
            writer.finish(obs, pd.DataFrame({"channel": numbers}, index=self._channels), [entry])

    def _shapes(self, writer: CellWriter, execution: Execution) -> Array:
        """Shape of each cell, from its mask in the thumbnail if it is whole there, else from the mask of the image."""
        out = np.concatenate(list(map_blocks(measure_shapes, writer.masks(execution), execution, "shapes")))
        first, area = 0, SHAPES.index("area")
        for sample in self._samples:
            if sample.boxes is None or sample.mask is None:
                continue
            for k in np.flatnonzero(out[first : first + len(sample.boxes), area] < sample.boxes[:, 4]):
                top, bottom, left, right, _ = sample.boxes[k].tolist()
                whole = sample.mask.read([0], (top, bottom), (left, right)) == sample.cells.ids[k]
                out[first + k] = measure_shapes(whole)[0]
            first += len(sample.boxes)
        return out

    def _pictures(self, gauges: Sequence[Gauge], areas: Array) -> dict[str, Any]:
        """Make uns/spatial as squidpy and scanpy read it."""
        diameter = 2 * float(np.sqrt(np.median(areas) / np.pi))
        found = {}
        for name, gauge in zip(self._regions, gauges, strict=True):
            scales = {"tissue_hires_scalef": 1 / gauge.step, "spot_diameter_fullres": diameter}
            about = {"height": gauge.shape[1], "width": gauge.shape[2]} | self._sizes(gauge)
            found[name] = {"images": {"hires": gauge.preview()}, "scalefactors": scales, "metadata": about}
        return found

    def _sizes(self, image: Any) -> dict[str, float]:
        """Side of a pixel in micrometres if it is known, or height and width if they differ."""
        height, width = (self._pixel_size, self._pixel_size) if self._pixel_size else image.about.pixel_size or (0, 0)
        if not width:
            return {}
        if is_square((height, width)):
            return {"pixel_size": float(width)}
        return {"pixel_height": float(height), "pixel_width": float(width)}
