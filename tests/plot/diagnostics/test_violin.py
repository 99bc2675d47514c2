import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.look.palette import categorical


@pytest.fixture
def cells(table):
    rng = np.random.default_rng(0)
    X = rng.poisson(1.0, (300, 2))
    obs = {"leiden": pd.Categorical.from_codes(np.arange(300) % 3, list("abc")), "n_counts": X.sum(axis=1) + 100}
    return table(300, obs, X, ["CD3E", "CD4"])


def test_one_panel_each_and_one_violin_for_each_group(cells):
    figure = plot.violin(cells, ["CD3E", "n_counts"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["CD3E", "n_counts"]
    assert figure.axes[0].get_ylabel() == "log(1 + counts per 10,000)"
    for ax in figure.axes:
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
        shapes = [to_hex(shape.get_facecolor()[0]).upper() for shape in ax.collections[::2]]
        assert shapes == categorical(3)
    medians = [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert medians == cells.obs.groupby("leiden", observed=True)["n_counts"].median().tolist()


def test_no_groups_an_array_and_colours(cells):
    whole = plot.violin(cells, np.arange(300.0), by=None)
    assert whole.axes[0].get_xticklabels()[0].get_text() == "median 150"
    listed = plot.violin(cells, list(range(300)), palette=["red", "blue", "lime"], log=True)
    assert to_hex(listed.axes[0].collections[0].get_facecolor()[0]) == "#ff0000"
    listed.canvas.draw()


def test_wrong_input_is_one_sentence(cells):
    with pytest.raises(ParameterError, match="values must be numbers, leiden holds groups: pass it as by"):
        plot.violin(cells, "leiden")
    with pytest.raises(MissingResultError, match="obs/louvain"):
        plot.violin(cells, "CD3E", by="obs/louvain")
    with pytest.raises(ParameterError, match="without negative values"):
        plot.violin(cells, np.arange(300.0) - 5, log=True)
    with pytest.raises(ParameterError, match="at least one panel"):
        plot.violin(cells, [])


@pytest.mark.parametrize(("low", "least"), [(-2.0, -2.2), (0.0, 0.0), (1.0, 0.0)])
def test_negative_values_are_seen(cells, low, least):
    values = np.linspace(low, 2.0, 300)
    assert plot.violin(cells, values, by=None).axes[0].get_ylim()[0] == pytest.approx(least)
