import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import ParameterError
from kithkin.plot.data import Groups
from kithkin.plot.expression.heatmap import sample_cells
from kithkin.plot.look.palette import categorical


@pytest.fixture
def cells(table):
    rng = np.random.default_rng(0)
    codes = np.r_[np.zeros(3, int), np.repeat([1, 2], [400, 600])]
    X = rng.poisson(1.0, (1003, 4))
    X[codes == 1, 1] += 5
    obs = {"kind": pd.Categorical.from_codes(codes, ["rare", "B", "T"]), "n_counts": X.sum(1) + 20}
    return table(1003, obs, X, ["a", "b", "c", "d"])


def test_cells_are_sorted_by_group_and_genes_scaled(cells):
    figure = plot.heatmap(cells, by="kind", genes=["a", "b"], n_cells=300)
    values = np.asarray(figure.axes[0].images[0].get_array())
    assert values.shape == (2, 203)
    codes = cells.obs["kind"].cat.codes.to_numpy()
    rows = sample_cells(Groups("", codes, ["rare", "B", "T"]), 300)
    assert np.bincount(codes[rows]).tolist() == [3, 100, 100]
    expected = np.log1p(1e4 * cells.X[rows][:, :2] / cells.obs["n_counts"].to_numpy()[rows, None]).T
    expected = (expected - expected.mean(axis=1, keepdims=True)) / expected.std(axis=1, keepdims=True)
    np.testing.assert_allclose(values, expected, atol=1e-4)
    bar = figure.axes[1].images[0].get_array()[0]
    assert [to_hex(bar[i]).upper() for i in (0, 3, 103)] == categorical(3)


def test_groups_get_equal_shares_as_far_as_they_have_cells():
    found = Groups("", np.r_[np.repeat([0, 1, 2], [3, 50, 600]), -1], ["a", "b", "c"])
    rows = sample_cells(found, 203)
    assert np.bincount(found.codes[rows]).tolist() == [3, 50, 67]
    assert len(set(rows.tolist())) == 120
    assert len(sample_cells(found, 10**6)) == 653
    assert np.array_equal(rows, sample_cells(found, 203))
    assert not np.array_equal(rows, sample_cells(found, 203, seed=1))


@pytest.mark.parametrize("k", [3, 40])
def test_names_of_groups_do_not_overlap(table, apart, k):
    codes = np.arange(2000) % k
    obs = {"kind": pd.Categorical.from_codes(codes, [f"a long name of group {i}" for i in range(k)])}
    ds = table(2000, obs, np.random.default_rng(0).poisson(1.0, (2000, 5)), list("abcde"))
    figure = plot.heatmap(ds, by="kind", genes=list("abcde"), normalize=None)
    assert len(figure.axes[0].texts) == k
    assert apart(figure, [*figure.axes[0].texts, *figure.axes[0].get_yticklabels()])


def test_genes_of_a_group_carry_its_colour(cells):
    figure = plot.heatmap(cells, by="kind", genes={"T": ["a"], "B": ["b", "c"]})
    beside = figure.axes[2].images[0].get_array()[:, 0]
    assert [to_hex(c).upper() for c in beside] == [categorical(3)[i] for i in (2, 1, 1)]


def test_constant_genes_and_one_cell(table):
    ds = table(1, {"kind": ["x"]}, np.ones((1, 2)), ["a", "b"])
    figure = plot.heatmap(ds, by="kind", genes=["a", "b"], normalize=None)
    assert np.asarray(figure.axes[0].images[0].get_array()).tolist() == [[0], [0]]
    figure.canvas.draw()


def test_fewer_cells_than_groups_are_refused(cells):
    with pytest.raises(ParameterError, match="n_cells must be at least the 3 groups, got 2"):
        plot.heatmap(cells, by="kind", genes=["a"], n_cells=2)


def test_missing_values_show_the_ground_and_count_for_nothing(table):
    X = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 7.0], [20.0, -7.0]])
    ds = table(4, {"kind": list("aabb")}, X, ["alcohol", "ash"])
    figure = plot.heatmap(ds, by="kind", genes=["alcohol", "ash"], normalize=None)
    shown = figure.axes[0].images[0].get_array()
    expected = (X.T - np.nanmean(X.T, 1, keepdims=True)) / np.nanstd(X.T, 1, keepdims=True)
    np.testing.assert_allclose(np.ma.filled(shown, np.nan), expected)
