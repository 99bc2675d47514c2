"""The heat map of weights against labels holds SciPy's correlations."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError

N = 200
RNG = np.random.default_rng(0)
KIND = RNG.integers(0, 3, N)
WEIGHTS = RNG.dirichlet(np.ones(4), N) + 2 * np.eye(4)[(KIND + 1) % 3]


def cells(table, **others):
    labels = pd.Categorical(np.array(["x", "y", "z"])[KIND])
    return table(N, obs__kind=labels, obsm__topics=WEIGHTS, **others)


def test_values_are_pearsons(table):
    figure = plot.correlation(cells(table), "obs/kind")
    ax = figure.axes[0]
    shown = ax.images[0].get_array()
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["z", "x", "y"]  # those of topics 0, 1 and 2
    for column, name in enumerate(labels):
        for topic in range(4):
            expected = pearsonr(WEIGHTS[:, topic], "xyz".index(name) == KIND).statistic
            assert shown[topic, column] == pytest.approx(expected)
    assert [text.get_text() for text in ax.get_yticklabels()] == [f"topics {k}" for k in range(4)]
    assert len(ax.texts) == 12


def test_cells_without_weights_or_label_are_left_out_and_constants_stay_blank(table):
    weights, kinds = WEIGHTS.copy(), np.array(["x", "y", "z"], object)[KIND]
    weights[:20], weights[:, 3] = np.nan, 1.0
    weights[:20, 3] = np.nan
    kinds[20:30] = None
    figure = plot.correlation(table(N, obsm__topics=weights), kinds)
    shown = figure.axes[0].images[0].get_array()
    assert shown.mask[3].all()
    expected = pearsonr(WEIGHTS[30:, 1], KIND[30:] == 0).statistic
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert shown[1, names.index("x")] == pytest.approx(expected)
    figure.canvas.draw()


def test_wrong_input_is_one_sentence(table):
    with pytest.raises(MissingResultError, match="obsm/topics"):
        plot.correlation(table(N, obs__kind=pd.Categorical(KIND.astype(str))), "obs/kind")
    with pytest.raises(ParameterError, match="by must hold labels, got numbers"):
        plot.correlation(cells(table), np.arange(N) / 2)
    with pytest.raises(ParameterError, match="at most 100 each, got 4 and 200"):
        plot.correlation(cells(table), np.arange(N).astype(str))
