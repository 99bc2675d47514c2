"""Thumbnails of cells, and of tiles, cut out of images into a Zarr array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.errors import check, check_choice
from kithkin.io.cutting.cutter import Look, Sheet
from kithkin.io.cutting.inputs import Reading, choose_channels, open_sample, parts_of
from kithkin.io.cutting.job import (
    check_pixel_size,
    fill_of,
    identity_of_job,
    make_sheets,
    note_pixels,
    note_strangers,
    pixels_of,
    scaling_of,
    table_of,
    window_of,
)
from kithkin.io.cutting.output import Job, Output, check_apart, execution_of, write_thumbnails
from kithkin.io.images.open import open_image
from kithkin.io.thumbnails.layout import mask_path
from kithkin.io.thumbnails.reader import Thumbnails, open_thumbnails


def cut(
    image: Any,
    mask: Any = None,
    cells: Any = None,
    *,
    to: str | Path,
    window_size: int | str | None = None,
    mask_cells: bool = False,
    masks: bool | None = None,
    channels: Sequence[int | str] | None = None,
    fill: float = 0,
    normalize: Literal["cell", "image"] | None = None,
    chunk_size: float | None = None,
    cells_per_chunk: int | None = None,
    zarr_format: Literal[2, 3] = 3,
    zipped: bool = False,
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
    progress: bool | None = None,
) -> Thumbnails:
    """Cut a thumbnail of every cell out of an image, into a Zarr array [channels, cells, window, window].

    The window of a cell begins at trunc(centroid) - window_size // 2. Cells come in the order of their table. The image
    is decoded tile by tile, each tile once, whatever that order. A run that was killed is taken up by the same call.

    Parameters
    ----------
    image
        TIFF or OME-TIFF (highest resolution), a list or folder of TIFF files with one channel each, OME-Zarr, PNG,
        `.npy`, or an array with channels first. For several images into one destination: (image, mask, cells) by name;
        mask and cells are then left out, and channels are matched by their names.
    mask
        Label image of whole numbers: TIFF, Zarr, PNG, `.npy` or an array. By default there is none.
    cells
        Table with ids and centroids: CSV, TSV, Parquet, h5ad, or in memory. By default all cells of the mask. From a
        table of several images, the cells of this one.
    to
        Path of the new array. Beside its chunks lies `cells.csv` with ids, centroids, windows and bounding boxes.
    window_size
        Side in pixels, or in micrometres such as "30um"; by default the largest side of a bounding box.
    mask_cells
        Set pixels of other cells and of the background to 0.
    masks
        Write the masks to <stem>_mask.zarr, bool [cells, window, window]; by default if `mask_cells` is set.
    channels
        Numbers from 1, or names, in the wanted order; all channels by default.
    fill
        Value of pixels outside the image; always 0 with `mask_cells` or `normalize`.
    normalize
        "cell": scale each channel of each thumbnail to 0..1 between its quantiles 0.001 and 0.999; "image": between
        those of the whole channel, for which the image is decoded once more. The array is then float32.
    chunk_size
        Uncompressed MiB of a file, 32 by default: a shard of small chunks, or a chunk of format 2.
    cells_per_chunk
        Cells in a file, instead of `chunk_size`.
    zarr_format
        Format of Zarr: 3, or 2 for the plain old layout.
    zipped
        Write a single zip file, which `open_thumbnails` reads. Zarr takes it as zarr.storage.ZipStore(path, mode="r").
    overwrite
        Replace what is at the destination, after success.
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
        Budget for pixels, such as "512MB", or bytes; 512 MiB by default.
    threads
        Threads to use; one for each processor by default.
    progress
        Draw a progress bar; by default only on a terminal.

    Returns
    -------
    Thumbnails
        The opened array.

    Raises
    ------
    FormatError
        If an input cannot be read, or inputs do not belong together.
    ParameterError
        If a value is not possible.
    KithkinError
        If the destination exists, is being written, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> labels = np.zeros((40, 50), np.uint16)
    >>> labels[10:16, 20:28] = 3
    >>> cells = cut(np.ones((2, 40, 50), np.uint8), labels, to=tempfile.mkdtemp() + "/cells.zarr", mask_cells=True)
    >>> cells.shape, int(cells[0].sum())
    ((2, 1, 8, 8), 84)
    """
    execution = execution_of(memory, threads, progress)
    given = parts_of(image, mask, cells)
    check_pixel_size(pixel_size)
    masked = [parts[1] is not None for parts in given.values()]
    check(all(masked) or not (mask_cells or masks), "mask_cells needs a mask")
    check(all(masked) or window_size is not None, "window_size must be given where there is no mask")
    check(len(set(masked)) == 1, "either all images have a mask, or none")
    check_choice("normalize", normalize, (None, "cell", "image"))
    output = Output(
        to, chunk_size, cells_per_chunk, zarr_format, zipped, overwrite, mask_cells if masks is None else masks
    )
    target = output.target()
    check_apart(target, [part for parts in given.values() for part in parts])
    reading = Reading(
        columns=(id_column, x_column, y_column),
        image_column=image_column,
        skip_absent=skip_absent,
        axes=axes,
        z=z,
        t=t,
        position=position,
        mask_plane=mask_plane,
        scratch=target.parent if output.masks or mask_cells else None,
    )
    with ExitStack() as stack:
        samples = [open_sample(name, parts, reading, execution, stack) for name, parts in given.items()]
        note_strangers(samples)
        sheets = make_sheets(samples, channels, masks=mask_cells or output.masks)
        size = window_of(window_size, samples, pixel_size)
        note_pixels([sample.image for sample in samples], pixel_size)
        sheets = [sheet.about(sample.cells, size) for sheet, sample in zip(sheets, samples, strict=True)]
        table = table_of(samples, sheets, size, several=isinstance(image, Mapping))
        look = Look(size, fill_of(fill, sheets[0].image), mask_cells, scaling_of(normalize, sheets, execution))
        mask_name = mask_path(target).name if output.masks else None
        attributes = {"mask": mask_name, "mask_cells": mask_cells, "normalize": normalize}
        identity = identity_of_job(list(given.values()), sheets, look, [normalize, *reading.identity])
        write_thumbnails(target, output, Job(sheets, look, table, attributes, identity, pixel_size), execution)
    return open_thumbnails(target)


def cut_tiles(
    image: Any,
    window_size: int | str,
    *,
    to: str | Path,
    step_size: int | None = None,
    save_metadata: str | Path | None = None,
    channels: Sequence[int | str] | None = None,
    fill: float = 0,
    chunk_size: float | None = None,
    tiles_per_chunk: int | None = None,
    zarr_format: Literal[2, 3] = 3,
    zipped: bool = False,
    overwrite: bool = False,
    axes: str | None = None,
    z: int | None = None,
    t: int | None = None,
    position: int | None = None,
    pixel_size: float | None = None,
    memory: str | int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> Thumbnails:
    """Cut an image into a regular grid of tiles, into a Zarr array [channels, tiles, window, window].

    Parameters
    ----------
    image
        TIFF or OME-TIFF (highest resolution), a list or folder of TIFF files with one channel each, OME-Zarr, PNG,
        `.npy`, or an array with channels first.
    window_size
        Side of a tile in pixels, or in micrometres such as "100um".
    to
        Path of the new array. Beside its chunks lies `cells.csv` with the corners of each tile.
    step_size
        Pixels from one tile to the next; by default the side of a tile.
    save_metadata
        Path of a CSV file to which the table of the tiles is written too.
    channels
        Numbers from 1, or names, in the wanted order; all channels by default.
    fill
        Value of pixels outside the image.
    chunk_size
        Uncompressed MiB of a file, 32 by default: a shard of small chunks, or a chunk of format 2.
    tiles_per_chunk
        Tiles in a file, instead of `chunk_size`.
    zarr_format
        Format of Zarr: 3, or 2 for the plain old layout.
    zipped
        Write a single zip file, which `open_thumbnails` reads. Zarr takes it as zarr.storage.ZipStore(path, mode="r").
    overwrite
        Replace what is at the destination, after success.
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
        Budget for pixels, such as "512MB", or bytes; 512 MiB by default.
    threads
        Threads to use; one for each processor by default.
    progress
        Draw a progress bar; by default only on a terminal.

    Returns
    -------
    Thumbnails
        The opened array; its table has TileID (from 0, row by row), X_start, X_stop, Y_start, Y_stop and OutOfBounds.

    Raises
    ------
    FormatError
        If the image cannot be read.
    ParameterError
        If a value is not possible.
    KithkinError
        If the destination exists, is being written, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> tiles = cut_tiles(np.ones((2, 40, 50), np.uint8), 20, to=tempfile.mkdtemp() + "/tiles.zarr")
    >>> tiles.shape, tiles.cells["OutOfBounds"].sum()
    ((2, 6, 20, 20), np.int64(2))
    """
    execution = execution_of(memory, threads, progress)
    output = Output(to, chunk_size, tiles_per_chunk, zarr_format, zipped, overwrite)
    target = output.target()
    check_apart(target, [image])
    check_pixel_size(pixel_size)
    check(step_size is None or step_size >= 1, f"step_size must be at least 1, got {step_size}")
    with ExitStack() as stack:
        opened = open_image(image, axes=axes, z=z, t=t, position=position)
        stack.callback(opened.close)
        size = pixels_of(window_size, opened, pixel_size)
        note_pixels([opened], pixel_size)
        _, height, width = opened.shape
        y, x = (a.ravel() for a in np.mgrid[0 : height : step_size or size, 0 : width : step_size or size])
        sheet = Sheet(opened, None, choose_channels(channels, opened), np.arange(len(y)), y, x)
        table = pd.DataFrame({"TileID": sheet.ids, "X_start": x, "X_stop": x + size, "Y_start": y, "Y_stop": y + size})
        table["OutOfBounds"] = (table["X_stop"] > width) | (table["Y_stop"] > height)
        look = Look(size, fill_of(fill, opened))
        identity = identity_of_job([(image,)], [sheet], look, Reading(axes=axes, z=z, t=t, position=position).identity)
        write_thumbnails(target, output, Job([sheet], look, table, {}, identity, pixel_size), execution)
    if save_metadata is not None:
        table.to_csv(save_metadata, index=False)
    return open_thumbnails(target)
