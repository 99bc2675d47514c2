"""Reliability of probabilities of clusters: how often those of about 0.8 are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check, check_range
from kithkin.core.keys import Key
from kithkin.metrics.calibration import expected_calibration_error
from kithkin.metrics.partition import contingency
from kithkin.plot.data import Groups, describe
from kithkin.plot.look.palette import OKABE_ITO
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

SIDE, LOW, GAP = 3.0, 0.7, 0.15  # inches of the diagram, of the histogram below, and between them
LEFT, BELOW, RIGHT = 0.65, 0.55, 2.1
TABLES = {"_probability": "exact", "_calibrated": "calibrated"}
COLORS = ("#8A8A8A", OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2])


def reliability(
    ds: Dataset, by: Any, on: str = "obs/mixture", *, probability: str | Sequence[str] | None = None, n_bins: int = 10
) -> Figure:
    """Draw how often the likeliest cluster of a cell is right, against its probability.

    A cluster stands for the label that is most common in it. Cells are binned by the probability of their likeliest
    cluster; on the diagonal it is the share that is right. Below are the shares of the cells in each bin. The legend
    tells the expected calibration error (ECE), the mean distance from the diagonal. Cells without a label are left out.

    Parameters
    ----------
    ds
        The dataset.
    by
        Labels of the cells that are held to be true: a column of obs or an array.
    on
        Clusters by count_mixture, or others with probabilities under their name.
    probability
        Tables of obsm with a column for each cluster, four at most; by default those of the clusters: exact, and
        calibrated where it is stored.
    n_bins
        Number of bins of equal width.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If there are no clusters or probabilities of that name.
    ParameterError
        If the labels are not groups, a table has no column for each cluster, or n_bins is out of range.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), doi:10.48550/arXiv.1706.04599.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.count_mixture(ds, 2)
    >>> [text.get_text() for text in reliability(ds, "obs/group").axes[0].texts]
    ['exact: ECE 0.00']
    """
    check_range("n_bins", n_bins, 2, 1000)
    key = Key.parse(on, "obs", option="on")
    labels, clusters = describe(ds, by, name="by"), describe(ds, str(key), name="on")
    if not isinstance(labels, Groups) or not isinstance(clusters, Groups):
        raise ParameterError("by and on must hold groups, got numbers")
    if probability is None:
        first, *others = (str(key.beside("obsm", end)) for end in TABLES)
        keys = [first, *(other for other in others if other in ds)]
    else:
        keys = [probability] if isinstance(probability, str) else list(probability)
    check(1 <= len(keys) <= len(COLORS), f"probability must name 1..{len(COLORS)} tables, got {len(keys)}")
    known = (labels.codes >= 0) & (clusters.codes >= 0)
    check(bool(known.any()), f"no cell has both a label of by and a cluster of {key}")
    shared = contingency(clusters.codes[known], labels.codes[known])
    label_of = np.full(len(clusters.names), -1)  # a cluster without cells stands for no label
    label_of[: len(shared)] = np.where(shared.any(axis=1), shared.argmax(axis=1), -1)
    figure = Picture(LEFT + SIDE + RIGHT, BELOW + LOW + GAP + SIDE + 0.2)
    ax = figure.add_at("reliability", LEFT, BELOW + LOW + GAP, SIDE, SIDE)
    below = figure.add_at("cells", LEFT, BELOW, SIDE, LOW)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 2)))
    edges = np.linspace(0, 1, n_bins + 1)
    for place, (name, color) in enumerate(zip(keys, COLORS, strict=False)):
        table = _table(ds, name, len(clusters.names))[known]
        best = table.argmax(axis=1)
        sure = np.clip(table[np.arange(len(best)), best], 0.0, 1.0)
        correct = label_of[best] == labels.codes[known]
        bins = np.minimum((sure * n_bins).astype(int), n_bins - 1)
        sizes = np.bincount(bins, minlength=n_bins)
        some = sizes > 0
        middle = np.bincount(bins, sure, n_bins)[some] / sizes[some]
        share = np.bincount(bins, correct, n_bins)[some] / sizes[some]
        ax.plot(middle, share, color=color, linewidth=1.2, marker="o", markersize=4)
        below.stairs(100 * sizes / len(bins), edges, color=color, linewidth=1.2)
        ending = next((said for end, said in TABLES.items() if name == str(key.beside("obsm", end))), name)
        error = expected_calibration_error(sure, correct, n_bins)
        ax.annotate(f"{ending}: ECE {error:.2f}", (1, 1), xycoords="axes fraction", xytext=(8, -10 - 14 * place),
                    textcoords="offset points", fontsize=SMALL, color=color, va="center")  # fmt: skip
    for axes in (ax, below):
        plain(axes)
        axes.set_xlim(0, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xticklabels([])
    ax.set_ylabel("share that is right", fontsize=TEXT, color=INK)
    below.set_ylabel("cells (%)", fontsize=TEXT, color=INK)
    below.set_xlabel("probability of the likeliest cluster", fontsize=TEXT, color=INK)
    return figure


def _table(ds: Dataset, name: str, n_clusters: int) -> Array:
    """Read probabilities, and check that there is a column for each cluster."""
    table = np.asarray(ds.read(str(Key.parse(name, "obsm", option="probability"))), float)
    shape = table.shape
    check(table.ndim == 2 and shape[1] == n_clusters, f"{name} must have {n_clusters} columns, one a cluster: {shape}")
    check(bool(((table >= 0) & (table <= 1 + 1e-6)).all()), f"{name} must hold probabilities in 0..1")
    return table
