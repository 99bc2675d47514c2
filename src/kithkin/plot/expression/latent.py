"""The expression of one gene in each cluster of a mixture, apart from the noise of counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check, check_range
from kithkin.core.keys import Key
from kithkin.core.suggest import did_you_mean
from kithkin.core.totals import totals_of
from kithkin.models.table.normalize import TARGET_SUM
from kithkin.plot.data import groups, words_of_genes
from kithkin.plot.look.palette import group_colors
from kithkin.plot.look.style import FAINT, INK, SMALL, TEXT, Picture, plain, shorten, text_inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

WIDTH, HEIGHT, GAP = 4.6, 0.62, 0.12  # inches of a panel, and between two
FINE = 6  # points of a curve in a bin
MOST_SIZES = 500  # size factors over which the expected shares are averaged
ROOM = 1.6  # height of a panel, for its highest bar but that of the zeros: what is higher is cut
LEAST = 0.15  # of the bar of the zeros, that a panel is high at least
TICKS = np.array([0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000])


@dataclass(frozen=True)
class _Fit:
    """Counts and size factors of the cells, and log mean and log dispersion in each cluster."""

    counts: Array
    size: Array
    log_mean: Array
    log_dispersion: Array


def latent(
    ds: Dataset,
    gene: str,
    on: str = "obs/mixture",
    *,
    names: Mapping[str, str] | None = None,
    n_bins: int = 50,
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
) -> Figure:
    """Draw the distribution of a gene's expression in each cluster beside its observed counts.

    Bars are the cells by their counts per 10,000, on a scale of log(1 + x). The coloured curve is the Gamma
    distribution of expression, without the noise of counting; a vertical line is one without width, where all the
    variation is noise. The thin line shows the bars that the model expects: the Gamma distribution counted, with the
    size factors of the cells. Mean and coefficient of variation (CV) are those of the Gamma distribution. Each panel is
    as high as its bars, but for that of the zeros: where it is cut, two strokes and its percentage say so.

    Parameters
    ----------
    ds
        The dataset.
    gene
        Name of the gene.
    on
        Clusters by count_mixture.
    names
        Names of clusters to show; those that are not in it keep their own. By default those of the labels that the
        mixture was started from (`init`), if it was: of an oracle the kinds themselves.
    n_bins
        Bars across.
    palette
        Colours of the clusters, in order or by the name that is shown.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If there are no clusters of that name, or no parameters with them.
    ParameterError
        If the gene is not in the dataset, or was not used in the fit.

    References
    ----------
    Sarkar and Stephens 2021, doi:10.1038/s41588-021-00873-4.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.count_mixture(ds, 2)
    >>> [ax.get_ylabel() for ax in latent(ds, ds.var_names[0], names={"0": "B"}).axes]
    ['B', '1']
    """
    check_range("n_bins", n_bins, 5, 1000)
    key = Key.parse(on, "obs", option="on")
    clusters, params = groups(ds, str(key)), ds.read(str(key.beside("uns")))["params"]
    matches = [np.flatnonzero(np.asarray(known) == gene) for known in (ds.var_names, ds.var_labels)]
    position = next((match[0] for match in matches if len(match)), None)
    if position is None:
        near = did_you_mean(gene, words_of_genes(ds))
        raise ParameterError(f"gene must be one of the dataset, got {gene!r}{near}")
    stored = (ds.read(str(key.beside("varm", end))) for end in ("_log_mean", "_log_dispersion"))
    log_mean, log_dispersion = (np.asarray(table, float)[position] for table in stored)
    check(bool(np.all(~np.isnan(log_mean))), f"{gene} was not used when {key} was made")
    table, column = params.get("on", "X"), params.get("size")
    size = totals_of(ds, table) if column is None else np.asarray(ds.read(column), float)
    fit = _Fit(ds.genes([gene], table)[:, 0].astype(float), size, log_mean, log_dispersion)
    titles = [(names or _names_of_start(ds, params, clusters.names)).get(name, name) for name in clusters.names]
    colors = group_colors(titles, palette)
    rates = np.log1p(TARGET_SUM * fit.counts / fit.size)
    edges = np.linspace(0, max(float(rates.max()), 0.5) * 1.02, n_bins + 1)
    labels = [shorten(title, 30) for title in titles]
    left, high = 0.25 + float(text_inches(labels, SMALL)[:, 0].max()), len(labels) * (HEIGHT + GAP)
    figure = Picture(left + WIDTH + 1.0, high + 1.0)
    for row, label in enumerate(labels):
        ax = figure.add_at(f"cluster {row}", left, 0.5 + high - (row + 1) * (HEIGHT + GAP), WIDTH, HEIGHT)
        _draw_panel(ax, fit, row, clusters.codes == row, edges, colors[row])
        ax.set_ylabel(label, fontsize=SMALL, color=INK, rotation=0, ha="right", va="center", labelpad=6)
        ax.set_xticklabels([f"{tick:,}" for tick in TICKS[: len(ax.get_xticks())]] if row == len(labels) - 1 else [])
    ax.set_xlabel("counts per 10,000", fontsize=TEXT, color=INK)
    # the name of the gene, and the meaning of bars, line and curve
    width, height = figure.get_size_inches()
    y, end = (high + 0.72) / height, (left + WIDTH) / width
    figure.text(left / width, y, gene, fontsize=TEXT, color=INK, weight="bold", va="center")
    for text, color in (("expression", group_colors(["a"])[0]), ("expected", INK), ("cells", "#8C8C8C")):
        word = figure.text(end, y, text, fontsize=SMALL, color=color, ha="right", va="center")
        end -= (figure.inches(word)[0] + 0.15) / width
    return figure


def _names_of_start(ds: Dataset, params: Mapping[str, Any], clusters: Sequence[str]) -> dict[str, str]:
    """Map clusters, which are numbered as the labels they were started from, to the names of these."""
    init = str(params.get("init", ""))
    if not init.startswith("obs/") or init not in ds:
        return {}
    labels = groups(ds, init).names
    return {str(k): name for k, name in enumerate(labels)} if len(labels) >= len(clusters) else {}


def _draw_panel(ax: Axes, fit: _Fit, row: int, members: Array, edges: Array, color: Array) -> None:
    """Draw one cluster: bars, their expectation, and the density of expression."""
    mean, phi = np.exp(fit.log_mean[row]), np.exp(fit.log_dispersion[row])
    size, width = fit.size[members], edges[1] - edges[0]
    seen = np.histogram(np.log1p(TARGET_SUM * fit.counts[members] / size), edges)[0] / max(1, len(size))
    ax.bar(edges[:-1], seen, width, align="edge", color=FAINT, alpha=0.7, linewidth=0)
    top = max(float(seen[1:].max()), LEAST * float(seen[0]), 1e-6)
    if len(size):
        some = size
        if len(size) > MOST_SIZES:
            some = np.quantile(size, (np.arange(MOST_SIZES) + 0.5) / MOST_SIZES)
        # a cell lies below an edge if its count is less than this
        bound = np.ceil(some[:, None] * np.expm1(edges) / TARGET_SUM) - 1
        if phi > 0:
            less = stats.nbinom.cdf(bound, 1 / phi, 1 / (1 + some * mean * phi)[:, None])
        else:
            less = stats.poisson.cdf(bound, (some * mean)[:, None])
        expected = np.diff(less.mean(axis=0))
        ax.stairs(expected, edges, color=INK, linewidth=0.8)
        top = max(top, float(expected[1:].max()))
    fine = np.linspace(0, edges[-1], FINE * (len(edges) - 1) + 1)
    if phi > 0:
        below = stats.gamma.cdf(np.expm1(fine) / TARGET_SUM, 1 / phi, scale=mean * phi)
        density, middle = FINE * np.diff(below), (fine[1:] + fine[:-1]) / 2
        ax.fill_between(middle, density, color=color, alpha=0.4, linewidth=0)
        ax.plot(middle, density, color=color, linewidth=1.5)
    else:
        ax.axvline(np.log1p(TARGET_SUM * mean), color=color, linewidth=1.5)
    plain(ax, keep="bottom")
    ticks = np.log1p(TICKS)
    ax.set(xlim=(0, edges[-1]), ylim=(0, ROOM * top), yticks=[], xticks=ticks[ticks <= edges[-1]])
    rate = TARGET_SUM * mean
    zeros = 100 * float((fit.counts[members] == 0).mean()) if len(size) else 0.0
    lines = [f"mean {rate:.2g}" if rate < 10 else f"mean {rate:,.0f}", f"CV {np.sqrt(phi):.2f}", f"zeros {zeros:.0f} %"]
    ax.text(1.02, 0.5, "\n".join(lines), transform=ax.transAxes, fontsize=SMALL, color=INK, va="center")
    for left, share in zip(edges[:-1], seen, strict=True):
        if share > ROOM * top:  # broken bars: two strokes, and how high they are
            spot = left + width / 2
            for at in (0.84, 0.9):
                ax.plot([spot - 0.8 * width, spot + 0.8 * width], [at * ROOM * top, (at + 0.05) * ROOM * top],
                        color="white", linewidth=1.6, zorder=3, clip_on=False)  # fmt: skip
            ax.annotate(f"{100 * share:.0f} %", (left + width, ROOM * top), xytext=(2, -1), textcoords="offset points",
                        ha="left", va="top", fontsize=SMALL - 1, color=INK).set_gid("cut")  # fmt: skip
