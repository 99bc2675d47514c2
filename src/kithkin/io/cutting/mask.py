"""Open a label image as programs write it: whole numbers of any type, planes first or last."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from math import prod
from typing import Any

from kithkin.core.errors import FormatError, check
from kithkin.io.images.image import RGB, Image, Plane, WholeNumbers
from kithkin.io.images.open import open_image

log = logging.getLogger("kithkin")


def open_mask(source: Any, image: Image, stack: ExitStack, plane: int | None = None) -> Image:
    """Open a label image, of which one plane counts.

    The source is TIFF, Zarr, PNG, `.npy` or an array; floating-point numbers count if they are whole. Planes count from
    1; None: the first. `stack` closes what is opened. Raises FormatError if it does not hold whole numbers, or is not
    of the size of the image; ParameterError if it does not have so many planes.
    """
    mask: Image = open_image(source, z=1, t=1, panel=False, name="the mask")
    stack.callback(mask.close)
    stored = mask.axes
    letters = ""  # of an array whose few planes come after its rows and columns, as deepcell writes them
    shape = stored.shape if stored else ()
    for first in range(len(shape) - 2, -1, -1):
        before, after = shape[:first], shape[first + 2 :]
        few = prod(before) == 1 and prod(after) <= RGB and len(before) <= 2 and len(after) <= 2
        if shape[first : first + 2] == image.shape[1:] and few:
            letters = f"{'QE'[: len(before)]}YX{'CS'[: len(after)]}"
    if mask.shape[1:] != image.shape[1:] and letters:
        mask = open_image(source, axes=letters, panel=False, name="the mask")
        stack.callback(mask.close)
    elif stored and "Z" in stored.letters and plane is not None:
        n_planes = stored.shape[stored.letters.index("Z")]
        check(plane in range(1, n_planes + 1), f"mask_plane must be in 1..{n_planes} for {mask.name}, got {plane}")
        mask = open_image(source, z=plane, t=1, panel=False, name="the mask")
        stack.callback(mask.close)
        plane = 1
    if mask.dtype.kind not in "iuf":
        raise FormatError(f"{mask.name} holds {mask.dtype}: a mask has one whole number for each cell")
    if mask.shape[1:] != image.shape[1:]:
        sizes = [f"{i.shape[1]:,} x {i.shape[2]:,}" for i in (mask, image)]
        raise FormatError(f"{mask.name} has {sizes[0]} pixels, but {image.name} has {sizes[1]}")
    n_planes = mask.shape[0]
    check(plane in (None, *range(1, n_planes + 1)), f"mask_plane must be in 1..{n_planes} for {mask.name}, got {plane}")
    if plane is None and n_planes > 1:
        log.warning("%s has %d channels: the first is used as the mask", mask.name, n_planes)
    if plane not in (None, 1):
        mask = Plane(mask, plane - 1)
    return WholeNumbers(mask) if mask.dtype.kind == "f" else mask
