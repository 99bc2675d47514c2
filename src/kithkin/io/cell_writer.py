"""A new dataset whose rows are cells of images: their thumbnails and masks are cut straight into its obsm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.core.stored import StoredDense
from kithkin.core.writer import DatasetWriter
from kithkin.io.cut_inputs import Sample
from kithkin.io.cutting import Cutter, Look, Sheet
from kithkin.io.gauge import Gauge, Remembered
from kithkin.io.image import Image
from kithkin.io.shards import ChunkWriter, Grid, create_array
from kithkin.io.thumbnail_layout import Layout, plan_layout
from kithkin.io.thumbnails import ThumbnailWriter

THUMBNAILS, MASKS = "thumbnails", "masks"
ENCODING = {"encoding-type": "array", "encoding-version": "0.2.0"}


class RowWriter(ThumbnailWriter):
    """Writes thumbnails as two arrays with the cells first: cells x channels x side x side, and cells x side x side.

    Parameters
    ----------
    obsm
        Folder of the arrays.
    layout
        Of the thumbnails.
    scratch
        Folder for what is put aside while they are cut.

    Examples
    --------
    >>> import tempfile, zarr
    >>> folder = Path(tempfile.mkdtemp())
    >>> writer = RowWriter(folder, Layout(2, 1, 3, np.dtype("uint8"), 1, 1, masks=True), folder)
    >>> writer.write([writer.pack(0, np.ones((2, 1, 3, 3), np.uint8), np.ones((1, 3, 3), bool))])
    >>> writer.close()
    >>> zarr.open_array(folder / "thumbnails").shape
    (1, 2, 3, 3)
    """

    def __init__(self, obsm: Path, layout: Layout, scratch: Path) -> None:
        super().__init__(obsm, layout, {}, None)
        self.folder = scratch
        shape = layout.n_cells, layout.n_channels, layout.size, layout.size
        pixels = Grid(shape, 0, layout.dtype, layout.chunk, layout.shard)
        create_array(obsm / THUMBNAILS, pixels, ["cell", "channel", "y", "x"], ENCODING)
        create_array(obsm / MASKS, layout.mask(), ["cell", "y", "x"], ENCODING)
        grids = {THUMBNAILS: pixels, MASKS: layout.mask()}
        self._writers = [ChunkWriter(obsm / name, grid, scratch / f"{name}.log") for name, grid in grids.items()]

    def pack(self, chunk: int, pixels: Array, masks: Array | None = None) -> tuple[int, list[bytes]]:
        """Compress a chunk: channels x cells x side x side, and cells x side x side of bool."""
        return super().pack(chunk, pixels.transpose(1, 0, 2, 3), masks)

    def close(self) -> None:
        """Write the indexes of all files."""
        for writer in self._writers:
            writer.close()
        self._writers = []

    def abandon(self) -> None:
        """Stop without indexes."""
        for writer in self._writers:
            writer.abandon()
        self._writers = []


class CellWriter(DatasetWriter):
    """A writer of a dataset that cuts thumbnails into its obsm while it measures the image.

    Parameters
    ----------
    target, n_columns, overwrite, n_rows
        As in DatasetWriter.
    """

    def cut(self, samples: Sequence[Sample], sheets: Sequence[Sheet], look: Look, execution: Execution) -> list[Gauge]:
        """Cut all thumbnails, each tile of an image decoded once.

        Parameters
        ----------
        samples, sheets
            Images with their cells, and the windows to cut.
        look
            Of the thumbnails.
        execution
            Memory, threads and progress.

        Returns
        -------
        list of Gauge
            What was measured in each image.
        """
        gauges, watched = [], []
        for sample, sheet in zip(samples, sheets, strict=True):
            mask = Remembered(_mask_of(sample))
            gauges.append(Gauge(sample.image, mask, sample.cells.ids, sheet.channels, _boxes_of(sample)))
            watched.append(replace(sheet, image=gauges[-1], mask=mask))
        n_cells, dtype = sum(len(sample.cells.ids) for sample in samples), samples[0].image.dtype
        shape = len(sheets[0].channels), n_cells, look.size
        chunk, shard = plan_layout(shape, dtype)
        layout = Layout(*shape, dtype, chunk, shard, masks=True)
        rows = RowWriter(self._staging / "obsm", layout, self.scratch)
        try:
            Cutter(watched, look, rows, execution).run()
        except BaseException:
            rows.abandon()
            raise
        rows.close()
        return gauges

    def masks(self, execution: Execution) -> StoredDense:
        """The masks that were cut, as row blocks."""
        return StoredDense(self._staging, f"obsm/{MASKS}", execution.memory, execution.threads)


def _mask_of(sample: Sample) -> Image:
    if sample.mask is None:
        raise ParameterError(f"a mask must be given for {sample.image.name}")
    return sample.mask


def _boxes_of(sample: Sample) -> Array:
    return np.zeros((0, 5), np.int64) if sample.boxes is None else sample.boxes


def whole_window(samples: Sequence[Sample]) -> int:
    """Side of the smallest windows about the centroids that hold every cell as a whole.

    A centroid far from its cell, as from the table of another image, does not make windows larger than two cells.

    Examples
    --------
    >>> from kithkin.io.cells import Cells
    >>> from kithkin.io.image import open_image
    >>> image, boxes = open_image(np.zeros((1, 9, 9))), np.array([[2, 7, 3, 6, 9]])
    >>> whole_window([Sample("", image, image, Cells("", np.array([1]), np.array([4.0]), np.array([4.0])), boxes)])
    5
    """
    side = 1
    for sample in samples:
        boxes = _boxes_of(sample)
        for centre, first, stop in ((sample.cells.y, 0, 1), (sample.cells.x, 2, 3)):
            at = np.trunc(centre).astype(np.int64)
            before, after = (at - boxes[:, first]).max(initial=0), (boxes[:, stop] - at).max(initial=1)
            side = max(side, 2 * int(before), 2 * int(after) - 1)
    return min(side, 2 * max(sample.largest for sample in samples))
