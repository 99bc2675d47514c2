import numpy as np
import pandas as pd
import pytest
from scipy.stats import gaussian_kde

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.plot.diagnostics.violin import violin_outline


def cells(n=400):
    rng = np.random.default_rng(0)
    return {
        "n_counts": rng.lognormal(7, 1, n).astype(int),
        "n_genes": rng.integers(0, 900, n),
        "pct_mito": rng.gamma(2.0, 2.0, n),
        "batch": pd.Categorical(np.resize(["left", "right"], n)),
    }


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def marks(ax):
    return sorted(line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--")


def test_one_panel_for_each_measure_that_is_there(table):
    figure = plot.quality(table(400, cells()))
    assert titles(figure) == ["counts per cell", "genes per cell", "mitochondrial counts (%)"]
    median = np.median(cells()["n_counts"])
    assert figure.axes[0].get_xticklabels()[0].get_text() == f"median {median:,.0f}"


def test_thresholds_given_and_remembered(table):
    figure = plot.quality(table(400, cells()), thresholds={"n_genes": [200, 800], "pct_mito": 10})
    assert [marks(ax) for ax in figure.axes] == [[], [200, 800], [10]]
    ds = table(400, cells(), uns__subset={"cells": {"removed": {"n_genes > 200": 3, "pct_mito <= 7.5": 9}}})
    assert [marks(ax) for ax in plot.quality(ds).axes] == [[], [200], [7.5]]
    assert [marks(ax) for ax in plot.quality(ds, thresholds={}).axes] == [[], [], []]


def test_a_threshold_beyond_the_data_is_still_seen(table):
    ax = plot.quality(table(400, cells()), thresholds={"n_genes": 5000}).axes[1]
    assert ax.get_ylim()[1] >= 5000


def test_one_violin_for_each_group(table, apart):
    obs = {**cells(), "batch": pd.Categorical(np.resize([f"a long name of batch {i}" for i in range(12)], 400))}
    figure = plot.quality(table(400, obs), by="batch")
    labels = [[label for label in ax.get_xticklabels() if label.get_text()] for ax in figure.axes]
    assert [len(some) for some in labels] == [0, 12, 12], "names stand below the lowest panel of each column"
    assert apart(figure, [label for some in labels for label in some])


def test_twenty_samples_fit_on_a_screen(table):
    obs = {
        **cells(),
        "pct_ribo": np.arange(400.0),
        "batch": pd.Categorical(np.resize([f"s{i}" for i in range(20)], 400)),
    }
    figure = plot.quality(table(400, obs), by="batch")
    assert len(figure.axes) == 4
    assert figure.get_size_inches()[1] < 9.5


def test_the_dataset_that_was_filtered_is_drawn_with_the_cuts_of_the_other(table):
    before = table(400, cells())
    after = table(300, cells(300), uns__subset={"cells": {"removed": {"n_genes >= 200": 90, "pct_mito < 9": 10}}})
    figure = plot.quality(before, thresholds=after)
    assert [marks(ax) for ax in figure.axes] == [[], [200], [9]]
    low, high = figure.axes[1].get_ylim()
    assert low < 200 < high
    assert figure.axes[0].get_xticklabels()[0].get_text() == f"median {np.median(cells()['n_counts']):,.0f}"


def test_zeros_are_seen_on_a_logarithmic_axis(table):
    figure = plot.quality(table(4, {"n_counts": [0, 0, 10, 1000]}))
    low, high = figure.axes[0].get_ylim()
    assert low <= 0
    assert high > 1000
    assert "0" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def test_density_is_that_of_a_kernel_estimate():
    values = np.random.default_rng(0).normal(size=3000)
    at, share = violin_outline(values)
    expected = gaussian_kde(values, "silverman")(at)
    assert np.abs(share - expected / expected.max()).max() < 0.08


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0, 5.0], [0.0, 0.0], [np.nan, 2.0, 3.0], [np.nan, np.nan]])
def test_odd_values_are_drawn(table, values):
    plot.quality(table(len(values), {"n_counts": values, "pct_mito": values})).canvas.draw()


def test_wrong_input_is_one_sentence(table):
    with pytest.raises(MissingResultError, match="obs/n_counts"):
        plot.quality(table(3))
    with pytest.raises(ParameterError, match="obs/batch holds groups"):
        plot.quality(table(400, cells()), ["batch"])
    with pytest.raises(ParameterError, match="thresholds must name columns that are drawn, got 'n_gene'"):
        plot.quality(table(400, cells()), thresholds={"n_gene": 3})
    with pytest.raises(ParameterError, match="by must be groups"):
        plot.quality(table(400, cells()), by="n_genes")
