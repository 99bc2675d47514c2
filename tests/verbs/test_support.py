"""Clusters that held-out counts, or gaps between rows of values, do not tell apart are named and merged."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.core.group_support import support_lines


@pytest.fixture
def cut(dataset):
    """The small counts, with each group cut in two at random."""
    halves = np.random.default_rng(0).integers(0, 2, 600)
    kk.annotate(dataset, "cut", [f"{g}{'ab'[h]}" for g, h in zip(dataset.obs["group"], halves, strict=True)])
    kk.pca(dataset, 10)
    kk.neighbors(dataset)
    return dataset


def test_random_parts_of_groups_are_merged(cut):
    table = kk.support(cut, "cut")
    assert len(table) == 7
    assert table.loc[0, ["n_left", "n_right"]].sum() == 600
    assert (table["support"] != "none").sum() == 3
    merged = cut.read("obs/support")
    assert sorted(merged.cat.categories) == ["0a+0b", "1a+1b", "2a+2b", "3a+3b"]
    assert (merged.astype(str).str[0] == cut.read("obs/group").astype(str)).all()
    real = table[table["support"] == "yes"]
    assert (real["n_genes"] > 10).all()
    assert (real["genes"].str.count(",") == 4).all()
    assert (table.loc[table["support"] == "none", "n_genes"] <= 2).all()


def test_the_genes_are_markers_of_a_side(cut, small_counts):
    table = kk.support(cut, "group")
    marks = small_counts.var["marker_of"].astype(str)
    for row in table.itertuples():
        sides = row.left.split(", ") + row.right.split(", ")
        assert np.isin(marks[row.genes.split(", ")], sides).all()


def test_the_summary_names_what_to_merge(cut):
    kk.support(cut, "cut")
    text = kk.summary(cut, "obs/cut")
    assert "0a and 0b are not told apart by counts that did not place the cells: merge?" in text
    line = next(line for line in text.splitlines() if "merge_labels" in line and '"0a+0b"' in line)
    eval(line.strip(), {"kk": kk, "ds": cut})  # the line that it gives works
    assert "0a+0b" in cut.read("obs/cut").cat.categories
    assert "not told apart" not in kk.summary(cut, "obs/cut")  # of clusters that are there no more
    assert "not told apart" not in kk.summary(cut, "obs/group")


def test_without_a_graph_profiles_make_the_tree(cut):
    table = kk.support(cut, "cut", graph=None, key=None)
    assert (table["support"] != "none").sum() == 3
    assert "uns/support" not in cut


def test_another_key_keeps_the_first(cut):
    kk.support(cut, "cut")
    kk.support(cut, "group", key="mine")
    assert cut.read("obs/mine").nunique() == 4
    assert {"uns/support", "obs/support", "uns/mine"} <= set(cut.keys())


def test_cells_without_a_cluster_have_no_group(cut):
    labels = cut.read("obs/group").astype(object)
    labels.iloc[:7] = None
    cut["obs/partly"] = labels
    kk.support(cut, "partly")
    assert cut.read("obs/support").isna().to_numpy().nonzero()[0].tolist() == list(range(7))


def test_one_cluster_has_no_split(cut):
    kk.annotate(cut, "one", "all")
    table = kk.support(cut, "one")
    assert len(table) == 0
    assert cut.read("obs/support").unique().tolist() == ["all"]
    assert len(kk.support(cut, "one")) == 0  # read again


def test_what_is_wrong_is_named(cut, tmp_path):
    with pytest.raises(kk.MissingResultError, match=r"obs/leiden is not in cells\.zarr\. Run kithkin\.leiden\(ds\)"):
        kk.support(cut)
    kk.annotate(cut, "size", np.arange(600) + 0.5)
    with pytest.raises(kk.ParameterError, match="by must name labels such as obs/leiden, but obs/size holds numbers"):
        kk.support(cut, "size")
    with pytest.raises(kk.ParameterError, match="on must be X or a layer or a table in obsm, got 'obs/cut'"):
        kk.support(cut, "cut", on="obs/cut")
    with pytest.raises(kk.MissingResultError, match=r"obsm/X_deep is not in cells\.zarr"):
        kk.support(cut, "cut", on="obsm/X_deep")
    with pytest.raises(kk.ParameterError, match="graph must lie in obsp"):
        kk.support(cut, "cut", graph="obs/cut")
    with pytest.raises(kk.ParameterError, match="key must not name the clusters themselves, got 'cut'"):
        kk.support(cut, "cut", key="cut")
    ds = kk.read(pd.DataFrame({"a": [0.5, 1.5, np.nan], "b": [1.0, 2.5, 3.0]}), to=tmp_path / "v.zarr", missing="keep")
    kk.annotate(ds, "kind", ["x", "y", "x"])
    with pytest.raises(kk.ParameterError, match="X must be finite, but it holds NaN or infinity: fill them in first"):
        kk.support(ds, "kind", graph=None)
    wide = kk.read(np.random.default_rng(0).normal(size=(20, 1100)), to=tmp_path / "w.zarr")
    kk.annotate(wide, "kind", ["x", "y"] * 10)
    with pytest.raises(kk.ParameterError, match="support of values takes at most 1,000 columns, got 1,100: use compon"):
        kk.support(wide, "kind", graph=None)


@pytest.fixture
def cut_values(tmp_path):
    """Three clouds of rows, each cut in two along a column; components and neighbours."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, 1500)
    X = rng.normal(size=(1500, 6)) + 9 * np.eye(6)[kinds]
    ds = kk.read(pd.DataFrame(X, columns=list("abcdef")), to=tmp_path / "values.zarr")
    kk.annotate(ds, "cut", [f"{k}{'ab'[int(x > 0)]}" for k, x in zip(kinds, X[:, 5], strict=True)])
    kk.pca(ds, 5, normalize=None)
    kk.neighbors(ds)
    return ds


