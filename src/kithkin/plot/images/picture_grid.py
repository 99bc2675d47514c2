"""A page of pictures, one for each group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from kithkin.plot.data import Groups
from kithkin.plot.look.style import DPI, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

SIDE, GAP, MARGIN = 0.95, 0.16, 0.2  # inches of a picture, between two of them, and around all
LINE, NARROWEST = 0.15, 0.6  # inches of a line of text, and of a picture's width
GREY = "#777777"


@dataclass(frozen=True)
class PictureGrid:
    """A page of pictures of equal size, one for each group with members, its name and size above it."""

    groups: list[str]
    names: list[str]  # texts above the pictures
    counts: list[str]
    columns: int  # pictures side by side
    wide: float  # inches of a picture
    high: float
    lines: int  # 2 where names and sizes stand on lines of their own, else 1

    @classmethod
    def of(cls, labels: Groups, height: int, width: int, n_columns: int | None = None) -> PictureGrid:
        """Choose the size of pictures of height x width pixels: whole screen pixels for each of these."""
        sizes = labels.sizes()
        present = np.flatnonzero(sizes)
        longer = max(height, width)
        scale = max(1, round(SIDE * DPI / longer)) / DPI if longer <= 2 * SIDE * DPI else 2 * SIDE / longer
        wide, high = max(width * scale, NARROWEST), max(height * scale, 0.05)
        groups_, counts = [shorten(labels.names[i], 10_000) for i in present], [f"{size:,}" for size in sizes[present]]
        beside = text_inches(groups_, TEXT)[:, 0] + text_inches(counts, SMALL - 1)[:, 0] + 0.06
        names = []
        for name in groups_:  # the middle is taken out where a name is too wide: names often differ at their ends
            text, most = name, len(name)
            while most > 2 and text_inches([text], TEXT)[0, 0] > wide + 0.5 * GAP:
                most -= 1
                text = f"{name[: most - most // 2]}…{name[len(name) - most // 2 :]}"
            names.append(text)
        columns = min(len(present), n_columns or max(4, int(np.ceil(np.sqrt(1.6 * len(present))))))
        return cls(groups_, names, counts, columns, wide, high, 1 if (beside <= wide).all() else 2)

    @property
    def head(self) -> float:
        """Inches of the title of a picture."""
        return 0.04 + LINE * self.lines

    def page(self, side: float) -> Picture:
        """Make the page, with so many inches for scales on the right."""
        down = -(-len(self.names) // self.columns)
        return Picture(
            2 * MARGIN + self.columns * (self.wide + GAP) + side,
            2 * MARGIN + down * (self.high + self.head + GAP) - GAP,
        )

    def add(self, figure: Picture, k: int) -> Axes:
        """Add the axes of picture k under its title."""
        row, column = divmod(k, self.columns)
        bottom = (
            float(figure.get_size_inches()[1]) - MARGIN - row * (self.high + self.head + GAP) - self.head - self.high
        )
        ax = figure.add_at(self.groups[k], MARGIN + column * (self.wide + GAP), bottom, self.wide, self.high)
        plain(ax, keep="left right top bottom")
        ax.set(xticks=[], yticks=[])
        up = 1 + 0.045 / self.high
        ax.text(0, up + (self.lines - 1) * LINE / self.high, self.names[k], fontsize=TEXT, color=INK,
                transform=ax.transAxes)  # fmt: skip
        ax.text(float(self.lines == 1), up, self.counts[k], fontsize=SMALL - 1, color=GREY, transform=ax.transAxes,
                ha="right" if self.lines == 1 else "left")  # fmt: skip
        return ax

    def add_scale(self, figure: Picture, shades: ScalarMappable, title: str = "", off: float = 0.0) -> None:
        """Add a colour bar beside the first row, so many inches from the last picture."""
        left = MARGIN + self.columns * (self.wide + GAP) + off
        bottom = float(figure.get_size_inches()[1]) - MARGIN - self.head - self.high
        ax = figure.add_at(f"scale of {title}", left, bottom, 0.09, self.high)
        bar = figure.color_bar(shades, ax, size=SMALL - 1)
        if title:
            bar.set_label(title, fontsize=SMALL, color=INK)
