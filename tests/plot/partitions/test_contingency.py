import numpy as np
import pandas as pd
import pytest

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.partitions.contingency import compact, heavy_diagonal


def table_of(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def names(figure):
    ax = figure.axes[0]
    return [[text.get_text() for text in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels())]


@pytest.fixture
def two(table):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 4, 3000)
    cluster = np.where(rng.random(3000) < 0.9, np.array([5, 2, 0, 1])[kind], rng.integers(0, 6, 3000))
    obs = {"kind": pd.Categorical.from_codes(kind, list("wxyz")), "cluster": cluster.astype(str)}
    return table(3000, obs)


def test_counts_equal_pandas_and_stand_in_their_cells(two):
    figure = plot.contingency(two, "obs/cluster", "obs/kind")
    rows, columns = names(figure)
    expected = pd.crosstab(two.obs["cluster"], two.obs["kind"]).loc[rows, columns].to_numpy()
    np.testing.assert_array_equal(table_of(figure), expected)
    assert columns == list("wxyz")
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    for i, j in np.ndindex(*expected.shape):
        assert written.get((j, i), "0") == f"{expected[i, j]:,}"


@pytest.mark.parametrize(("normalize", "axis"), [("rows", 1), ("columns", 0)])
def test_percentages_sum_to_a_hundred(two, normalize, axis):
    figure = plot.contingency(two, "obs/cluster", "obs/kind", normalize=normalize)
    np.testing.assert_allclose(table_of(figure).sum(axis=axis), 100)


def test_the_diagonal_is_heavy_whichever_side_is_longer(two):
    for flipped in (False, True):
        sides = ("obs/kind", "obs/cluster") if flipped else ("obs/cluster", "obs/kind")
        values = table_of(plot.contingency(two, *sides))
        values = values.T if flipped else values
        assert (np.diff(values.argmax(axis=1)) >= 0).all()
    assert names(plot.contingency(two, "obs/cluster", "obs/kind", sort=False))[0] == [str(i) for i in range(6)]


def test_equal_partitions_in_another_order_make_a_diagonal(table):
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(9), 20))
    figure = plot.contingency(table(180), pd.Categorical(codes), pd.Categorical((codes * 4 + 3) % 9))
    assert np.array_equal(table_of(figure), 20 * np.eye(9))


def test_sizes_of_groups_are_bars(two):
    figure = plot.contingency(two, "obs/cluster", "obs/kind")
    values, (above, beside) = table_of(figure), figure.axes[1:3]
    assert [bar.get_height() for bar in above.patches] == values.sum(axis=0).tolist()
    assert [bar.get_width() for bar in beside.patches] == values.sum(axis=1).tolist()


@pytest.mark.parametrize(("k", "n", "normalize"), [(3, 50, None), (60, 4000, None), (30, 900, "rows")])
def test_nothing_overlaps(table, apart, k, n, normalize):
    rng = np.random.default_rng(0)
    first = rng.integers(0, k, n)
    second = np.where(rng.random(n) < 0.97, first, rng.integers(0, k, n))
    kinds = [f"a very long name of a kind of cell, the {i}." for i in range(k)]
    labels = [pd.Categorical.from_codes(codes, kinds) for codes in (first, second)]
    figure = plot.contingency(table(n), *labels, normalize=normalize)
    ax = figure.axes[0]
    names = [*ax.get_yticklabels(), *ax.get_xticklabels(), ax.yaxis.label, ax.xaxis.label]
    assert apart(figure, [*names, *figure.axes[-1].get_yticklabels()])
    boxes = [text.get_window_extent() for text in ax.texts]
    cell = ax.get_window_extent().width / k
    assert boxes
    assert max(box.width for box in boxes) < cell
    assert max(box.height for box in boxes) < cell


def test_missing_groups_are_a_group(table):
    figure = plot.contingency(table(4), ["a", None, "b", "b"], pd.Categorical(["x", "x", "y", "y"], ["x", "z", "y"]))
    assert names(figure) == [["a", "missing", "b"], ["x", "y"]]
    assert table_of(figure).tolist() == [[1, 0], [1, 0], [0, 2]]


def test_one_group_each(table):
    figure = plot.contingency(table(1), ["a"], ["b"])
    figure.canvas.draw()
    assert names(figure) == [["a"], ["b"]]
    assert table_of(figure).tolist() == [[1]]


def test_order_of_the_shorter_side_stays():
    rows, columns = heavy_diagonal(np.array([[1, 9, 0], [5, 0, 5]]))
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [1, 0, 2]


def test_counts_in_four_letters():
    values = (0, 7, 999, 999.6, 1000, 9949, 9951, 999_499, 999_600, 1_500_000)
    assert [compact(v) for v in values] == ["0", "7", "999", "1k", "1k", "9.9k", "10k", "999k", "1M", "1.5M"]


def test_wrong_input_is_one_sentence(two):
    with pytest.raises(MissingResultError, match="obs/leiden"):
        plot.contingency(two, "obs/leiden", "obs/kind")
    with pytest.raises(ParameterError, match="columns must be groups, got numbers"):
        plot.contingency(two, "obs/kind", np.arange(3000.0))
    with pytest.raises(ParameterError, match="rows must have one value per observation: 3000, got 2"):
        plot.contingency(two, ["a", "b"], "obs/kind")
    with pytest.raises(ParameterError, match="rows must have at most 300 groups to be drawn, got 3000"):
        plot.contingency(two, np.arange(3000).astype(str), "obs/kind")
    with pytest.raises(ParameterError, match="normalize must be one of None, 'rows', 'columns', got 'row'"):
        plot.contingency(two, "obs/cluster", "obs/kind", normalize="row")


def test_partitions_that_have_nothing_in_common_keep_their_order():
    rng = np.random.default_rng(0)
    rows, columns = heavy_diagonal(rng.poisson(50, (20, 6)).astype(float))
    assert rows.tolist() == list(range(20))
    assert columns.tolist() == list(range(6))
    assert heavy_diagonal(np.array([[1, 90], [80, 2]]))[0].tolist() == [1, 0]
