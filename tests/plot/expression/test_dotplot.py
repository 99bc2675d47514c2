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
    figure = plot.dotplot(cells, by="kind", genes=["g0", "g3"], scale=False, sort=False)
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
    assert sorted(genes(figure)) == ["g0", "g1", "g2", "g3", "g4"]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(rows) == sorted([*GROUPS[:2], GROUPS[2][:31] + "…"])


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


@pytest.fixture
def many(table):
    """Thirty groups in a hidden order, each with markers that it shares with the next."""
    rng = np.random.default_rng(0)
    hidden, codes = rng.permutation(30), np.arange(1500) % 30
    means = np.full((30, 120), 0.2)
    for i, group in enumerate(hidden):
        means[group, 4 * i : 4 * i + 6] = 5
    X = rng.poisson(means[codes])
    names = {str(g): [f"g{j}" for j in np.argsort(-means[g], kind="stable")[:8]] for g in range(30)}
    scores = {str(g): np.arange(8, 0, -1) for g in range(30)}
    obs = {"kind": pd.Categorical.from_codes(codes, list(names)), "n_counts": X.sum(axis=1)}
    return table(1500, obs, X, [f"g{j}" for j in range(120)], uns__rank_genes_groups=markers(names, scores)), hidden


def test_groups_stand_by_similarity_and_their_markers_with_them(many):
    ds, hidden = many
    rows = [label.get_text() for label in plot.dotplot(ds, "kind").axes[0].get_yticklabels()]
    place = {str(group): i for i, group in enumerate(hidden)}
    steps = np.abs(np.diff([place[row] for row in rows]))
    assert (steps == 1).mean() > 0.9
    figure = plot.dotplot(ds, "kind", sort=False)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(map(str, range(30)))


def test_thirty_groups_fit_on_a_page_and_each_has_its_genes(many, apart):
    figure = plot.dotplot(many[0], "kind")
    assert figure.get_size_inches()[0] < 11.7
    assert figure.get_size_inches()[1] < 8.3
    assert len(genes(figure)) == 90
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [text.get_text() for text in figure.axes[0].texts] == rows, "a bracket for each group"
    assert apart(figure, [*figure.axes[0].get_xticklabels(), *figure.axes[0].texts])


def test_a_group_takes_its_next_markers_where_another_has_the_better_score(table):
    names = {"a": ["g0", "g1", "g2", "g3"], "b": ["g0", "g1", "g4", "g5"], "c": ["g0", "g4", "g1", "g2"]}
    scores = {"a": [9, 8, 2, 1], "b": [8, 7, 6, 5], "c": [7, 6.5, 5, 4]}
    X = np.random.default_rng(0).poisson(1, (30, 6))
    ds = table(30, {"kind": pd.Categorical(np.resize(list("abc"), 30)), "n_counts": X.sum(axis=1) + 1}, X,
               [f"g{i}" for i in range(6)], uns__rank_genes_groups=markers(names, scores))  # fmt: skip
    figure = plot.dotplot(ds, "kind", n_genes=1, sort=False)
    assert genes(figure) == ["g0", "g1", "g4"]
    assert len(figure.axes[0].texts) == 3


def test_values_are_not_called_genes_and_missing_ones_do_not_count(table):
    X = np.array([[1.0, np.nan], [3.0, 5.0], [10.0, 7.0], [20.0, -7.0]])
    ds = table(4, {"kind": list("aabb")}, X, ["alcohol", "ash"])
    ds.kind = "values"
    figure = plot.dotplot(ds, "kind", genes=["alcohol", "ash"], scale=False)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[1:] == ["rows above the\nmean of the column", "mean value"]
    area = dots(figure).get_sizes()
    np.testing.assert_allclose(area / area.max(), [0, 1, 1, 0.5])  # alcohol: mean 8.5; ash: mean 1.67
    scaled = plot.dotplot(ds, "kind", genes=["alcohol", "ash"])
    assert "mean, scaled\nper column" in [ax.get_title(loc="left") for ax in scaled.axes]


def test_a_group_without_values_changes_no_scale(table):
    X = np.array([[5.0], [6.0], [9.0], [np.nan]])
    ds = table(4, {"kind": list("aabc")}, X, ["alcohol"])
    ds.kind = "values"
    colours = dots(plot.dotplot(ds, "kind", genes=["alcohol"])).get_facecolors()
    assert dots(plot.dotplot(ds, "kind", genes=["alcohol"])).get_sizes().tolist().count(0) == 2  # a is below the mean
    assert not np.array_equal(colours[0], colours[1])
    alone = plot.dotplot(table(3, {"kind": list("aab")}, X[:3], ["alcohol"]), "kind", genes=["alcohol"], normalize=None)
    np.testing.assert_allclose(sorted(dots(alone).get_facecolors().tolist())[0], sorted(colours[:2].tolist())[0])
