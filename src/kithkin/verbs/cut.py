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
    note_strangers,
    pixels_of,
    scaling_of,
    table_of,
    window_of,
)
from kithkin.io.cutting.output import Output, check_apart, execution_of, write_thumbnails
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
    axes: str | None = None,
    z: int | None = None,
    t: int | None = None,
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
        TIFF or OME-TIFF (first series, highest resolution), a list or folder of TIFF files with one channel each,
        OME-Zarr, or an array with channels first. For several images into one destination: a mapping from a name to
        (image, mask, cells) each; mask and cells are then left out.
    mask
        Label image of any integer type: TIFF, Zarr or an array; the first plane counts. None: there is none.
    cells
        CSV, TSV, Parquet, h5ad, AnnData or DataFrame with ids and centroids. None: all cells of the mask.
    to
        The new array. Beside its chunks lies `cells.csv` with ids, centroids, windows and bounding boxes.
    window_size
        Side in pixels, or in micrometres such as "30um"; None: the largest side of a bounding box.
    mask_cells
        Whether pixels of other cells and of the background become 0.
    masks
        Whether the masks are written to <stem>_mask.zarr, bool [cells, window, window]; None: as mask_cells says.
    channels
        Numbers from 1, or names, in the wanted order; None: all.
    fill
        Value of pixels outside the image; always 0 with mask_cells or normalize.
    normalize
        "cell": scale each channel of each thumbnail to 0..1 between its quantiles 0.001 and 0.999; "image": between
        those of the whole channel, for which the image is decoded once more. The array is then float32.
    chunk_size
        Uncompressed MiB of a file, 32 if nothing is said: a shard of small chunks, or a chunk of format 2.
    cells_per_chunk
        Cells in a file, instead.
    zarr_format
        3, or 2 for the plain old layout.
    zipped
        Write a single zip file.
    overwrite
        Replace what is at the destination, after success.
    id_column, x_column, y_column
        Columns of the table, where they do not have one of the usual names.
    axes
        One letter for each axis of the image, such as "CYX", where the file does not say or says it wrong.
    z, t
        Plane and time, from 1, where the image has several.
    pixel_size
        Micrometres, where the image does not say.
    memory
        Budget for pixels, such as "512MB", or bytes; None: 512 MiB.
    threads
        Threads to use; one per processor if not given.
    progress
        Whether to draw a progress bar; None: only on a terminal.

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
        (id_column, x_column, y_column), axes, z, t, target.parent if output.masks or mask_cells else None
    )
    with ExitStack() as stack:
        samples = [open_sample(name, parts, reading, execution, stack) for name, parts in given.items()]
        note_strangers(samples)
        sheets = make_sheets(samples, channels, masks=mask_cells or output.masks)
        size = window_of(window_size, samples, pixel_size)
        sheets = [sheet.about(sample.cells, size) for sheet, sample in zip(sheets, samples, strict=True)]
        table = table_of(samples, sheets, size, several=isinstance(image, Mapping))
        look = Look(size, fill_of(fill, sheets[0].image), mask_cells, scaling_of(normalize, sheets, execution))
        said = {"mask": mask_path(target).name if output.masks else None, "mask_cells": mask_cells}
        identity = identity_of_job(list(given.values()), sheets, look, [normalize, axes, z, t])
        write_thumbnails(
            target,
            output,
            (sheets, look, table),
            said=said | {"normalize": normalize},
            identity=identity,
            execution=execution,
            pixel_size=pixel_size,
        )
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
    pixel_size: float | None = None,
    memory: str | int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> Thumbnails:
    """Cut an image into a regular grid of tiles, into a Zarr array [channels, tiles, window, window].

    Parameters
    ----------
    image
        As `cut` takes it.
    window_size
        Side of a tile in pixels, or in micrometres such as "100um".
    to
        The new array. Beside its chunks lies `cells.csv` with the place of each tile.
    step_size
        Pixels from one tile to the next; None: the side of a tile.
    save_metadata
        Write the table of the tiles to this CSV file too.
    channels, fill, chunk_size, zarr_format, zipped, overwrite, axes, z, t, pixel_size, memory, threads, progress
        As in `cut`.
    tiles_per_chunk
        Tiles in a file, instead of chunk_size.

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
        opened = open_image(image, axes=axes, z=z, t=t)
        stack.callback(opened.close)
        size = pixels_of(window_size, opened, pixel_size)
        _, height, width = opened.shape
        y, x = (a.ravel() for a in np.mgrid[0 : height : step_size or size, 0 : width : step_size or size])
        sheet = Sheet(opened, None, choose_channels(channels, opened), np.arange(len(y)), y, x)
        table = pd.DataFrame({"TileID": sheet.ids, "X_start": x, "X_stop": x + size, "Y_start": y, "Y_stop": y + size})
        table["OutOfBounds"] = (table["X_stop"] > width) | (table["Y_stop"] > height)
        look = Look(size, fill_of(fill, opened))
        identity = identity_of_job([(image,)], [sheet], look, [axes, z, t])
        write_thumbnails(
            target,
            output,
            ([sheet], look, table),
            said={},
            identity=identity,
            execution=execution,
            pixel_size=pixel_size,
        )
    if save_metadata is not None:
        table.to_csv(save_metadata, index=False)
    return open_thumbnails(target)
