"""The look that all figures share, and figures that need no window system."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text

from kithkin.core.errors import KithkinError

DPI, FINE = 150, 400  # of a figure, and of the images in it where all else is drawn as lines
TEXT, SMALL = 9.0, 8.0  # points
INK, FAINT = "#222222", "#B5B5B5"
ABSENT = "#EEF1F5"  # what the dataset does not have: pixels, missing values
LIGHT_INK, DARK_MISSING = "#E8E8E8", "#404040"  # on dark backgrounds


class Picture(Figure):
    """A matplotlib figure with its own canvas: no window, no global state, and a notebook displays it."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """Draw all artists, and every text as it is: a dollar sign in a name begins no formula."""
        take_literally(self)
        super().draw(renderer)

    def savefig(self, fname: Any, **settings: Any) -> None:
        """Save the figure. Text stays text in PDF, PostScript and SVG, where many points are an image of 400 dpi."""
        named = Path(fname).suffix if isinstance(fname, (str, Path)) else ""
        if isinstance(fname, (str, Path)) and not Path(fname).absolute().parent.is_dir():
            raise KithkinError(f"the folder {Path(fname).parent} does not exist: make it first")
        if named and named[1:].lower() not in (known := self.canvas.get_supported_filetypes()):
            raise KithkinError(f"{Path(fname).name} must end in one of {', '.join(f'.{one}' for one in sorted(known))}")
        if str(settings.get("format") or named).lower().lstrip(".") in ("pdf", "svg", "svgz", "ps", "eps"):
            settings.setdefault("dpi", FINE)
        with rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}):
            super().savefig(fname, **settings)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

    def place(self, ax: Axes, left: float, bottom: float, width: float, height: float) -> None:
        """Put axes at a position given in inches from the lower left corner."""
        total = self.get_size_inches()
        ax.set_position((left / total[0], bottom / total[1], width / total[0], height / total[1]))

    def add_at(self, label: str, left: float, bottom: float, width: float, height: float) -> Axes:
        """Add axes at a position given in inches from the lower left corner."""
        ax = self.add_axes((0, 0, 1, 1), label=label)
        self.place(ax, left, bottom, width, height)
        return ax

    def color_bar(
        self, scale: ScalarMappable, ax: Axes, *, size: float = SMALL, rim: bool = True, **settings: Any
    ) -> Any:
        """Draw a colour bar into axes, with small grey ticks, and a grey rim around the colours where wanted."""
        return color_bar(scale, ax, size=size, rim=rim, **settings)

    def inches(self, artist: Any) -> tuple[float, float]:
        """Measure the width and height that an artist will take, in inches."""
        return inches(artist)


def inches(artist: Any) -> tuple[float, float]:
    """Measure the width and height that an artist of any figure will take, in inches."""
    take_literally(artist)
    box = artist.get_window_extent()
    return box.width / artist.figure.dpi, box.height / artist.figure.dpi


def color_bar(scale: ScalarMappable, ax: Axes, *, size: float = SMALL, rim: bool = True, **settings: Any) -> Any:
    """Draw a colour bar into axes of any figure."""
    bar = ax.figure.colorbar(scale, cax=ax, **settings)
    bar.outline.set(edgecolor=FAINT, visible=rim)
    ax.tick_params(labelsize=size, length=2, color=FAINT, labelcolor=INK)
    return bar


def take_literally(artist: Artist) -> None:
    """Let matplotlib read no formulas in the texts of an artist."""
    for text in artist.findobj(Text):
        text.set_parse_math(False)


def text_inches(texts: list[str], size: float) -> np.ndarray[Any, Any]:
    """Measure width and height in inches of each text at a font size in points, k x 2."""
    figure = Picture(1, 1)
    return np.array([figure.inches(figure.text(0, 0, text, fontsize=size)) for text in texts]).reshape(-1, 2)


def shorten(text: str, most: int = 48) -> str:
    """Cut the text with an ellipsis where it is too long for a legend, and keep it on one line.

    Examples
    --------
    >>> shorten("a long name", 6)
    'a lon…'
    """
    text = "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def plain(ax: Axes, *, keep: str = "left bottom") -> None:
    """Take away the frame but for the named sides, and draw ticks small and grey."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in keep.split())
        spine.set_color(FAINT)
        spine.set_linewidth(0.8)
    ax.tick_params(labelsize=SMALL, color=FAINT, labelcolor=INK, width=0.8, length=3)


def dot_legend(ax: Axes, names: list[str], colors: list[Any], *, height: float, most_columns: int = 5) -> Legend:
    """Draw a legend of coloured dots right of the axes, in as many columns as its height in inches asks for.

    Entries that would need more columns than the most are left out, and the last line says how many.
    """
    rows = max(1, int(height * 72 / (SMALL * 1.5)))
    size = SMALL
    if len(names) > 2 * rows:
        size, rows = 6.5, max(1, int(height * 72 / (6.5 * 1.5)))
    room = rows * most_columns
    if len(names) > room:
        left_out = len(names) - room + 1
        names, colors = [*names[: room - 1], f"and {left_out} more"], [*colors[: room - 1], "none"]
    n_columns = max(1, -(-len(names) // rows))
    dots = [
        Line2D([], [], marker="o", linestyle="", markersize=0.75 * size, markeredgewidth=0, color=c) for c in colors
    ]
    legend = ax.legend(
        dots,
        [str(k) for k in range(len(names))],
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        borderpad=0.0,
        ncols=n_columns,
        frameon=False,
        fontsize=size,
        labelcolor=INK,
        handletextpad=0.3,
        handlelength=1.2,
        columnspacing=1.2,
        labelspacing=0.4,
    )
    name_entries(legend, [shorten(name) for name in names])
    return legend


def name_entries(legend: Legend, names: list[str]) -> None:
    """Write names beside the entries of a legend, also those that matplotlib leaves out: they begin with "_"."""
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