@pytest.mark.parametrize("on", ["X", "obsm/X_pca", "layers/same", "obsm/features"])
def test_clouds_of_values_are_told_apart_and_their_parts_are_not(cut_values, on):
    if on == "layers/same":
        cut_values[on] = np.asarray(cut_values.read("X"))
    if on == "obsm/features":  # a table with names, as kithkin.features writes them
        cut_values[on] = pd.DataFrame(np.asarray(cut_values.read("X")), columns=list("uvwxyz"))
    table = kk.support(cut_values, "cut", on=on)
    assert table.columns.tolist()[-5:] == ["pval_adj", "accuracy", "pair", "dip", "support"]
    assert (table["support"] == "yes").sum() == 2
    assert (table["support"] == "none").sum() == 3
    assert cut_values.read("obs/support").cat.categories.tolist() == ["0a+0b", "1a+1b", "2a+2b"]
    assert set(table.loc[table["support"] == "none", "pair"]) == {"0a | 0b", "1a | 1b", "2a | 2b"}
    assert kk.support(cut_values, "cut", on=on).equals(table)  # read again
    text = kk.summary(cut_values, "obs/cut")
    assert "0a and 0b are not told apart by a gap between the rows: merge?" in text
    line = next(line for line in text.splitlines() if "merge_labels" in line and '"0a+0b"' in line)
    eval(line.strip(), {"kk": kk, "ds": cut_values})
    assert "0a+0b" in cut_values.read("obs/cut").cat.categories


def test_components_of_counts_are_values(cut):
    table = kk.support(cut, "cut", on="obsm/X_pca", key=None)
    assert "dip" in table
    assert "n_genes" in kk.support(cut, "cut", key=None)
    assert (table["support"] != "none").sum() == 3


def test_weak_splits_of_values_are_named(cut_values):
    kk.support(cut_values, "cut", on="X")
    stored = cut_values.read("uns/support")
    stored["table"].loc[0, ["support", "accuracy"]] = ["weak", 0.81]
    assert any("(a line places 81 % of the rows rightly)" in line for line in support_lines(stored))


def test_markers_are_tested_by_counts_that_did_not_place_the_cells(cut, small_counts):
    table = kk.markers(cut, "group", held_out=True)
    marks = small_counts.var["marker_of"].astype(str)
    of_group = [
        str(marks[gene]) == group for gene, group in zip(table["gene"], table["group"].astype(str), strict=True)
    ]
    assert (table.loc[of_group, "pval_adj_held_out"] <= 0.05).mean() > 0.5
    assert kk.markers(cut, "group", held_out=True).equals(table)  # read again
    said = kk.summary(cut, "obs/group")
    assert "markers that hold in counts that did not place the cells: " in said
    usual = kk.markers(cut, "group", key=None)
    assert usual.equals(table.drop(columns="pval_adj_held_out"))
    few = kk.markers(cut, "group", groups=["1"], held_out=True, key=None)
    own = table[table["group"] == "1"]
    assert np.array_equal(few["pval_adj_held_out"], own["pval_adj_held_out"])
    invented = kk.markers(cut, "cut", held_out=True, key=None)
    assert (invented["pval_adj_held_out"] <= 0.05).sum() > 50  # against the rest, random parts of a group differ
    with pytest.raises(kk.ParameterError, match="held_out tests against the rest, got reference='1'"):
        kk.markers(cut, "group", reference="1", held_out=True)
