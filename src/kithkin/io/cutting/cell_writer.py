"""A new dataset whose rows are cells of images: their thumbnails and masks are cut straight into its obsm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from kithkin.core.arrays import open_group
from kithkin.core.blocks import Array
from kithkin.core.errors import KithkinError, ParameterError
from kithkin.core.execute import Execution
from kithkin.core.stored import StoredDense
from kithkin.core.writer import DatasetWriter
from kithkin.io.cutting.cutter import Cutter, Look, Sheet
from kithkin.io.cutting.gauge import Gauge, Remembered
from kithkin.io.cutting.gauge_log import Notebook
from kithkin.io.cutting.inputs import Sample
from kithkin.io.thumbnails.layout import Layout, plan_layout
from kithkin.io.thumbnails.shards import Grid
from kithkin.io.thumbnails.writer import ThumbnailWriter

THUMBNAILS, MASKS = "thumbnails", "masks"
ENCODING = {"encoding-type": "array", "encoding-version": "0.2.0"}


class RowWriter(ThumbnailWriter):
    """Writes thumbnails as two arrays with the cells first: cells x channels x side x side, and cells x side x side.

    They lie in a hidden folder beside the path of the dataset until they are moved. `identity` stands for the inputs
    and settings by which a folder left by a kill is taken up; None: it never is.
    """

    def __init__(self, target: Path, layout: Layout, identity: str | None) -> None:
        super().__init__(target, layout, {}, identity)

    def arrays(self) -> dict[str, tuple[Grid, list[str], dict[str, Any]]]:
        """Layouts of thumbnails and masks, cells first."""
        layout = self.layout
        shape = layout.n_cells, layout.n_channels, layout.size, layout.size
        pixels = Grid(shape, 0, layout.dtype, layout.chunk, layout.shard)
        axes = ["cell", "channel", "y", "x"]
        return {THUMBNAILS: (pixels, axes, ENCODING), MASKS: (layout.mask(), ["cell", "y", "x"], ENCODING)}

    def prepare(self) -> None:
        """Take up the hidden folder if it belongs to this job, or begin it again; it is a group of arrays."""
        super().prepare()
        open_group(self.folder, "a")

    def pack(self, chunk: int, pixels: Array, masks: Array | None = None) -> tuple[int, list[bytes]]:
        """Compress a chunk: channels x cells x side x side, and cells x side x side of bool."""
        return super().pack(chunk, pixels.transpose(1, 0, 2, 3), masks)

    def close(self) -> None:
        """Write the indexes of all files."""
        for writer in self._writers:
            writer.close()
        self._writers = []


class CellWriter(DatasetWriter):
    """A writer of a dataset that cuts thumbnails for its obsm while it measures the image.

    What a kill leaves is taken up by the next with the same inputs and settings.
    """

    def __init__(self, target: str | Path, n_columns: int, *, overwrite: bool = False, n_rows: int = 1 << 20) -> None:
        super().__init__(target, n_columns, overwrite=overwrite, n_rows=n_rows)
        self._rows: RowWriter | None = None
        self._notes: list[Notebook] = []

    def cut(
        self,
        samples: Sequence[Sample],
        sheets: Sequence[Sheet],
        look: Look,
        execution: Execution,
        identity: str | None = None,
    ) -> list[Gauge]:
        """Cut all thumbnails, each tile of an image decoded once.

        Returns the measurements of each image. A job without an identity is never taken up again.
        """
        n_cells, dtype = sum(len(sample.cells.ids) for sample in samples), samples[0].image.dtype
        shape = len(sheets[0].channels), n_cells, look.size
        chunk, shard = plan_layout(shape, dtype)
        self._rows = RowWriter(self._target, Layout(*shape, dtype, chunk, shard, masks=True), identity)
        self._rows.prepare()
        gauges, watched = [], []
        for number, (sample, sheet) in enumerate(zip(samples, sheets, strict=True)):
            if sample.mask is None:
                raise ParameterError(f"a mask must be given for {sample.image.name}")
            mask, notes = Remembered(sample.mask), Notebook(self._rows.folder / f"measured{number}.log")
            self._notes.append(notes)
            gauges.append(Gauge(sample.image, mask, sample.cells.ids, sheet.channels, _boxes_of(sample), notes))
            watched.append(replace(sheet, image=gauges[-1], mask=mask))
        Cutter(watched, look, self._rows, execution).run()
        self._rows.close()
        return gauges

    def masks(self, execution: Execution) -> StoredDense:
        """Read the masks that were cut, as row blocks."""
        return StoredDense(self._cut_rows.folder, MASKS, execution.memory, execution.threads)

    @property
    def _cut_rows(self) -> RowWriter:
        if self._rows is None:
            raise KithkinError(f"{self._target.name} has no thumbnails yet")
        return self._rows

    def move(self) -> None:
        """Move the thumbnails and their masks into the dataset that `finish` puts in its place."""
        for name in (THUMBNAILS, MASKS):
            os.rename(self._cut_rows.folder / name, self._staging / "obsm" / name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for notes in self._notes:
            notes.close()
        if self._rows is not None:
            self._rows.leave(error)
        super().__exit__(kind, error, trace)


def _boxes_of(sample: Sample) -> Array:
    """Bounding boxes of the cells; none without a mask."""
    return np.zeros((0, 5), np.int64) if sample.boxes is None else sample.boxes


def whole_window(samples: Sequence[Sample]) -> int:
    """Compute the side of the smallest windows about the centroids that hold every cell as a whole.

    A centroid far from its cell, as from the table of another image, does not make windows larger than two cells.
    """
    side = 1
    for sample in samples:
        boxes = _boxes_of(sample)
        for centre, first, stop in ((sample.cells.y, 0, 1), (sample.cells.x, 2, 3)):
            at = np.trunc(centre).astype(np.int64)
            before, after = (at - boxes[:, first]).max(initial=0), (boxes[:, stop] - at).max(initial=1)
            side = max(side, 2 * int(before), 2 * int(after) - 1)
    return min(side, 2 * max(sample.largest for sample in samples))
