"""The reliability diagram shows the shares that a count by hand gives, and scikit-learn's calibration curve."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.metrics.calibration import expected_calibration_error

N = 400


@pytest.fixture
def cells(table):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, N)
    sure = rng.uniform(0.4, 1, N)
    label = np.where(rng.random(N) < sure**0.7, truth, (truth + 1) % 3)
    probability = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    probability[np.arange(N), label] = sure
    softer = probability**0.7 / (probability**0.7).sum(axis=1, keepdims=True)
    kinds = pd.Categorical(np.array(["x", "y", "z"])[(truth + 1) % 3])
    clusters = pd.Categorical(label.astype(str))
    ds = table(
        N,
        obs__kind=kinds,
        obs__mixture=clusters,
        obsm__mixture_probability=probability,
        obsm__mixture_calibrated=softer,
    )
    return ds, sure, softer.max(axis=1), label == truth


def test_points_are_those_of_scikit_learn(cells):
    ds, sure, softer, right = cells
    figure = plot.reliability(ds, "obs/kind")
    ax, below = figure.axes
    for line, values in zip(ax.lines[1:], (sure, softer), strict=True):
        share, mean = calibration_curve(right, values, n_bins=10)
        np.testing.assert_allclose(line.get_xdata(), mean)
        np.testing.assert_allclose(line.get_ydata(), share)
    assert [patch.get_data().values.sum() for patch in below.patches] == pytest.approx([100, 100])
    errors = [expected_calibration_error(values, right) for values in (sure, softer)]
    said = [f"{name}: ECE {error:.2f}" for name, error in zip(("exact", "calibrated"), errors, strict=True)]
    assert [text.get_text() for text in ax.texts] == said


def test_one_table_and_cells_without_a_label(cells):
    ds, sure, _, right = cells
    kinds = ds.read("obs/kind").astype(object)
    kinds[:100] = None
    figure = plot.reliability(ds, np.asarray(kinds), probability="obsm/mixture_probability", n_bins=4)
    share, _ = calibration_curve(right[100:], sure[100:], n_bins=4)
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), share)
    assert len(figure.axes[0].lines) == 2


def test_wrong_input_is_one_sentence(cells, table):
    ds = cells[0]
    with pytest.raises(MissingResultError, match="obsm/other_probability"):
        plot.reliability(
            table(N, obs__kind=ds.read("obs/kind"), obs__other=ds.read("obs/mixture")), "obs/kind", "obs/other"
        )
    with pytest.raises(ParameterError, match="by and on must hold groups"):
        plot.reliability(ds, np.arange(N) / 3)
    with pytest.raises(ParameterError, match=r"n_bins must be in 2\.\.1000, got 1"):
        plot.reliability(ds, "obs/kind", n_bins=1)
    with pytest.raises(ParameterError, match="must have 3 columns"):
        plot.reliability(
            table(N, obs__kind=ds.read("obs/kind"), obs__mixture=ds.read("obs/mixture"), obsm__p=np.ones((N, 2))),
            "obs/kind",
            probability="obsm/p",
        )
