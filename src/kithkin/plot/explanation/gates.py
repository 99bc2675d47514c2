"""Features that make a cluster: gates of features against clusters, over mean images, or with their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.keys import Key
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.plot.data import Groups, groups
from kithkin.plot.look.labels import spread, title_room, write_titles
from kithkin.plot.look.matching import own_colors
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

ROW, CELL, BAR = 0.15, 0.24, 0.1  # inches of a feature, of a cluster, and of the bars of colours
SHADES = LinearSegmentedColormap.from_list("gates", ["#FFFFFF", "#DCE6F2", "#6BA3D6", "#1F5FA8", "#0B2A57"])


@dataclass(frozen=True)
class Chosen:
    """Gates of the drawn clusters, and the features to show for each."""

    gates: Array  # p x clusters with members
    clusters: Groups
    present: Array  # numbers of the clusters with members
    sets: list[list[int]]  # positions of the features to show for each of them, each feature once
    names: list[str]  # of all features


def gates(
    ds: Dataset,
    by: str = "obs/deep",
    *,
    kind: Literal["auto", "heatmap", "image", "values"] = "auto",
    n_features: int = 5,
    threshold: float = CLUSTER_OPEN,
    shape: tuple[int, int] | None = None,
    on: str = "X",
    n_columns: int | None = None,
) -> Figure:
    """Draw the features whose gates are open in each cluster.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters; their gates are in varm under the same name, such as varm/deep_gates.
    kind
        "heatmap": gates of the first features of each cluster, features against clusters. "image": gates over the
        mean image of each cluster. "values": the first features of each cluster with their means inside and outside,
        from the table that explain() stored. "auto": an image where var/row and var/column, or `shape`, say which
        pixels the features are; else a heat map.
    n_features
        Features of each cluster in a heat map or with values: those that explain() lists first, or else with the
        largest gates. A heat map shows a feature once, at the cluster where its gate is largest.
    threshold
        A gate is open above it, and makes its feature one of the cluster's. Untrained gates rest at one half.
    shape
        Rows and columns of an image.
    on
        Table of which mean images are made.
    n_columns
        Pictures, or panels, side by side.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the clusters, their gates, or (for values) the table of explain() are not there.
    ParameterError
        If no gate is open, gates or table belong to clusters that were replaced since, or a setting is not possible.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.array([[4, 0], [3, 1], [0, 5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "deep", ["0", "0", "1"])
    >>> ds.write({"varm/deep_gates": np.array([[0.9, 0.0], [0.0, 1.0]])})
    >>> [label.get_text() for label in gates(ds, "deep").axes[0].get_yticklabels()]
    ['0', '1']
    """
    clusters = Key.parse(by, "obs", option="by")
    by = str(clusters)
    check_choice("kind", kind, ("auto", "heatmap", "image", "values"))
    check_range("threshold", threshold, 0.0, 1.0)
    check_range("n_features", n_features, 1, 10**6)
    check(n_columns is None or n_columns >= 1, f"n_columns must be at least 1, got {n_columns!r}")
    if kind == "auto":
        kind = "image" if shape is not None or ("var/row" in ds and "var/column" in ds) else "heatmap"
    if kind == "image":
        from kithkin.plot.explanation.gate_images import draw_images

        return draw_images(ds, *gates_of(ds, by), shape=shape, on=on, n_columns=n_columns, threshold=threshold)
    if kind == "values":
        from kithkin.plot.explanation.gate_values import draw_values

        table = str(clusters.beside("uns", "_explanation"))
        ds.lineage.check_belongs(table, by, f"kithkin.explain(ds, {by!r})")
        return draw_values(ds, by, n_features, threshold, n_columns)
    return draw_heatmap(choose_features(ds, by, n_features, threshold))


def gates_of(ds: Dataset, by: str) -> tuple[Array, Groups]:
    """Read the gates of the features in each cluster, p x K, and the clusters.

    Raises
    ------
    MissingResultError
        If either is not there.
    ParameterError
        If they do not have equally many clusters, or the clusters were replaced since.
    """
    clusters = groups(ds, by)
    key = str(Key.parse(by).beside("varm", "_gates"))
    ds.lineage.check_belongs(key, by, f"kithkin.explain(ds, {by!r})")
    table = np.nan_to_num(np.asarray(ds.read(key), dtype=np.float64))
    check(table.ndim == 2, f"{key} must be features x clusters, got {table.ndim} dimensions")
    n_groups = table.shape[1]
    names = clusters.names
    if len(names) < n_groups and all(name.isdecimal() and int(name) < n_groups for name in names):
        numbers = np.append([int(name) for name in names], -1)  # clusters without rows may have no label
        clusters = Groups(clusters.title, numbers[clusters.codes], [str(k) for k in range(n_groups)])
    many = len(clusters.names)
    check(many == n_groups, f"{key} has {n_groups} clusters, but {by} has {many}: run kithkin.explain(ds, {by!r})")
    return table, clusters


def choose_features(ds: Dataset, by: str, n_features: int, threshold: float) -> Chosen:
    """Choose the first open features of each cluster, each feature once: where its gate is largest.

    Raises
    ------
    ParameterError
        If no gate is open.
    """
    table, clusters = gates_of(ds, by)
    present = np.flatnonzero(clusters.sizes())
    table = table[:, present]
    key = str(Key.parse(by).beside("uns", "_explanation"))
    if key in ds and ds.lineage.belongs(key, by):  # the order of the table that explain() stored for these clusters
        rows = {str(name): j for j, name in enumerate(ds.var_names)}
        features = ds.read(key).groupby("group", observed=True)["feature"]
        by_group = {str(group): [rows[str(name)] for name in some if str(name) in rows] for group, some in features}
        order = [by_group.get(clusters.names[k], []) for k in present]
    else:
        # of equal gates the one that fewer clusters share says more
        special = table - table.mean(axis=1, keepdims=True)
        order = [np.lexsort((-special[:, k], -table[:, k])).tolist() for k in range(len(present))]
    first = [[j for j in listed if table[j, k] > threshold][:n_features] for k, listed in enumerate(order)]
    check(any(first), f"no gate of {by} is above {threshold:g}")
    ranks = {(j, k): rank for k, listed in enumerate(first) for rank, j in enumerate(listed)}
    home = {
        j: max((table[j, k], -ranks[j, k], -k, k) for k in range(len(present)) if (j, k) in ranks)[3]
        for j in {j for j, _ in ranks}
    }
    sets = [[j for j in listed if home[j] == k] for k, listed in enumerate(first)]
    return Chosen(table, clusters, present, sets, [str(name) for name in ds.var_labels])


def draw_heatmap(chosen: Chosen) -> Figure:
    """Draw gates of features against clusters, with the colours of the clusters beside and above."""
    listed = [j for features in chosen.sets for j in features]
    home = np.array([k for k, features in enumerate(chosen.sets) for _ in features])
    names = [shorten(chosen.names[j], 32) for j in listed]
    titles = [shorten(chosen.clusters.names[k], 32) for k in chosen.present]
    upright, tall = title_room(titles, CELL - 0.04)
    top = 0.22 + BAR + tall
    left = 0.2 + BAR + float(text_inches(names, SMALL - 0.5)[:, 0].max())
    width, height = CELL * len(titles), ROW * len(listed)
    figure = Picture(left + width + 1.0, max(height + top + 0.15, 1.75))
    bottom = float(figure.get_size_inches()[1]) - top - height
    ax = figure.add_at("gates", left, bottom, width, height)
    ax.imshow(chosen.gates[listed], cmap=SHADES, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for edge in np.flatnonzero(np.diff(home)) + 0.5:
        ax.axhline(edge, color=FAINT, linewidth=0.5)
    ax.set_yticks(range(len(names)), names)
    ax.set_xticks([])
    plain(ax, keep="left right top bottom")
    ax.tick_params(axis="y", length=0, labelsize=SMALL - 0.5, pad=2 + 72 * (BAR + 0.03))
    colors = own_colors(chosen.clusters)[chosen.present]
    for image, box in ((colors[home][:, None], (left - BAR - 0.03, bottom, BAR, height)),
                       (colors[None], (left, bottom + height + 0.03, width, BAR))):  # fmt: skip
        bar = figure.add_at("", *box)
        bar.imshow(image, aspect="auto", interpolation="nearest")
        bar.set_axis_off()
    positions = np.arange(len(titles), dtype=float)
    if upright:
        positions = spread(positions, np.full(len(titles), 0.145 / CELL), -0.5, len(titles) - 0.5)
    write_titles(ax, positions, 1 + (BAR + 0.07) / height, titles, upright)
    scale_ax = figure.add_at("scale of gates", left + width + 0.2, max(0.1, bottom + height - 1.05), 0.1, 1.0)
    scale = figure.color_bar(ScalarMappable(Normalize(0, 1), SHADES), scale_ax)
    scale.set_ticks([0, 0.5, 1])
    scale.set_label("gate", fontsize=TEXT - 1, color=INK)
    return figure
