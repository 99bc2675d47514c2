"""History of a training: every quantity by epoch, with the phases marked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.look.palette import categorical
from kithkin.plot.look.style import INK, SMALL, TEXT, Picture, name_entries, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

WIDE, HIGH, LEFT, HEAD, FOOT = 2.1, 1.15, 0.62, 0.28, 0.3  # inches of a panel, and left of, above and below it
LEGEND = 0.42  # inches of the line that names the phases
STEEP = 30.0  # a quantity whose largest value is so many times its smallest is drawn on a log scale
TITLES = {
    "plain": "error, all features",
    "gated": "error, open features",
    "masked": "error, some hidden",
    "noisy": "error, noisy embedding",
    "penalty": "sparsity penalty",
    "coding_rate": "coding rate of gates",
    "start": "head to its start",
    "compression": "coding rate of clusters",
    "cross_entropy": "cross entropy",
    "open": "open gates",
    "davies_bouldin": "Davies-Bouldin index",
    "acc": "accuracy",
    "nmi": "NMI",
    "ari": "ARI",
}
# what is looked at beside the losses comes after them, in this order
LATER = ("open", "open_local", "open_global", "n_open", "silhouette", "davies_bouldin", "acc", "accuracy", "nmi", "ari")


def training(ds: Dataset, key: str = "uns/deep", *, n_columns: int = 3) -> Figure:
    """Draw the loss parts, the open gates and the indices of the embedding by epoch, one panel each.

    Quantities that are zero or missing in all epochs, such as an unused part of the loss, are left out.

    Parameters
    ----------
    ds
        The dataset.
    key
        Key of the history of a training: a table with the columns epoch and phase, and one for each quantity; or a
        mapping that has it as "history".
    n_columns
        Panels side by side.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If it is not there.
    ParameterError
        If it is not the history of a training, or n_columns is less than 1.

    Examples
    --------
    >>> history = {"epoch": [0, 1, 2], "phase": ["first", "first", "second"], "loss": [3.0, 2.0, 1.0]}
    >>> class Rows(dict):
    ...     read = dict.__getitem__
    >>> training(Rows({"uns/deep": {"history": history}})).axes[0].get_title(loc="left")
    'loss'
    """
    check(n_columns >= 1, f"n_columns must be at least 1, got {n_columns!r}")
    stored = ds.read(key)
    history = stored["history"] if isinstance(stored, Mapping) and "history" in stored else stored
    sound = isinstance(history, (Mapping, pd.DataFrame)) and "epoch" in history and len(history["epoch"]) > 0
    check(sound, f"{key} must hold the history of a training, with epochs")
    table = pd.DataFrame({str(name): np.asarray(history[name]) for name in history})
    table["phase"] = table["phase"].astype(str) if "phase" in table else ""
    if not bool(
        (np.diff(table["epoch"].to_numpy(float)) > 0).all()
    ):  # a phase that counts again follows the one before
        table["epoch"] = np.arange(len(table))
    phase = table["phase"].to_numpy()
    begin = [0, *(np.flatnonzero(phase[1:] != phase[:-1]) + 1).tolist()]
    names, edges = [str(phase[first]) for first in begin], [*begin, len(table)]
    colors = dict(zip(dict.fromkeys(names), categorical(len(set(names))), strict=True))
    measured = [name for name in table.columns if name not in ("epoch", "phase") and table[name].dtype.kind in "biuf"]
    numbers = {name: table[name].to_numpy(float) for name in measured}
    known = [name for name, values in numbers.items() if (np.isfinite(values) & (values != 0)).any()]  # or it is unused
    order = [*TITLES, *sorted(set(known) - {*TITLES, *LATER}), *LATER]  # a stored mapping has lost its own
    quantities = sorted(known, key=lambda name: len(order) - order[::-1].index(name))
    check(bool(quantities), f"{key} holds no quantity but epochs and phases")
    columns = min(n_columns, len(quantities))
    down = -(-len(quantities) // columns)
    legend = float(text_inches(list(colors), SMALL)[:, 0].sum()) + 0.45 * len(colors) + 0.4
    width, height = max(columns * (LEFT + WIDE) + 0.2, legend), LEGEND + down * (HEAD + HIGH + FOOT) + 0.12
    figure, top = Picture(width, height), height - LEGEND
    for i, name in enumerate(quantities):
        row, column = divmod(i, columns)
        bottom = top - row * (HEAD + HIGH + FOOT) - HEAD - HIGH
        ax = figure.add_at(name, LEFT + column * (LEFT + WIDE), bottom, WIDE, HIGH)
        _draw_quantity(ax, table["epoch"].to_numpy(float), numbers[name], names, edges, colors)
        ax.set_title(TITLES.get(name, name.replace("_", " ")), fontsize=TEXT, color=INK, loc="left", pad=4)
        if i + columns >= len(quantities):
            ax.set_xlabel("epoch", fontsize=SMALL, color=INK, labelpad=1)
    named = {name: color for name, color in colors.items() if name}
    if named:
        ax = figure.add_at("phases", 0.2, height - LEGEND, width - 0.4, LEGEND - 0.05)
        patches = [Patch(color=color, linewidth=0) for color in named.values()]
        entries = ax.legend(patches, [str(k) for k in range(len(named))], loc="center left", ncols=len(named),
                            frameon=False, fontsize=SMALL, labelcolor=INK, handlelength=1.0, handleheight=0.9,
                            handletextpad=0.4, columnspacing=1.2, borderpad=0, borderaxespad=0)  # fmt: skip
        name_entries(entries, [shorten(name) for name in named])
        ax.set_axis_off()
    return figure


def _draw_quantity(
    ax: Axes, epoch: Array, values: Array, names: list[str], edges: list[int], colors: Mapping[str, str]
) -> None:
    """Draw a line for each phase over its shade: the meaning of a quantity may change from phase to phase."""
    ends = np.append(epoch, epoch[-1] + 1) - 0.5
    for name, (first, last) in zip(names, pairwise(edges), strict=True):
        ax.axvspan(ends[first], ends[last], color=colors[name], alpha=0.08, linewidth=0)
        there = np.flatnonzero(np.isfinite(values[first:last])) + first
        few = {"marker": "o", "markersize": 2.5, "markeredgewidth": 0} if last - first <= 25 else {}
        ax.plot(epoch[there], values[there], color=colors[name], linewidth=1.3, **few)  # type: ignore[arg-type]
    known = values[np.isfinite(values)]
    if known.min() > 0 and known.max() > STEEP * known.min():
        ax.set_yscale("log")
        short = known.max() < 300 * known.min()
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,), numticks=6))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.set_xlim(ends[0], ends[-1])
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    plain(ax)
    ax.tick_params(labelsize=SMALL - 1)
