"""Destination, memory and threads of a cut, and the writing of its thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.budget import default_memory, parse_memory
from kithkin.core.errors import check
from kithkin.core.execute import Execution, default_threads
from kithkin.core.heap import share_one_heap
from kithkin.io.cutting.cutter import Cutter, Look, Sheet
from kithkin.io.cutting.job import channel_names
from kithkin.io.thumbnails.layout import Layout, destination, mask_path, named, plan_layout
from kithkin.io.thumbnails.writer import ThumbnailWriter, recover

MEMORY = 512 * 2**20  # more gains nothing: benchmarks/cut_cells.py
SMALLEST = 2**20


@dataclass(frozen=True)
class Output:
    """Destination of thumbnails, and their layout there."""

    to: str | Path  # as the user names it
    chunk_size: float | None  # this and the next two: settings of `plan_layout`
    cells_per_chunk: int | None
    zarr_format: int
    zipped: bool  # write a zip file
    overwrite: bool  # replace what is there
    masks: bool = False  # write masks beside it

    def target(self) -> Path:
        """Check the path to write: it is free or may be replaced."""
        recover(named(self.to, zipped=self.zipped))
        return destination(self.to, zipped=self.zipped, masks=self.masks, overwrite=self.overwrite)

    def layout(self, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Layout:
        """Plan the layout of thumbnails of a shape: channels, cells, side."""
        chunk, shard = plan_layout(
            shape,
            dtype,
            chunk_size=self.chunk_size,
            cells_per_chunk=self.cells_per_chunk,
            zarr_format=self.zarr_format,
        )
        return Layout(*shape, dtype, chunk, shard, self.zarr_format, self.zipped, self.masks)


def execution_of(memory: str | int | None, threads: int | None, progress: bool | None) -> Execution:
    """Settle the memory and threads of a cut: by default 512 MiB, and every processor.

    Raises ParameterError if memory is no size or less than 1 MiB, or threads is less than 1.
    """
    check(threads is None or threads >= 1, f"threads must be at least 1, got {threads}")
    if isinstance(memory, int):
        check(memory >= SMALLEST, f"memory must be at least 1 MiB, got {memory / 2**20:.2f} MiB")
    share_one_heap()
    budget = memory if isinstance(memory, int) else parse_memory(memory) if memory else min(MEMORY, default_memory())
    return Execution(budget, default_threads() if threads is None else threads, None, progress)


def check_apart(target: Path, sources: Sequence[Any]) -> None:
    """Refuse to write over an input.

    Raises ParameterError if an input is the destination, or its masks.
    """
    for source in sources:
        for one in source if isinstance(source, (list, tuple)) else [source]:
            same = isinstance(one, (str, Path)) and Path(one).expanduser().absolute() in (target, mask_path(target))
            check(not same, f"{target} is both an input and the destination")


@dataclass(frozen=True)
class Job:
    """Thumbnails to cut."""

    sheets: Sequence[Sheet]  # images with their windows
    look: Look
    table: pd.DataFrame  # to keep with the thumbnails
    attributes: dict[str, Any]  # beside those of the image
    identity: str | None  # result of `identity_of_job`
    pixel_size: float | None  # micrometres, if given by the user


def write_thumbnails(target: Path, output: Output, job: Job, execution: Execution) -> None:
    """Cut the thumbnails of a job and write them."""
    sheets, look, first = job.sheets, job.look, job.sheets[0]
    dtype = np.dtype(np.float32) if look.scaling else first.image.dtype
    layout = output.layout((len(first.channels), len(job.table), look.size), dtype)
    size = (job.pixel_size, job.pixel_size) if job.pixel_size else first.image.about.pixel_size
    attributes = {
        "channel_names": channel_names(first.image.about.channel_names, first.channels),
        "channels": [k + 1 for k in first.channels],
        "pixel_size": {"y": size[0], "x": size[1], "unit": "micrometer"} if size else None,
        "images": [sheet.image.name for sheet in sheets],
        "fill": look.fill,
        **job.attributes,
    }
    with ThumbnailWriter(target, layout, attributes, job.identity) as writer:
        Cutter(sheets, look, writer, execution).run()
        writer.finish(job.table)
