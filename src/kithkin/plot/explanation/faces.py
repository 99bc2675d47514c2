"""Shares of clusters that each modality gives back, alone and together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kithkin.core.errors import check
from kithkin.core.group_faces import ALL, NAMED, TOGETHER, short_name
from kithkin.core.keys import Key
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

LANE, REST = 0.13, 0.12  # inches of a modality in the row of a cluster, and between rows
WIDTH, GAP, FOOT, HEAD = 3.0, 0.15, 0.5, 0.4  # inches
AVERAGE = "average"


def faces(ds: Dataset, by: str = "obs/leiden") -> Figure:
    """Draw the share of each cluster that each modality gives back on held-out cells, alone and all together.

    A row is a cluster, with a dot for each modality, and its interval of 95 %; a ring is for all modalities together.
    The broken line is what guessing would give. Features to the right are those by which the best modality tells the
    cluster, where it is better than a guess. The last row is the average of all clusters.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters that kithkin.explain was given with several modalities.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If explain() has not been run with several modalities.
    ParameterError
        If the clusters were replaced since, or the result is not one of modalities.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 100, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.write({"obsm/measures": np.arange(400.0).reshape(200, 2)})
    >>> _ = kk.explain(ds, "group", on=["X", "obsm/measures"])
    >>> [label.get_text() for label in faces(ds, "group").axes[0].get_yticklabels()]
    ['average', '1', '0']
    """
    clusters = Key.parse(by, "obs", option="by")
    key = str(clusters.beside("uns", "_faces"))
    ds.lineage.check_belongs(key, str(clusters), f"kithkin.explain(ds, {by!r}, on=[...])")
    stored = ds.read(key)
    right = isinstance(stored, Mapping) and isinstance(stored.get("table"), pd.DataFrame)
    check(right, f"{key} must be a result of kithkin.explain with several modalities, but it is something else")
    table: pd.DataFrame = stored["table"]
    groups = list(dict.fromkeys(table["group"].astype(str)))
    kinds = [on for on in dict.fromkeys(table["on"].astype(str)) if on != TOGETHER]
    parts = {str(name): part.set_index("on") for name, part in table.groupby("group", observed=True)}
    titles = [AVERAGE if name == ALL else shorten(name, 28) for name in groups]
    said = [best_features(parts[name]) for name in groups]
    left = 0.25 + float(text_inches(titles, SMALL)[:, 0].max())
    right_room = GAP + float(text_inches([text or " " for text in said], SMALL)[:, 0].max()) + 0.1
    tall = LANE * len(kinds) + REST
    legend = [*(f"● {shorten(short_name(on), 28)}" for on in kinds), f"○ {TOGETHER}", "╌ guess"]
    spans = text_inches(legend, TEXT)[:, 0] + 0.2
    figure = Picture(max(left + WIDTH + right_room, left + float(spans.sum()) + 0.1), FOOT + HEAD + tall * len(groups))
    ax = figure.add_at("shares", left, FOOT, WIDTH, tall * len(groups))
    draw_shares(ax, [parts[name] for name in groups], kinds, LANE / tall)
    ax.set_yticks(range(len(groups)), titles[::-1], fontsize=SMALL, color=INK)
    for row, text in enumerate(said[::-1]):
        ax.annotate(text, (1, row), xycoords="data", xytext=(72 * GAP, 0), textcoords="offset points",
                    va="center", fontsize=SMALL, color=INK)  # fmt: skip
    colors = [*(color_of(lane) for lane in range(len(kinds))), INK, INK]
    for at, text, color in zip(np.cumsum(spans) - spans, legend, colors, strict=True):
        ax.annotate(text, (0, 1), xycoords="axes fraction", xytext=(72 * at, 8), textcoords="offset points",
                    fontsize=TEXT, color=color)  # fmt: skip
    return figure


def draw_shares(ax: Axes, parts: list[pd.DataFrame], kinds: list[str], step: float) -> None:
    """Draw a row for each cluster, the first on top, with a dot and an interval for each modality.

    parts: shares of a cluster by modality. step: height between modalities, in rows.
    """
    for row, part in enumerate(parts[::-1]):
        ax.axhline(row - 0.5, color=FAINT, linewidth=0.5, zorder=0)
        for lane, on in enumerate(kinds):
            place, color = row + step * ((len(kinds) - 1) / 2 - lane), color_of(lane)
            ends = part.loc[on, ["low", "high"]].to_numpy(float)
            ax.plot(ends, [place, place], color=color, linewidth=1.4, alpha=0.6, solid_capstyle="butt", zorder=1)
            ax.plot([float(part["share"][on])], [place], "o", color=color, markersize=5, markeredgewidth=0,
                    clip_on=False, zorder=2)  # fmt: skip
        ax.plot([float(part["share"][TOGETHER])], [row], "o", markersize=9, markerfacecolor="none", clip_on=False,
                markeredgecolor=INK, zorder=3)  # fmt: skip
    ax.axvline(float(parts[0]["chance"].iloc[0]), color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
    plain(ax, keep="bottom")
    ax.set(xlim=(0, 1), ylim=(-0.5, len(parts) - 0.5))
    ax.tick_params(axis="y", length=0, pad=8)
    ax.set_xlabel("share of the held-out cells of a cluster that is given back", fontsize=TEXT, color=INK)


def color_of(lane: int) -> str:
    """Return the colour of a modality; after the last it begins again."""
    color: str = OKABE_ITO[lane % len(OKABE_ITO)]
    return color


def best_features(part: pd.DataFrame) -> str:
    """Name the features by which the best modality tells a cluster; nothing where that is not better than a guess.

    Examples
    --------
    >>> part = pd.DataFrame({"share": [0.9, 0.2, 0.9], "chance": 0.1, "low": 0.1, "features": ["high CD3D", "", ""]},
    ...                     index=["X", "obsm/a", "together"])
    >>> best_features(part), best_features(part.assign(low=0.05))
    ('high CD3D', '')
    """
    alone = part.drop(index=TOGETHER)
    if alone["share"].isna().all():
        return "too few cells"
    best = alone.iloc[int(np.nanargmax(alone["share"]))]
    if not best["share"] > best["chance"] or best["low"] < best["chance"]:
        return ""
    return shorten(", ".join(str(best["features"]).split(", ")[:NAMED]), 60)
