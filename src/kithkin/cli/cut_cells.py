"""The commands `cut_cells` and `cut_tiles`: the argument lines of cellcutter, and what kithkin adds to them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kithkin.cli import outcome

NOTHING = "-"  # in place of a mask or a table
# how a parameter of the library is typed
FLAGS = {
    **{"window_size": "--window-size", "mask_cells": "--mask-cells", "chunk_size": "--chunk-size", "masks": "--masks"},
    **{"cells_per_chunk": "--cells-per-chunk", "zarr_format": "--zarr-format", "pixel_size": "--pixel-size"},
    **{"overwrite=True": "--force", "zipped=True": "-z", "masks=True": "--masks", "memory": "--cache-size"},
    **{"step_size": "--step-size", "threads": "-p", "channels": "--channels", "fill": "--fill", "z": "--z", "t": "--t"},
}
_TYPED = re.compile(
    r"\b(overwrite=True|zipped=True|masks=True|z(?==1)|t(?==1)|window_size|mask_cells|chunk_size|cells_per_chunk"
    r"|zarr_format|pixel_size|step_size|(?:memory|threads|channels|fill|z|t)(?= must| are repeated))(?![\w.])"
)


def as_typed(message: str) -> str:
    """Say a message of the library in the words of these commands.

    Examples
    --------
    >>> as_typed("window_size must be at least 1 pixel, got 0")
    '--window-size must be at least 1 pixel, got 0'
    """
    return _TYPED.sub(lambda found: FLAGS[found[1]], message)


def split_channels(arguments: Sequence[str]) -> tuple[list[str], list[int | str] | None]:
    """Take `--channels 1 3 5` out of a command line, wherever it stands: as many whole numbers as follow it.

    Names go in one word, with commas: `--channels=DNA,CD3`.

    Examples
    --------
    >>> split_channels(["--channels", "1", "3", "image.tif", "-z"])
    (['image.tif', '-z'], [1, 3])
    """
    rest: list[str] = []
    found: list[int | str] | None = None
    words = list(arguments)
    while words:
        word = words.pop(0)
        flag, _, value = word.partition("=")
        if flag != "--channels":
            rest.append(word)
            continue
        found = [] if found is None else found
        listed = [value] if value else []
        while not value and words and re.fullmatch(r"-?\d+(,-?\d+)*", words[0]):
            listed.append(words.pop(0))
        if not listed and words and not words[0].startswith("-") and "," in words[0]:
            listed.append(words.pop(0))
        for one in ",".join(listed).split(",") if listed else []:
            found.append(int(one) if re.fullmatch(r"-?\d+", one) else one)
    return rest, found


def _common(parser: argparse.ArgumentParser, what: str) -> None:
    one = parser.add_argument
    one("-p", "--jobs", dest="threads", type=int, metavar="P", help="work in parallel; one per processor if not given")
    one("-z", dest="zipped", action="store_true", help="write a single zip file")
    one("-f", "--force", dest="overwrite", action="store_true", help="replace the destination, after success")
    one("--channels", metavar="N", help="channels from 1 in the wanted order, such as 1 3 5, or names: DNA,CD3")
    one("--cache-size", type=float, metavar="MB", help="memory for pixels; 512 if not given")
    chunk = parser.add_mutually_exclusive_group()
    chunk.add_argument("--chunk-size", type=float, metavar="MB", help="uncompressed size of a file; 32 if not given")
    chunk.add_argument(f"--{what}-per-chunk", type=int, metavar="N", help=f"{what} in a file, instead")
    one("--zarr-format", type=int, choices=(2, 3), default=3, help="3, or 2 for the plain old layout")
    one("--fill", type=float, default=0, metavar="VALUE", help="value of pixels outside the image")
    one("--axes", metavar="LETTERS", help="axes of the image, such as CYX, where the file says them wrong")
    one("--z", type=int, metavar="N", help="plane to read, from 1")
    one("--t", type=int, metavar="N", help="time to read, from 1")
    one("--pixel-size", type=float, metavar="UM", help="micrometres of a pixel, where the image does not say")
    one("--progress", action=argparse.BooleanOptionalAction, help="draw a progress bar; on a terminal if not given")
    one("--debug", action="store_true", help="show where in the program an error arose")


def cells_parser() -> argparse.ArgumentParser:
    """Arguments of `cut_cells`."""
    parser = argparse.ArgumentParser(
        "cut_cells",
        description="Cut a thumbnail of every cell out of an image, into a Zarr array [channels, cells, side, side].",
        allow_abbrev=False,
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF, OME-TIFF or OME-Zarr")
    parser.add_argument("mask", metavar="SEGMENTATION_MASK", help="label image; - for none")
    parser.add_argument("cells", metavar="CELL_DATA", help="table of ids and centroids; - for all cells of the mask")
    parser.add_argument("to", metavar="DESTINATION", help="the new Zarr array")
    _common(parser, "cells")
    one = parser.add_argument
    one("--window-size", metavar="N", help="side in pixels, or in micrometres: 30um; the largest cell if not given")
    one("--mask-cells", action="store_true", help="pixels of other cells and background become 0")
    one("--masks", action="store_true", default=None, help="write the masks to <stem>_mask.zarr, pixels as they are")
    one("--normalize", choices=("cell", "image"), help="scale to 0..1 by quantiles of each cell or image")
    one("--id-column", metavar="NAME", help="column of ids, where it has none of the usual names")
    one("--x-column", metavar="NAME", help="column of X")
    one("--y-column", metavar="NAME", help="column of Y")
    one(
        *("--also", "--and"),
        nargs=3,
        action="append",
        metavar=("IMAGE", "MASK", "CELLS"),
        help="another image into the same destination; may be repeated",
    )
    return parser


def tiles_parser() -> argparse.ArgumentParser:
    """Arguments of `cut_tiles`."""
    parser = argparse.ArgumentParser(
        "cut_tiles",
        description="Cut an image into a regular grid of tiles, into a Zarr array [channels, tiles, side, side].",
        allow_abbrev=False,
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF, OME-TIFF or OME-Zarr")
    parser.add_argument("window_size", metavar="WINDOW_SIZE", help="side in pixels, or in micrometres: 100um")
    parser.add_argument("to", metavar="DESTINATION", help="the new Zarr array")
    _common(parser, "tiles")
    parser.add_argument("--step-size", type=int, metavar="N", help="from one tile to the next; their side if not given")
    parser.add_argument("--save-metadata", metavar="CSV", help="write the places of the tiles to this file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cut_cells`: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["nowhere.tif", "-", "cells.csv", "out.zarr", "--window-size", "8"])
    1
    """
    return _run(cells_parser(), _cut_cells, arguments)


