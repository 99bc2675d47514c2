"""Mixing of batches and separation of kinds of cells, before and after an integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

COLORS = {"before": "#8A8A8A", "after": OKABE_ITO[0]}
INDICES = {"ilisi": "batches around a cell (iLISI)", "clisi": "kinds around a cell (cLISI)"}
SCORES = {
    "silhouette_batch": "batches mix\n(silhouette)",
    "silhouette_labels": "kinds apart\n(silhouette)",
    "graph_connectivity": "kinds connected",
}
N_BINS = 25
HIGHEST = 0.995  # quantile of the values at which the axis ends
FAR = 2  # times the axis: a line beyond it would press the cells to the side
WIDTH, HEIGHT, LEFT, FOOT, GAP = 3.6, 1.4, 0.55, 0.5, 0.6  # inches


def mixing(ds: Dataset, key: str = "uns/mixing") -> Figure:
    """Draw how many batches and kinds are around each cell, and the other scores, before and after an integration.

    The distributions are of the cells that mixing() looked at; a line marks the median, and a broken line where it
    would be if the batches were shuffled within each kind. The last bar holds the highest values, too, where few cells
    lie beyond. Of the scores below 1 is best.

    Parameters
    ----------
    ds
        The dataset.
    key
        Key of the result of mixing().

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If mixing() has not been run.
    ParameterError
        If the key is that of something else.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obsm/X_pca": kk.pca(ds, 5), "obs/batch": ["x", "y"] * 50})
    >>> _ = kk.mixing(ds, "batch", labels="group", before=None, on="obsm/X_pca")
    >>> [ax.get_label() for ax in mixing(ds).axes]
    ['ilisi', 'clisi', 'scores']
    """
    stored = ds.read(key)
    right = isinstance(stored, Mapping) and "table" in stored and "after" in stored
    check(right, f"key must be that of a result of kithkin.mixing, got {key!r}")
    table = stored["table"]
    spaces = [space for space in COLORS if space in stored]
    indices = [name for name in INDICES if name in table]
    scores = [name for name in SCORES if name in table]
    low = 0.34 * len(scores) + 0.2
    figure = Picture(LEFT + WIDTH + 0.3, FOOT + low + (HEIGHT + GAP) * len(indices) - GAP + 0.9)
    for place, name in enumerate(indices):
        ax = figure.add_at(name, LEFT, FOOT + low + 0.6 + (HEIGHT + GAP) * (len(indices) - 1 - place), WIDTH, HEIGHT)
        _distributions(ax, {space: np.asarray(stored[space][name]) for space in spaces})
        ax.set_xlabel(INDICES[name], fontsize=TEXT, color=INK)
    entries = [(f"● {space}", COLORS[space]) for space in spaces]
    if indices[0] == "ilisi":
        entries.append((_shuffled(figure.axes[0], float(table["ilisi_at_random"].iloc[-1])), INK))
    for place, (text, color) in enumerate(entries):
        figure.axes[0].annotate(
            text, (0.2 * place, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
            fontsize=TEXT, color=color,
        )  # fmt: skip
    if scores:
        _scores(figure.add_at("scores", LEFT + 0.75, FOOT, WIDTH - 0.75, low), table, scores, spaces)
    return figure


def _shuffled(ax: Axes, random: float) -> str:
    """Draw where the median would be if batches were shuffled, and say so; far beyond the cells only the number."""
    low, high = ax.get_xlim()
    if random > low + FAR * (high - low):
        return f"shuffled: {random:.3g}, beyond this axis"
    ax.axvline(random, color=INK, linewidth=1, linestyle=(0, (4, 2)))
    ax.set_xlim(low, max(high, random + 0.02 * (high - low)))
    return "╌ shuffled"


def _distributions(ax: Axes, values: Mapping[str, Array]) -> None:
    """Draw how often each value occurs, with the median as a line; what is after lies above."""
    known = {space: found[np.isfinite(found)] for space, found in values.items()}
    most = max([2.0, *(float(np.quantile(found, HIGHEST)) for found in known.values() if len(found))])
    edges = np.linspace(1, most, N_BINS + 1)
    for space, found in known.items():
        share = 100 * np.histogram(np.minimum(found, most), edges)[0] / max(len(found), 1)
        ax.stairs(share, edges, fill=True, color=COLORS[space], alpha=0.55, linewidth=0)
        ax.stairs(share, edges, color=COLORS[space], linewidth=0.8, label=space)
        if len(found):
            ax.axvline(float(np.median(found)), color=COLORS[space], linewidth=1.6)
    plain(ax)
    ax.set_xlim(1 - 0.02 * (most - 1), most + 0.02 * (most - 1))
    ax.set_ylim(0, None)
    ax.set_ylabel("cells (%)", fontsize=TEXT, color=INK)


def _scores(ax: Axes, table: Any, names: list[str], spaces: list[str]) -> None:
    """Draw a line for each score, from before to after."""
    places = np.arange(len(names))[::-1]
    for place, name in zip(places, names, strict=True):
        ends = [float(table.loc[space, name]) for space in spaces]
        ax.plot([0, 1], [place, place], color=FAINT, linewidth=0.6, zorder=0)
        ax.plot(ends, [place] * len(ends), color=INK, linewidth=1.2, zorder=1)
        unknown = [space for space, end in zip(spaces, ends, strict=True) if np.isnan(end)]
        if unknown:
            who = "" if len(unknown) == len(spaces) else f"{unknown[0]}: "
            right = bool(np.nansum(ends) < 0.5)  # away from the score that is known
            ax.annotate(
                f"{who}not measured", (float(right), place), xytext=(-4 if right else 4, 2), textcoords="offset points",
                ha="right" if right else "left", fontsize=SMALL, color=INK,
            )  # fmt: skip
        for space, end in zip(spaces, ends, strict=True):
            ax.plot(end, place, marker="o", markersize=6, color=COLORS[space], markeredgewidth=0, clip_on=False)
    plain(ax, keep="bottom")
    ax.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4), yticks=places)
    ax.set_yticklabels([SCORES[name] for name in names], fontsize=SMALL, color=INK)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("score (1 is best)", fontsize=TEXT, color=INK)
