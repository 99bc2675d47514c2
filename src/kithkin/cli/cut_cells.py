"""The commands `cut_cells` and `cut_tiles`: the argument lines of cellcutter, and what kithkin adds to them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from kithkin.cli import outcome

NOTHING = "-"  # in place of a mask or a table
# how a parameter of the library is typed
FLAGS = {
    "window_size": "--window-size",
    "mask_cells": "--mask-cells",
    "chunk_size": "--chunk-size",
    "cells_per_chunk": "--cells-per-chunk",
    "zarr_format": "--zarr-format",
    "pixel_size": "--pixel-size",
    "step_size": "--step-size",
    "id_column": "--id-column",
    "x_column": "--x-column",
    "y_column": "--y-column",
    "image_column": "--image-column",
    "mask_plane": "--mask-plane",
    "overwrite=True": "--force",
    "zipped=True": "-z",
    "masks=True": "--masks",
    "memory": "--cache-size",
    "threads": "-p",
    "channels": "--channels",
    "position": "--position",
    "axes": "--axes",
    "fill": "--fill",
    "z": "--z",
    "t": "--t",
}
# these are words of the language too
_COMMON = "memory|threads|channels|fill|z|t|position"
_TYPED = re.compile(
    r"\b((?:overwrite|zipped|masks)=True|(?:z|t|position)(?==1)|(?<=with )axes"
    r"|(?:window|chunk|pixel|step)_size|(?:id|x|y|image)_column|mask_cells|mask_plane|cells_per_chunk|zarr_format"
    rf"|(?:{_COMMON})(?= must| are repeated))(?![\w.])"
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


class CutCommand(click.Command):
    """A command with `--channels 1 3 5`: as many numbers as follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the channels out of the line, and read the rest of it."""
        words, channels = split_channels(args)
        left = super().parse_args(ctx, words)
        ctx.params["channels"] = channels
        return left


def _options(what: str) -> list[click.Option]:
    """Make the options that both commands have."""
    return [
        click.Option(["-p", "--jobs", "threads"], type=int, help="Work in parallel; one per processor if not given."),
        click.Option(["-z", "zipped"], is_flag=True, help="Write a single zip file."),
        click.Option(["-f", "--force", "overwrite"], is_flag=True, help="Replace the destination, after success."),
        click.Option(["--channels"], metavar="N", help="Channels from 1 as wanted, such as 1 3 5, or names: DNA,CD3."),
        click.Option(["--cache-size"], type=float, metavar="MB", help="Memory for pixels; 512 if not given."),
        click.Option(["--chunk-size"], type=float, metavar="MB", help="Uncompressed size of a file; 32 by default."),
        click.Option([f"--{what}-per-chunk"], type=int, help=f"{what.capitalize()} in a file, instead."),
        click.Option(["--zarr-format"], type=click.Choice(["2", "3"]), default="3", help="3, or 2 for the old layout."),
        click.Option(["--fill"], type=float, default=0.0, help="Value of pixels outside the image."),
        click.Option(["--axes"], metavar="LETTERS", help="Axes of the image, such as CYX, where the file is wrong."),
        click.Option(["--z"], type=int, help="Plane to read, from 1."),
        click.Option(["--t"], type=int, help="Time to read, from 1."),
        click.Option(["--position"], type=int, help="Stage position or image of a file to read, from 1."),
        click.Option(["--pixel-size"], type=float, metavar="UM", help="Side of a pixel, where the image does not say."),
        click.Option(["--progress/--no-progress"], default=None, help="Draw a progress bar; by default on a terminal."),
        click.Option(["--debug"], is_flag=True, help="Show where in the program an error arose."),
    ]


def _run_cells(**given: Any) -> None:
    """Cut cells as typed."""
    from kithkin.images import cut

    inputs = [(given.pop("image"), given.pop("mask"), given.pop("cells")), *given.pop("also")]
    samples: dict[str, Any] = {}
    for image, mask, cells in inputs:
        name = image if image not in samples else f"{image} {len(samples) + 1}"
        samples[name] = (image, None if mask == NOTHING else mask, None if cells == NOTHING else cells)
    one = next(iter(samples.values()))
    given["masks"] = given["masks"] or None
    _run(cut, one if len(samples) == 1 else (samples,), given, "cells_per_chunk")


def _run_tiles(**given: Any) -> None:
    """Cut tiles as typed."""
    from kithkin.images import cut_tiles

    _run(cut_tiles, (given.pop("image"), given.pop("window_size")), given, "tiles_per_chunk")


def _run(function: Callable[..., Any], inputs: Sequence[Any], given: dict[str, Any], per_chunk: str) -> None:
    """Call a function with what was typed, and print what it returns."""
    given.pop("debug")
    cache = given.pop("cache_size")
    if given["chunk_size"] is not None and given[per_chunk] is not None:
        flag = per_chunk.replace("_", "-")
        raise click.UsageError(f"argument --{flag}: not allowed with argument --chunk-size")
    given |= {"memory": None if cache is None else int(cache * 2**20), "zarr_format": int(given["zarr_format"])}
    click.echo(repr(function(*inputs, **given)))


CUT_CELLS = CutCommand(
    "cut_cells",
    help="Cut a thumbnail of every cell out of an image, into a Zarr array [channels, cells, side, side].\n\n"
    "IMAGE: TIFF, OME-TIFF or OME-Zarr. SEGMENTATION_MASK: label image; - for none. CELL_DATA: table of ids and "
    "centroids; - for all cells of the mask. DESTINATION: the new Zarr array.",
    callback=_run_cells,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Argument(["image"], metavar="IMAGE"),
        click.Argument(["mask"], metavar="SEGMENTATION_MASK"),
        click.Argument(["cells"], metavar="CELL_DATA"),
        click.Argument(["to"], metavar="DESTINATION"),
        *_options("cells"),
        click.Option(["--window-size"], metavar="N", help="Side in pixels, or in micrometres: 30um."),
        click.Option(["--mask-cells"], is_flag=True, help="Set pixels of other cells and background to 0."),
        click.Option(["--masks"], is_flag=True, help="Write the masks to <stem>_mask.zarr, pixels as they are."),
        click.Option(["--normalize"], type=click.Choice(["cell", "image"]), help="Scale to 0..1 by quantiles."),
        click.Option(["--id-column"], metavar="NAME", help="Column of ids, where it has none of the usual names."),
        click.Option(["--x-column"], metavar="NAME", help="Column of X."),
        click.Option(["--y-column"], metavar="NAME", help="Column of Y."),
        click.Option(["--image-column"], metavar="NAME", help="Column of the image, in a table of several."),
        click.Option(["--skip-absent"], is_flag=True, help="Leave out cells of the table that are not in the mask."),
        click.Option(["--mask-plane"], type=int, help="Plane of the mask, from 1, where it has several."),
        click.Option(
            ["--also", "--and", "also"],
            nargs=3,
            multiple=True,
            metavar="IMAGE MASK CELLS",
            help="Another image into the same destination; may be repeated.",
        ),
    ],
)
CUT_TILES = CutCommand(
    "cut_tiles",
    help="Cut an image into a regular grid of tiles, into a Zarr array [channels, tiles, side, side].\n\n"
    "IMAGE: TIFF, OME-TIFF or OME-Zarr. WINDOW_SIZE: side in pixels, or in micrometres: 100um. DESTINATION: the new "
    "Zarr array.",
    callback=_run_tiles,
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Argument(["image"], metavar="IMAGE"),
        click.Argument(["window_size"], metavar="WINDOW_SIZE"),
        click.Argument(["to"], metavar="DESTINATION"),
        *_options("tiles"),
        click.Option(["--step-size"], type=int, metavar="N", help="From one tile to the next; their side by default."),
        click.Option(["--save-metadata"], metavar="CSV", help="Write the corners of the tiles to this file."),
    ],
)
LESS_MEMORY = "give a smaller --cache-size, or fewer jobs with -p"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cut_cells`: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["nowhere.tif", "-", "cells.csv", "out.zarr", "--window-size", "8"])
    1
    """
    return outcome.run_line(CUT_CELLS, "cut_cells", arguments, as_typed, LESS_MEMORY)


def main_tiles(arguments: Sequence[str] | None = None) -> int:
    """Run `cut_tiles`: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main_tiles(["nowhere.tif", "8", "out.zarr"])
    1
    """
    return outcome.run_line(CUT_TILES, "cut_tiles", arguments, as_typed, LESS_MEMORY)


if __name__ == "__main__":
    sys.exit(main())
