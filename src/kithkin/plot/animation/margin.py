"""Title, legend and colour bar of an animation, written into 8-bit pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import font_manager

from kithkin.core.blocks import Array
from kithkin.plot.animation.levels import INK, LEVELS, MISSING, SHADES
from kithkin.plot.look.style import shorten

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

WIDEST = 0.4  # of the picture: what a legend may take
LONGEST = 24  # letters of a group's name


@lru_cache(maxsize=8)
def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont  # matplotlib brings it along

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def letters(size: tuple[int, int]) -> int:
    """Return the height of the letters in pixels, in a picture of so many pixels."""
    return max(9, round(min(size) / 48))


def text_width(text: str, size: int) -> int:
    """Measure the pixels that a text takes across."""
    return int(np.ceil(_font(size).getlength(text))) if text else 0


def write(picture: Array, text: str, left: int, top: int, size: int) -> None:
    """Write a text into a picture, cut off where it does not fit."""
    from PIL import Image, ImageDraw

    across, down = picture.shape[1] - left, min(2 * size, picture.shape[0] - top)
    if across <= 0 or down <= 0 or not text:
        return
    image = Image.new("L", (min(across, text_width(text, size) + size), down))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=_font(size))
    cover = np.asarray(image, np.uint16)
    shade = (cover * SHADES + 127) // 255
    into = picture[top : top + cover.shape[0], left : left + cover.shape[1]]
    np.copyto(into, (INK - 1 + shade).astype(np.uint8), where=shade > 0)


def fitting(text: str, room: int, size: int) -> str:
    """Shorten a text with an ellipsis where it takes more pixels than there are."""
    text = text.replace("\n", " ")
    for most in range(len(text), 1, -1):
        if text_width(shorten(text, most), size) <= room:
            return shorten(text, most)
    return text[:1]


def legend_of(names: list[str], slots: Array, size: tuple[int, int], has_missing: bool = False) -> Array:
    """Draw a legend of groups as pixels: squares and names, in as many columns as they need.

    Names that would take more than 40 % of the picture's width are left out, and the last line says how many.
    """
    width, height = size
    text = letters(size)
    step, side = round(1.6 * text), round(0.8 * text)
    top_row = round(2.4 * text)  # below the title
    rows = max(1, (height - top_row - text) // step)
    entries = [
        (fitting(shorten(name, LONGEST), width, text), int(slot)) for name, slot in zip(names, slots, strict=True)
    ]
    entries += [("missing", MISSING)] if has_missing else []
    n_columns = len(entries)
    across = side + text // 2 + text + max((text_width(name, text) for name, _ in entries), default=0)
    n_columns = min(-(-len(entries) // rows), max(1, int(WIDEST * width / across)))
    if len(entries) > n_columns * rows:
        kept = n_columns * rows - 1
        entries = [*entries[:kept], (f"and {len(entries) - kept} more", 0)]
    per_column = -(-len(entries) // max(1, n_columns))
    picture = np.zeros((height, max(1, n_columns) * across), np.uint8)
    for i, (name, slot) in enumerate(entries):
        left, top = i // per_column * across, top_row + i % per_column * step
        picture[top : top + side, left : left + side] = slot
        indent = side + text // 2 if slot else 0
        write(picture[:, : left + across], name, left + indent, top + side // 2 - round(0.62 * text), text)
    return picture


def bar_of(low: str, high: str, label: str, size: tuple[int, int]) -> Array:
    """Draw a colour bar as pixels, the highest level on top."""
    text = letters(size)
    wide, tall = round(1.1 * text), round(0.5 * size[1])
    top = (size[1] - tall) // 2
    words = max(text_width(low, text), text_width(high, text))
    label = fitting(label, int(WIDEST * size[0]), text)
    across = max(wide + text // 2 + words, text_width(label, text)) + text
    picture = np.zeros((size[1], across), np.uint8)
    picture[top : top + tall, :wide] = np.rint(np.linspace(LEVELS, 1, tall))[:, None].astype(np.uint8)
    write(picture, high, wide + text // 2, top - text // 4, text)
    write(picture, low, wide + text // 2, top + tall - text, text)
    write(picture, label, 0, top - round(2.2 * text), text)
    return picture
