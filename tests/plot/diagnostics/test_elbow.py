import numpy as np
import pytest

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError


def test_shares_and_their_sum(table):
    ratio = np.array([0.3, 0.2, 0.1, 0.05])
    figure = plot.elbow(table(3, uns__pca={"variance_ratio": ratio}), n_components=3)
    share, total = figure.axes[0].lines[0], figure.axes[1].lines[0]
    np.testing.assert_allclose(share.get_ydata(), [30, 20, 10])
    np.testing.assert_allclose(total.get_ydata(), [30, 50, 60])
    assert [text.get_text() for text in figure.axes[1].texts] == ["60% in 3"]


def test_one_component(table):
    plot.elbow(table(3, uns__pca={"variance_ratio": np.array([0.3])})).canvas.draw()


def test_wrong_input_is_one_sentence(table):
    with pytest.raises(MissingResultError, match="uns/pca"):
        plot.elbow(table(3))
    with pytest.raises(ParameterError, match=r"n_components must be in 1..2, got 0"):
        plot.elbow(table(3, uns__pca={"variance_ratio": np.array([0.3, 0.1])}), n_components=0)


def test_the_elbow_is_marked(table):
    ratio = np.r_[0.3, 0.1, 0.05, 0.02, 0.012 * 0.98 ** np.arange(26)]
    figure = plot.elbow(table(3, uns__pca={"variance_ratio": ratio}))
    assert figure.axes[0].get_yscale() == "log"
    cuts = [ax.lines[-1].get_xdata()[0] for ax in figure.axes]
    assert cuts == [5, 5]
    assert [text.get_text() for text in figure.axes[0].texts] == [f"elbow: {100 * ratio[:5].sum():.3g}% in 5"]