def main_tiles(arguments: Sequence[str] | None = None) -> int:
    """Run `cut_tiles`: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main_tiles(["nowhere.tif", "8", "out.zarr"])
    1
    """
    return _run(tiles_parser(), _cut_tiles, arguments)


def _cut_cells(given: dict[str, Any]) -> Any:
    from kithkin.images import cut

    parts = [given.pop(key) for key in ("image", "mask", "cells")]
    also = given.pop("also") or []
    if not also:
        return cut(parts[0], *_present(parts[1:]), **given)
    several: dict[str, Any] = {}
    for image, *others in [parts, *also]:
        name = image if image not in several else f"{image} {len(several) + 1}"
        several[name] = (image, *_present(others))
    return cut(several, **given)


def _present(parts: Sequence[str]) -> list[str | None]:
    return [None if part == NOTHING else part for part in parts]


def _cut_tiles(given: dict[str, Any]) -> Any:
    from kithkin.images import cut_tiles

    return cut_tiles(given.pop("image"), given.pop("window_size"), **given)


def _run(
    parser: argparse.ArgumentParser, function: Callable[[dict[str, Any]], Any], arguments: Sequence[str] | None
) -> int:
    words, channels = split_channels(sys.argv[1:] if arguments is None else arguments)
    try:
        given = vars(parser.parse_intermixed_args(words))
    except SystemExit as stop:
        return int(stop.code or outcome.DONE)
    given["channels"] = channels
    debug, cache = given.pop("debug"), given.pop("cache_size")
    given["memory"] = None if cache is None else int(cache * 2**20)

    def command() -> None:
        sys.stdout.write(f"{function(given)!r}\n")

    return outcome.run(
        parser.prog, command, as_typed, "give a smaller --cache-size, or fewer jobs with -p", debug=debug
    )


if __name__ == "__main__":
    sys.exit(main())
