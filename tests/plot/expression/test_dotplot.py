from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError

GROUPS = ["T cell", "B cell", "an unusually long name of a cell type"]


def markers(names, scores, groupby="kind"):
    groups = list(names)
    genes = np.array(list(zip(*names.values(), strict=True)), dtype=[(g, "O") for g in groups])
    values = np.array(list(zip(*scores.values(), strict=True)), dtype=[(g, "f4") for g in groups])
    return {"names": genes, "scores": values, "params": {"groupby": groupby}}


@pytest.fixture
def cells(table):
    rng = np.random.default_rng(0)
    X = rng.poisson(1.0, (300, 6)).astype(np.uint8)
    codes = np.arange(300) % 3
    X[codes == 0, 0] += 9
    X[codes == 1, 0] = 0
    obs = {"kind": pd.Categorical.from_codes(codes, GROUPS), "n_counts": X.sum(1) + 50}
    names = dict(zip(GROUPS, [["g0", "g1"], ["g2", "g0"], ["g3", "g4"]], strict=True))
    scores = dict(zip(GROUPS, [[9, 5], [8, 4], [7, 3]], strict=True))
    return table(300, obs, X, [f"g{i}" for i in range(6)], uns__rank_genes_groups=markers(names, scores))


def dots(figure):
    return figure.axes[0].collections[0]


def genes(figure):
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_sizes_and_colours_are_shares_and_means(cells):
    figure = plot.dotplot(cells, by="kind", genes=["g0", "g3"], scale=False)
    kind = cells.obs["kind"].cat.codes.to_numpy()
    normal = np.log1p(1e4 * cells.X / cells.obs["n_counts"].to_numpy()[:, None])
    share = np.array([(cells.X[kind == k] > 0).mean(axis=0)[[0, 3]] for k in range(3)]).ravel()
    mean = np.array([normal[kind == k].mean(axis=0)[[0, 3]] for k in range(3)]).ravel()
    area = dots(figure).get_sizes()
    np.testing.assert_allclose(area / area.max(), share / share.max(), rtol=1e-5)
    shown = np.array([to_hex(c) for c in dots(figure).get_facecolors()])
    assert shown.tolist() == [to_hex(colormaps["BuPu"](v)) for v in mean / mean.max()]
    assert area[2] == 0


@pytest.mark.parametrize(("normalize", "title"), [("log1p", "cells expressing"), (None, "above 0")])
def test_the_legend_says_what_a_dot_counts(cells, normalize, title):
    figure = plot.dotplot(cells, by="kind", genes=["g0"], normalize=normalize)
    assert title in [ax.get_title(loc="left") for ax in figure.axes]


def test_best_markers_are_shown_once_where_their_score_is_highest(cells):
    figure = plot.dotplot(cells, by="kind", n_genes=2)
    assert genes(figure) == ["g0", "g1", "g2", "g3", "g4"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [*GROUPS[:2], GROUPS[2][:31] + "…"]


def test_labels_neither_overlap_nor_leave_the_page(cells, apart):
    figure = plot.dotplot(cells, by="kind", n_genes=2)
    ax, sizes, bar = figure.axes
    artists = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts, *sizes.texts]
    artists += [sizes._left_title, bar._left_title]
    assert apart(figure, artists)


def test_few_genes_with_long_names_of_sets(cells, apart):
    figure = plot.dotplot(
        cells, by="kind", genes={"a set with a long name": ["g0"], "another one": ["g1"], "x": ["g2", "g0"]}
    )
    assert genes(figure) == ["g0", "g1", "g2"]
    assert len(figure.axes[0].texts) == 3
    assert apart(figure, figure.axes[0].texts)


def test_scaling_brings_each_gene_to_one(cells):
    figure = plot.dotplot(cells, by="kind", genes=["g0", "g1"])
    shown = [to_hex(c) for c in dots(figure).get_facecolors()]
    assert shown.count(to_hex(colormaps["BuPu"](1.0))) == 2


def test_the_budget_does_not_change_the_figure(cells):
    whole = dots(plot.dotplot(cells, by="kind", genes=["g0", "g1", "g2"])).get_facecolors()
    cells.execution = replace(cells.execution, memory=1)
    assert np.array_equal(dots(plot.dotplot(cells, by="kind", genes=["g0", "g1", "g2"])).get_facecolors(), whole)


def test_cells_without_a_group_are_left_out(cells):
    some = np.where(np.arange(300) % 2, None, cells.obs["kind"].astype(str))
    figure = plot.dotplot(cells, by=some, genes=["g0"])
    share = (cells.X[some == "T cell", 0] > 0).mean()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    area = dots(figure).get_sizes()
    assert area[names.index("T cell")] == pytest.approx(area.max() * share)


def test_wrong_input_is_one_sentence(cells, table):
    with pytest.raises(ParameterError, match="not found: nope"):
        plot.dotplot(cells, by="kind", genes=["nope"])
    with pytest.raises(ParameterError, match="at least one gene"):
        plot.dotplot(cells, by="kind", genes=[])
    with pytest.raises(ParameterError, match="genes must be a list"):
        plot.dotplot(cells, by="kind", genes="g0")
    with pytest.raises(MissingResultError, match="obs/leiden"):
        plot.dotplot(cells)
    cells.obs["other"] = "T cell"
    with pytest.raises(ParameterError, match="was made for kind, not for 'other'"):
        plot.dotplot(cells, by="other")
    with pytest.raises(MissingResultError, match="uns/rank_genes_groups"):
        plot.dotplot(table(2, {"kind": ["a", "b"]}), by="kind")
